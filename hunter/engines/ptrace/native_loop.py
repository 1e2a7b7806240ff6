"""The loop of the `ptrace` engine: syscall-stops in C, what C cannot read in Python."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import Callable, Dict, List, Optional, Set, Tuple

from hunter.calls import capture_plan, descriptors
from hunter.engines.native import structures
from hunter.engines.native.library import load
from hunter.engines.native.ring_queue import MAX_PROCESSES, NativeQueue, shared
from hunter.engines.native.threads import MAX_THREADS, NativeThreads
from hunter.engines.ptrace import syscall_info
from hunter.engines.ptrace.syscall_loop import StopHandler, SyscallLoop, TracerContext
from hunter.engines.ptrace.tracee import Entered, Tracee
from hunter.errors import NoRoom, ProcessGone

_EINTR = 4
_TWO = Struct("<QQ")
_TWO_HALVES = Struct("<II")
_STOP = Struct("<iIQ")
_WORD = Struct("<Q")


class NativeLoop(SyscallLoop):
    """Handles syscall-stops in C; see `SyscallLoop`.

    Raises:
        HunterError: the loop cannot be loaded here.
    """

    name = "ptrace"

    def __init__(self, context: TracerContext) -> None:
        super().__init__(context)
        options, reader = context.options, context.reader
        self._library = load()
        self.queue = self._rings = NativeQueue(self._library, options.source, options.buffer_bytes)
        self._slots = NativeThreads(self._library, self._rings)
        # Calls whose entry was read by Python: their captures.
        self._entry_data: Dict[int, bytes] = {}
        plan = structures.encode_plan(
            capture_plan.plan(reader.abi),
            None if options.wanted is None else options.wanted.get(reader.abi, frozenset()),
            options.string_size,
            frozenset(descriptors.makers(reader.abi)) if options.decode_fds else frozenset(),
        )
        shared_context = self._rings.context
        self._calls, calls = shared(len(plan.calls))
        self._calls[:] = plan.calls
        self._items, items = shared(len(plan.items))
        self._items[:] = plan.items
        _TWO.pack_into(shared_context, structures.CALLS, calls, plan.call_count)
        _WORD.pack_into(shared_context, structures.ITEMS, items)
        clock = ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value
        _WORD.pack_into(shared_context, structures.CLOCK, clock)
        _TWO_HALVES.pack_into(shared_context, structures.ARCH_ABI, reader.arch, reader.abi)
        _WORD.pack_into(shared_context, structures.LIMIT, options.string_size)
        _WORD.pack_into(shared_context, structures.PROGRESS, self._progress.address)

    def open_calls(self) -> List[Tuple[int, Entered]]:
        """Returns the calls that threads are in."""
        found = []
        for tid in self._slots.tids():
            entered = self.open_call(tid)
            if entered is not None:
                found.append((tid, entered))
        return found

    def open_call(self, tid: int) -> Optional[Entered]:
        """Returns the call a thread is in."""
        call = self._slots.call(tid)
        if call is None:
            return None
        start, arch, numbers, data = call
        return start, (arch, *numbers), self._entry_data.get(tid, data)

    def set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        """Sets or clears the call a thread is in."""
        if entered is None:
            self._slots.set_call(tid, 0, 0, ())
            self._entry_data.pop(tid, None)
            self._slots.clear_flag(tid, structures.FLAG_PYTHON)
        else:
            start, (arch, *numbers), data = entered
            self._entry_data[tid] = data
            self._slots.set_flag(tid, structures.FLAG_PYTHON)
            self._slots.set_call(tid, start, arch, tuple(numbers))

    def own(self, tid: int, tracee: Tracee) -> None:
        """Takes a thread in."""
        index = self._rings.add_process(tracee.ordinal, tracee.memory)
        if index < 0 or not self._slots.add(tid, index):
            raise NoRoom(
                f"one hunter traces at most {MAX_PROCESSES} processes and {MAX_THREADS} threads"
            )
        self._tracees.owners[tid] = tracee

    def disown(self, tid: int) -> None:
        """Drops a thread."""
        self._tracees.owners.pop(tid, None)
        self._entry_data.pop(tid, None)
        self._slots.remove(tid)

    def mark_leaving(self, threads: Set[int]) -> None:
        """Has threads let go at their next syscall-stop."""
        for tid in threads:
            self._slots.set_flag(tid, structures.FLAG_LEAVING)

    def mark_arming(self, tid: int) -> None:
        """Records that a thread was asked to stop."""
        self._slots.set_flag(tid, structures.FLAG_ARMING)

    def is_arming(self, tid: int) -> bool:
        """Tells whether a thread has not stopped at a call since."""
        return self._slots.has_flag(tid, structures.FLAG_ARMING)

    def set_quiet(self, quiet: int) -> None:
        """Lets calls pass unseen, or not any more."""
        _WORD.pack_into(self._rings.context, structures.QUIET, quiet)

    def stops(self) -> int:
        """Returns how many syscall stops there were."""
        return int(_WORD.unpack_from(self._rings.context, structures.STOPS)[0])

    def leave(self) -> None:
        """Makes the C code return."""
        _WORD.pack_into(self._rings.context, structures.WAKE, 1)

    def has_room(self) -> bool:
        """Tells whether one more process and its threads can be traced."""
        return self._rings.has_room() and self._slots.has_room()

    def process_gone(self, tracee: Tracee) -> None:
        """Gives the place of a process to others."""
        self._rings.remove_process(tracee.ordinal)

    def memory_changed(self, tracee: Tracee) -> None:
        """Tells the C code where a process's memory is read now."""
        self._rings.add_process(tracee.ordinal, tracee.memory)

    def run(self, handler: StopHandler, between_stops: Callable[[], None]) -> None:
        """Runs the C loop and answers what it returns; ends when no tracee is left."""
        run, context = self._library.hot_run, self._rings.context
        address = self._rings.address
        while self._tracees.owners:
            reason = run(address)
            if reason == -_EINTR:
                between_stops()  # a handler, where there is one, has run by now
                continue
            if reason < 0:
                raise ChildProcessError(-reason, "wait4")
            tid, status, now = _STOP.unpack_from(context, structures.TID_STATUS)
            if reason == structures.STOP:
                handler.other_stop(tid, status)
                continue
            info = context[structures.INFO : structures.INFO + syscall_info.SIZE]
            try:
                if reason == structures.LEAVING:
                    handler.leave_here(tid, info, now)
                elif reason == structures.ENTRY_FOR_PYTHON:
                    self._enter(tid, info, now)
                elif reason == structures.EXIT_FOR_PYTHON:
                    self._return(tid, info, now)
                else:
                    self._kernel.detach(tid)  # no room was left for it
            except ProcessGone:
                pass  # killed while it was stopped; its end is reported by a later wait

    def _enter(self, tid: int, info: bytes, now: int) -> None:
        call = syscall_info.ENTRY.unpack_from(info)
        if self._reader.is_wanted(call):
            stack = syscall_info.STACK_POINTER.unpack_from(info)[0]
            self.set_open_call(tid, (now, call, self._reader.read_entry(tid, call, stack)))
        self._kernel.resume(tid)

    def _return(self, tid: int, info: bytes, now: int) -> None:
        tracee = self._tracees.owners[tid]
        begun = self.open_call(tid)
        if begun is None:
            self._kernel.resume(tid)
            return
        rval = syscall_info.RVAL.unpack_from(info)[0]
        data = self._reader.read_exit(tid, tracee, begun, rval)
        self._kernel.resume(tid)
        head = self._reader.head(tid, tracee, begun, now, rval, len(data))
        self.queue.put(head, data, tracee.ordinal, now)
        self.set_open_call(tid, None)
