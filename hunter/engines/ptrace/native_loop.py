"""The `ptrace` engine: syscall stops are handled by a loop in C, every other stop by Python."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import Dict, FrozenSet, List, Optional, Set, Tuple

from hunter.calls import capture_plan, descriptors
from hunter.engines.native import structures
from hunter.engines.native.library import load
from hunter.engines.native.ring_queue import (
    MAX_PROCESSES,
    NativeQueue,
    shared,
)
from hunter.engines.native.threads import MAX_THREADS, NativeThreads
from hunter.engines.ptrace import kernel, syscall_info
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.engines.ptrace.tracee import Entered, Process
from hunter.errors import NoRoom, ProcessGone
from hunter.watchdog.progress import TracerProgress

_EINTR = 4
_TWO = Struct("<QQ")
_TWO_HALVES = Struct("<II")
_STOP = Struct("<iIQ")
_WORD = Struct("<Q")


class PtraceNativeEngine(PtraceEngine):
    """Handles syscall stops in C; see `PtraceEngine`.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        string_size: bytes of each string and buffer to keep.
        buffer_bytes: bound of the queue.
        wanted: syscall numbers to record by ABI, None for all.
        decode_fds: also read what new descriptors refer to.
        source: which tracer of this hunter.
        progress: counts its stops, and is told of the processes that it holds.

    Raises:
        HunterError: the loop cannot be loaded here.
    """

    name = "ptrace"

    def __init__(
        self,
        machine: str,
        string_size: int,
        buffer_bytes: int,
        wanted: Optional[Dict[int, FrozenSet[int]]] = None,
        decode_fds: bool = False,
        source: int = 0,
        progress: Optional[TracerProgress] = None,
    ) -> None:
        self._library = load()
        self._rings = NativeQueue(self._library, source, buffer_bytes)
        super().__init__(machine, string_size, self._rings, wanted, decode_fds, progress)
        self._slots = NativeThreads(self._library, self._rings)
        # Calls whose entry was read by Python: their captures.
        self._entry_data: Dict[int, bytes] = {}
        plan = structures.encode_plan(
            capture_plan.plan(self._abi),
            None if wanted is None else wanted.get(self._abi, frozenset()),
            string_size,
            frozenset(descriptors.makers(self._abi)) if decode_fds else frozenset(),
        )
        context = self._rings.context
        self._calls, calls = shared(len(plan.calls))
        self._calls[:] = plan.calls
        self._items, items = shared(len(plan.items))
        self._items[:] = plan.items
        _TWO.pack_into(context, structures.CALLS, calls, plan.call_count)
        _WORD.pack_into(context, structures.ITEMS, items)
        clock = ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value
        _WORD.pack_into(context, structures.CLOCK, clock)
        _TWO_HALVES.pack_into(context, structures.ARCH_ABI, self._arch, self._abi)
        _WORD.pack_into(context, structures.LIMIT, string_size)
        _WORD.pack_into(context, structures.PROGRESS, self._progress.address)

    def _open_calls(self) -> List[Tuple[int, Entered]]:
        found = []
        for tid in self._slots.tids():
            entered = self._open_call(tid)
            if entered is not None:
                found.append((tid, entered))
        return found

    def _open_call(self, tid: int) -> Optional[Entered]:
        call = self._slots.call(tid)
        if call is None:
            return None
        start, arch, numbers, data = call
        return start, (arch, *numbers), self._entry_data.get(tid, data)

    def _set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        if entered is None:
            self._slots.set_call(tid, 0, 0, ())
            self._entry_data.pop(tid, None)
            self._slots.clear_flag(tid, structures.FLAG_PYTHON)
        else:
            start, (arch, *numbers), data = entered
            self._entry_data[tid] = data
            self._slots.set_flag(tid, structures.FLAG_PYTHON)
            self._slots.set_call(tid, start, arch, tuple(numbers))

    def _own(self, tid: int, process: Process) -> None:
        index = self._rings.add_process(process.ordinal, process.memory)
        if index < 0 or not self._slots.add(tid, index):
            raise NoRoom(
                f"one hunter traces at most {MAX_PROCESSES} processes and {MAX_THREADS} threads"
            )
        self._owners[tid] = process

    def _disown(self, tid: int) -> None:
        self._owners.pop(tid, None)
        self._entry_data.pop(tid, None)
        self._slots.remove(tid)

    def _mark_leaving(self, threads: Set[int]) -> None:
        for tid in threads:
            self._slots.set_flag(tid, structures.FLAG_LEAVING)

    def _mark_arming(self, tid: int) -> None:
        self._slots.set_flag(tid, structures.FLAG_ARMING)

    def _is_arming(self, tid: int) -> bool:
        return self._slots.has_flag(tid, structures.FLAG_ARMING)

    def _set_quiet(self, quiet: int) -> None:
        _WORD.pack_into(self._rings.context, structures.QUIET, quiet)

    def stops(self) -> int:
        """Returns how many syscall stops there were."""
        return int(_WORD.unpack_from(self._rings.context, structures.STOPS)[0])

    def _leave_loop(self) -> None:
        _WORD.pack_into(self._rings.context, structures.WAKE, 1)

    def _has_room(self) -> bool:
        return self._rings.has_room() and self._slots.has_room()

    def _process_gone(self, process: Process) -> None:
        self._rings.remove_process(process.ordinal)

    def _memory_changed(self, process: Process) -> None:
        self._rings.add_process(process.ordinal, process.memory)

    def _loop(self) -> None:
        """Runs the C loop and answers what it returns; ends when no tracee is left."""
        run, context = self._library.hot_run, self._rings.context
        address = self._rings.address
        while self._owners:
            reason = run(address)
            if reason == -_EINTR:
                self._between_stops()  # a handler, where there is one, has run by now
                continue
            if reason < 0:
                raise ChildProcessError(-reason, "wait4")
            tid, status, now = _STOP.unpack_from(context, structures.TID_STATUS)
            if reason == structures.STOP:
                self._other_stop(tid, status)
                continue
            info = context[structures.INFO : structures.INFO + syscall_info.SIZE]
            try:
                if reason == structures.LEAVING:
                    self._leave_here(tid, info, now)
                elif reason == structures.ENTRY_FOR_PYTHON:
                    self._enter(tid, info, now)
                elif reason == structures.EXIT_FOR_PYTHON:
                    self._return(tid, info, now)
                else:
                    kernel.detach(tid)  # no room was left for it
            except ProcessGone:
                pass  # killed while it was stopped; its end is reported by a later wait

    def _enter(self, tid: int, info: bytes, now: int) -> None:
        call = syscall_info.ENTRY.unpack_from(info)
        if self._is_wanted(call):
            stack = syscall_info.STACK_POINTER.unpack_from(info)[0]
            self._set_open_call(tid, (now, call, self._read_entry(tid, call, stack)))
        kernel.resume(tid)

    def _return(self, tid: int, info: bytes, now: int) -> None:
        process = self._owners[tid]
        begun = self._open_call(tid)
        if begun is None:
            kernel.resume(tid)
            return
        rval = syscall_info.RVAL.unpack_from(info)[0]
        data = self._read_exit(tid, process, begun, rval)
        kernel.resume(tid)
        head = self._syscall_head(tid, process, begun, now, rval, len(data))
        self._queue.put(head, data, process.ordinal, now)
        self._set_open_call(tid, None)
