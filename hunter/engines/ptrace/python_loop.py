"""The loop of the `ptrace-python` engine: all in Python, where nothing native may be loaded."""

from __future__ import annotations

import ctypes
import time
from typing import Callable, Dict, FrozenSet, List, Optional, Set, Tuple

from hg_shared.records import BIG_NUMBER, CAPTURE, HEAD, UNKNOWN_LENGTH, encode_capture
from hunter.calls import capture_plan, descriptors
from hunter.engines.ptrace import kernel, syscall_info
from hunter.engines.ptrace.stops import SYSCALL_STOP
from hunter.engines.ptrace.syscall_loop import StopHandler, SyscallLoop, TracerContext
from hunter.engines.ptrace.tracee import Entered, Tracee
from hunter.engines.record_queue import RecordQueue

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


class PythonLoop(SyscallLoop):
    """Handles syscall-stops in Python; see `SyscallLoop`."""

    name = "ptrace-python"

    def __init__(self, context: TracerContext) -> None:
        super().__init__(context)
        options, reader = context.options, context.reader
        self.queue = self._records = RecordQueue(options.source, options.buffer_bytes)
        self._limit, self._pread = options.string_size, self._kernel.pread
        self._steps = _steps(reader.abi, options.decode_fds)
        self._wanted: Optional[FrozenSet[int]] = None
        if options.wanted is not None:
            self._wanted = options.wanted.get(reader.abi, frozenset())
        self._entered: Dict[int, Entered] = {}
        self._leaving: Set[int] = set()
        self._arming: Set[int] = set()
        self._quiet: List[int] = []  # a list, so that the loop need not look up an attribute
        # The last quiet of which each thread has met the beginning.
        self._hushed: Dict[int, List[int]] = {}

    def own(self, tid: int, tracee: Tracee) -> None:
        """Takes a thread in."""
        self._tracees.owners[tid] = tracee

    def disown(self, tid: int) -> None:
        """Drops a thread."""
        self._tracees.owners.pop(tid, None)
        self._entered.pop(tid, None)
        self._leaving.discard(tid)
        self._hushed.pop(tid, None)
        self._arming.discard(tid)

    def open_calls(self) -> List[Tuple[int, Entered]]:
        """Returns the calls that threads are in."""
        return list(self._entered.items())

    def open_call(self, tid: int) -> Optional[Entered]:
        """Returns the call a thread is in."""
        return self._entered.get(tid)

    def set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        """Sets or clears the call a thread is in."""
        if entered is None:
            self._entered.pop(tid, None)
        else:
            self._entered[tid] = entered

    def mark_leaving(self, threads: Set[int]) -> None:
        """Has threads let go at their next syscall-stop."""
        self._leaving |= threads

    def mark_arming(self, tid: int) -> None:
        """Records that a thread was asked to stop."""
        self._arming.add(tid)

    def is_arming(self, tid: int) -> bool:
        """Tells whether a thread has not stopped at a call since."""
        return tid in self._arming

    def set_quiet(self, quiet: int) -> None:
        """Lets calls pass unseen, or not any more."""
        self._quiet[:] = [quiet] if quiet else []

    def run(self, handler: StopHandler, between_stops: Callable[[], None]) -> None:
        """Handles stops until no tracee is left; the hot loop."""
        waitpid, now, ptrace = self._kernel.waitpid, time.monotonic_ns, self._kernel.fast_ptrace
        get_info, traced = kernel.PTRACE_GET_SYSCALL_INFO, kernel.PTRACE_SYSCALL
        everything = kernel.WAIT_ALL
        buffer = ctypes.create_string_buffer(syscall_info.SIZE)
        reference = ctypes.byref(buffer)
        size = syscall_info.SIZE
        view = memoryview(buffer).cast("B")
        unpack_entry = syscall_info.ENTRY.unpack_from
        unpack_rval = syscall_info.RVAL.unpack_from
        unpack_stack = syscall_info.STACK_POINTER.unpack_from
        pack = HEAD.pack
        entered, leaving, arming = self._entered, self._leaving, self._arming
        owners, interrupted = self._tracees.owners, self._tracees.interrupted
        is_wanted, read_entry = self._reader.is_wanted, self._reader.read_entry
        read_exit, quiet = self._read_exit, self._quiet
        queue = self._records
        heads, captured = queue.heads, queue.captures
        native, abi, steps = self._reader.arch, int(self._reader.abi), self._steps
        wanted = self._wanted
        no_step: Step = ((), (), _NOTHING, 0, 0)
        foreign: Step = ((), (), _OTHER, 0, 0)
        # Of the first word stops are counted, the second says that the next one is waited for.
        progress = self._progress.words
        while owners:
            progress[1] = 1
            tid, status = waitpid(-1, everything)
            progress[1] = 0
            progress[0] += 1
            if status != SYSCALL_STOP:
                handler.other_stop(tid, status)
                continue
            time_ns = now()
            if ptrace(get_info, tid, size, reference) < 0:
                continue  # killed while it was stopped: the buffer still holds another stop
            op = view[0]
            resume = traced
            if leaving or arming or quiet:
                resume = self._exceptional(handler, tid, view, time_ns)
                if not resume:
                    continue
            if op == 1:
                call = unpack_entry(buffer)
                nr = call[1]
                if wanted is not None and (
                    nr not in wanted if call[0] == native else not is_wanted(call)
                ):
                    ptrace(resume, tid, 0, 0)
                    continue
                step = steps.get(nr, no_step)
                if step[0] or call[0] != native or nr >= BIG_NUMBER:
                    stack = unpack_stack(buffer)[0]
                    entered[tid] = (time_ns, call, read_entry(tid, call, stack))
                else:
                    entered[tid] = (time_ns, call, b"")
                ptrace(resume, tid, 0, 0)
                continue
            begun = entered.get(tid)
            if begun is None or op != 2:
                ptrace(resume, tid, 0, 0)
                continue
            tracee = owners[tid]
            start, (arch, nr, a0, a1, a2, a3, a4, a5), data = begun
            rval = unpack_rval(buffer)[0]
            step = steps.get(nr, no_step) if arch == native else foreign
            if step[2]:
                data = read_exit(tid, tracee, begun, rval, step)
            ptrace(resume, tid, 0, 0)
            if arch == native and nr < BIG_NUMBER:
                head = pack(
                    start, time_ns - start, rval, a0, a1, a2, a3, a4, a5, tid, tracee.ordinal,
                    nr, 0, abi, len(data),
                )  # fmt: skip
            else:
                head = self._reader.head(tid, tracee, begun, time_ns, rval, len(data))
            if len(heads) + len(captured) < queue.limit:
                captured += data
                heads += head
            else:
                queue.put(head, data, tracee.ordinal, time_ns)
            if entered.pop(tid, None) is None:
                # A request to leave took it while its record was made.
                interrupted.pop(tid, None)

    def _exceptional(self, handler: StopHandler, tid: int, info: memoryview, time_ns: int) -> int:
        """Returns the request that lets a thread go on, 0 when it needs none any more.

        A call that began before the quiet is still recorded, and so is the first whose entry is
        seen in it, which may have; then the thread runs free.
        """
        if tid in self._leaving:
            handler.leave_here(tid, bytes(info), time_ns)
            return 0
        self._arming.discard(tid)  # this stop stands for the one that was asked for
        quiet, op = self._quiet[:], info[0]
        if not quiet:
            return kernel.PTRACE_SYSCALL
        if op == syscall_info.OP_ENTRY and self._hushed.get(tid) != quiet:
            self._hushed[tid] = quiet
            return kernel.PTRACE_SYSCALL
        if op == syscall_info.OP_ENTRY or tid not in self._entered:
            self._kernel.fast_ptrace(kernel.PTRACE_CONT, tid, 0, 0)
            return 0
        return kernel.PTRACE_CONT

    def _read_exit(self, tid: int, tracee: Tracee, begun: Entered, rval: int, step: Step) -> bytes:
        """Reads what a call leaves behind; the commonest forms with one read and no plan."""
        _, _, code, arg, length_arg = step
        call, limit = begun[1], self._limit
        at = call[2 + arg]
        try:
            if code == _PATH:
                if not at:
                    return begun[2]
                room = 4096 - (at & 4095)
                text = self._pread(tracee.memory, 256 if room > 256 else room, at)
                end = text.find(b"\0")
                if end >= 0:
                    return CAPTURE.pack(arg, 0, end, end) + text[:end]
            elif code != _OTHER:
                length = rval if code == _BUF_RET else call[2 + length_arg]
                if not at or length < 0:
                    return begun[2]
                text = self._pread(tracee.memory, length if length < limit else limit, at)
                if length > UNKNOWN_LENGTH:
                    length = UNKNOWN_LENGTH
                return CAPTURE.pack(arg, 0, len(text), length) + text
        except (OSError, OverflowError):
            if tracee.memory >= 0:
                return encode_capture(arg, 0, None, 0)
        return self._reader.read_exit(tid, tracee, begun, rval)
