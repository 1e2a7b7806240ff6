"""The `ptrace-python` engine: the loop in pure Python, where nothing native may be loaded."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Dict, FrozenSet, List, Optional, Set, Tuple

from hg_shared.records import BIG_NUMBER, CAPTURE, HEAD, UNKNOWN_LENGTH, encode_capture
from hunter.calls import capture_plan, descriptors
from hunter.engines.ptrace import kernel, syscall_info
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.engines.ptrace.stops import SYSCALL_STOP
from hunter.engines.ptrace.tracee import Entered, Process
from hunter.engines.record_queue import RecordQueue
from hunter.watchdog.progress import TracerProgress

# How a call is read at its exit stop, for the forms that the loop handles itself.
_NOTHING, _PATH, _BUF_ARG, _BUF_RET, _OTHER = range(5)

# Items at entry, items at exit, how it is read at exit, pointer argument, length argument.
Step = Tuple[capture_plan.Items, capture_plan.Items, int, int, int]


def _steps(abi: int, decode_fds: bool = False) -> Dict[int, Step]:
    """Returns the capture plan by number, with the commonest forms marked for the loop.

    Args:
        abi: an `Abi`.
        decode_fds: what new descriptors refer to is read too, which the loop does not.
    """
    steps: Dict[int, Step] = {}
    codes = {
        capture_plan.PATH: _PATH,
        capture_plan.BUF_ARG: _BUF_ARG,
        capture_plan.BUF_RET: _BUF_RET,
    }
    for nr, plan in enumerate(capture_plan.plan(abi)):
        if plan is None:
            made = decode_fds and nr in descriptors.makers(abi)
            steps[nr] = ((), (), _OTHER if made else _NOTHING, 0, 0)
            continue
        at_entry, at_exit = plan
        code, arg, length = (_OTHER if at_exit else _NOTHING), 0, 0
        if len(at_exit) == 1 and not at_entry:
            form, arg, length, extra, out = at_exit[0]
            # The loop looks at the first three arguments only.
            fast = form in codes and arg <= 2 and not extra
            if fast and out == (form == capture_plan.BUF_RET):
                code = codes[form]
        if decode_fds and nr in descriptors.makers(abi):
            code = _OTHER
        steps[nr] = (at_entry, at_exit, code, arg, length)
    return steps


class PtracePythonEngine(PtraceEngine):
    """Handles syscall stops in Python; see `PtraceEngine`.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        string_size: bytes of each string and buffer to keep.
        buffer_bytes: bound of the queue.
        wanted: syscall numbers to record by ABI, None for all.
        decode_fds: also read what new descriptors refer to.
        source: which tracer of this hunter.
        progress: counts its stops, and is told of the processes that it holds.
    """

    name = "ptrace-python"

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
        self._records = RecordQueue(source, buffer_bytes)
        super().__init__(machine, string_size, self._records, wanted, decode_fds, progress)
        self._limit = string_size
        self._wanted = wanted
        self._steps = _steps(self._abi, decode_fds)
        self._entered: Dict[int, Entered] = {}
        self._leaving: Set[int] = set()
        self._arming: Set[int] = set()
        self._quiet: List[int] = []  # a list, so that the loop need not look up an attribute
        # The last quiet of which each thread has met the beginning.
        self._hushed: Dict[int, List[int]] = {}

    def _mark_arming(self, tid: int) -> None:
        self._arming.add(tid)

    def _is_arming(self, tid: int) -> bool:
        return tid in self._arming

    def _set_quiet(self, quiet: int) -> None:
        self._quiet[:] = [quiet] if quiet else []

    def _open_calls(self) -> List[Tuple[int, Entered]]:
        return list(self._entered.items())

    def _open_call(self, tid: int) -> Optional[Entered]:
        return self._entered.get(tid)

    def _set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        if entered is None:
            self._entered.pop(tid, None)
        else:
            self._entered[tid] = entered

    def _own(self, tid: int, process: Process) -> None:
        self._owners[tid] = process

    def _disown(self, tid: int) -> None:
        self._owners.pop(tid, None)
        self._entered.pop(tid, None)
        self._leaving.discard(tid)
        self._hushed.pop(tid, None)
        self._arming.discard(tid)

    def _mark_leaving(self, threads: Set[int]) -> None:
        self._leaving |= threads

    def _loop(self) -> None:
        """The hot loop: returns when no tracee is left."""
        waitpid, now, pread = os.waitpid, time.monotonic_ns, os.pread
        ptrace = kernel.fast_ptrace
        get_info, traced, free, everything = (
            kernel.PTRACE_GET_SYSCALL_INFO, kernel.PTRACE_SYSCALL, kernel.PTRACE_CONT,
            kernel.WAIT_ALL,
        )  # fmt: skip
        buffer = ctypes.create_string_buffer(syscall_info.SIZE)
        reference = ctypes.byref(buffer)
        size = syscall_info.SIZE
        view = memoryview(buffer).cast("B")
        unpack_entry = syscall_info.ENTRY.unpack_from
        unpack_rval = syscall_info.RVAL.unpack_from
        unpack_stack = syscall_info.STACK_POINTER.unpack_from
        pack = HEAD.pack
        entered, owners, leaving, quiet = self._entered, self._owners, self._leaving, self._quiet
        hushed, arming = self._hushed, self._arming
        queue = self._records
        heads, captured = queue.heads, queue.captures
        native, abi = self._arch, int(self._abi)
        steps, limit = self._steps, self._limit
        wanted = None if self._wanted is None else self._wanted.get(self._abi, frozenset())
        no_step: Step = ((), (), _NOTHING, 0, 0)
        foreign: Step = ((), (), _OTHER, 0, 0)
        capture_header, unknown = CAPTURE.pack, UNKNOWN_LENGTH
        # Of the first word stops are counted, the second says that the next one is waited for.
        progress = self._progress.words
        while True:
            progress[1] = 1
            tid, status = waitpid(-1, everything)
            progress[1] = 0
            progress[0] += 1
            if status != SYSCALL_STOP:
                self._other_stop(tid, status)
                if not owners:
                    return
                continue
            time_ns = now()
            if ptrace(get_info, tid, size, reference) < 0:
                continue  # killed while it was stopped: the buffer still holds another stop
            if leaving and tid in leaving:
                self._leave_here(tid, bytes(view), time_ns)
                if not owners:
                    return
                continue
            if arming:
                arming.discard(tid)  # this stop stands for the one that was asked for
            op = view[0]
            resume = traced
            if quiet:
                # A call that began before the quiet is still recorded, and so is the first whose
                # entry is seen in it, which may have; then the thread runs free.
                number = quiet[:]
                if op == 1 and hushed.get(tid) != number:
                    hushed[tid] = number
                else:
                    resume = free
                    if op == 1 or tid not in entered:
                        ptrace(free, tid, 0, 0)
                        continue
            if op == 1:
                call = unpack_entry(buffer)
                nr = call[1]
                if wanted is not None and (
                    nr not in wanted if call[0] == native else not self._is_wanted(call)
                ):
                    ptrace(resume, tid, 0, 0)
                    continue
                step = steps.get(nr, no_step)
                if step[0] or call[0] != native or nr >= BIG_NUMBER:
                    stack = unpack_stack(buffer)[0]
                    entered[tid] = (time_ns, call, self._read_entry(tid, call, stack))
                else:
                    entered[tid] = (time_ns, call, b"")
                ptrace(resume, tid, 0, 0)
                continue
            begun = entered.get(tid)
            if begun is None or op != 2:
                ptrace(resume, tid, 0, 0)
                continue
            process = owners[tid]
            start, (arch, nr, a0, a1, a2, a3, a4, a5), data = begun
            rval = unpack_rval(buffer)[0]
            step = steps.get(nr, no_step) if arch == native else foreign
            code = step[2]
            if code:
                try:
                    if code == 1:
                        arg = step[3]
                        at = a0 if arg == 0 else a1 if arg == 1 else a2
                        if at:
                            room = 4096 - (at & 4095)
                            text = pread(process.memory, 256 if room > 256 else room, at)
                            end = text.find(b"\0")
                            if end >= 0:
                                data = capture_header(arg, 0, end, end) + text[:end]
                            else:
                                data = self._read_exit(tid, process, begun, rval)
                    elif code == 2 or code == 3:
                        arg = step[3]
                        at = a0 if arg == 0 else a1 if arg == 1 else a2
                        if code == 3:
                            length = rval
                        else:
                            length = begun[1][2 + step[4]]
                        if at and length >= 0:
                            text = pread(process.memory, length if length < limit else limit, at)
                            if length > unknown:
                                length = unknown
                            data = capture_header(arg, 0, len(text), length) + text
                    else:
                        data = self._read_exit(tid, process, begun, rval)
                except (OSError, OverflowError):
                    if process.memory < 0:
                        data = self._read_exit(tid, process, begun, rval)
                    else:
                        data = encode_capture(step[3], 0, None, 0)
            ptrace(resume, tid, 0, 0)
            if arch == native and nr < BIG_NUMBER:
                head = pack(
                    start, time_ns - start, rval, a0, a1, a2, a3, a4, a5, tid, process.ordinal,
                    nr, 0, abi, len(data),
                )  # fmt: skip
            else:
                head = self._syscall_head(tid, process, begun, time_ns, rval, len(data))
            if len(heads) + len(captured) < queue.limit:
                captured += data
                heads += head
            else:
                queue.put(head, data, process.ordinal, time_ns)
            if entered.pop(tid, None) is None:
                # A request to leave took it while its record was made.
                self._interrupted.pop(tid, None)
