"""What both ptrace engines share: everything but the loop that handles syscall stops.

The main thread is the tracer: ptrace(2) binds a tracee to one thread, and only in the main thread
does a signal get waitpid(2) to let requests through. Requests come from the control thread through
a deque and SIGUSR1, whose handler carries them out; a signal that comes just before waitpid blocks
is repeated by `poke`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from struct import Struct
from typing import AbstractSet, Callable, Deque, Dict, FrozenSet, List, Optional, Set, Tuple

from hg_shared.batch import Batch
from hg_shared.records import (
    BIG_NUMBER,
    CWD_ARGUMENT,
    FD_ARGUMENT,
    HEAD,
    MAX_CAPTURE,
    NUMBER_HOP,
    Kind,
    encode_capture,
)
from hunter import capture_plan, captures, descriptors
from hunter.engines import IDLE_INTERVAL, INTERVAL, Counters, Follow, Notice
from hunter.engines.queue import Queue
from hunter.errors import HunterError, NotPermitted, ProcessGone
from hunter.fds import CWD, Sockets, fd_text
from hunter.memory import procfs
from hunter.tracing import kernel, syscall_info
from hunter.tracing.stops import StopKind, classify

WATERMARK_NS = 100_000_000
IDLE_NS = 150_000_000
# ERESTARTSYS to ERESTART_RESTARTBLOCK (linux/errno.h): the kernel will start the call again.
RESTART_FIRST, RESTART_LAST = 512, 516
# PTRACE_EVENT_FORK and PTRACE_EVENT_VFORK; a clone may be a thread.
_NEW_PROCESS = (1, 2)
_PAIR = Struct("<ii")
# When it started, its arch, number and six arguments, and what was captured at its entry.
Entered = Tuple[int, Tuple[int, ...], bytes]


class Process:
    """A traced process: its threads and the file its memory is read through."""

    __slots__ = ("leaving", "memory", "ordinal", "pid", "status", "threads")

    def __init__(self, ordinal: int, pid: int, memory: int) -> None:
        self.ordinal = ordinal
        self.pid = pid
        self.memory = memory
        self.threads: Set[int] = set()
        self.leaving = False
        self.status = 0


def _fd_capture(argument: int, hop: int, text: Optional[str]) -> bytes:
    if text is None:
        return b""
    data = text.encode("utf-8", "surrogateescape")[:MAX_CAPTURE]
    return encode_capture(argument, hop, data, len(data))


class PtraceEngine(ABC):
    """Traces with ptrace(2); see `hunter.engines.Engine`.

    A subclass handles syscall stops in `_loop` and keeps the calls that are open.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        string_size: bytes of each string and buffer to keep.
        queue: where records go.
        wanted: syscall numbers to record by ABI, None for all.
        decode_fds: also read what new descriptors refer to.
    """

    name: str

    def __init__(
        self,
        machine: str,
        string_size: int,
        queue: Queue,
        wanted: Optional[Dict[int, FrozenSet[int]]] = None,
        decode_fds: bool = False,
    ) -> None:
        self.ended = False
        self._decode_fds = decode_fds
        self._arch = syscall_info.MACHINE_ARCH[machine]
        self._abi = syscall_info.MACHINE_ABI[machine]
        self._limit = string_size
        self._wanted = wanted
        self._queue = queue
        self._owners: Dict[int, Process] = {}
        self._processes: Dict[int, Process] = {}
        self._by_pid: Dict[int, Process] = {}
        self._interrupted: Dict[int, Entered] = {}
        self._announced: Dict[int, int] = {}
        # Tids of clone, fork and vfork events whose first stop has not come, with the ordinal of
        # the process that started them if they are processes; and the reverse, also of those that
        # were killed before any stop, with their wait status.
        self._newborn: Dict[int, int] = {}
        self._early: Set[int] = set()
        self._stillborn: Dict[int, int] = {}
        self._requests: Deque[Tuple[str, int, int]] = deque()
        # Threads that other tracers of this hunter seize, by ordinal; and processes in which
        # another tracer's thread has executed a program.
        self._others: Dict[int, Set[int]] = {}
        self._superseded: Deque[int] = deque()
        self._notices: Deque[Notice] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._main = 0
        self.thread_id = 0
        """Of the tracer, once it runs."""
        self._ready = threading.Event()
        self._beside = False
        self._last_records = 0
        self._last_mark = 0
        self._window_notes: Deque[Tuple[int, int, int, bool, int]] = deque()
        self._ran: Dict[int, str] = {}
        self.release_child: Optional[Callable[[int, int], None]] = None
        """Told of each child process and its parent before the child runs."""
        self.follow: Optional[Follow] = None
        """Asked about each child process before it runs; None to let all of them go."""

    @property
    def interval(self) -> float:
        """Seconds after which the writer must look again."""
        return INTERVAL if self._processes else IDLE_INTERVAL

    # What a subclass keeps.

    @abstractmethod
    def _loop(self) -> None:
        """Handles stops until no tracee is left; the hot loop."""

    @abstractmethod
    def _open_calls(self) -> List[Tuple[int, Entered]]:
        """Returns the calls that threads are in. Called by the writer's thread."""

    @abstractmethod
    def _open_call(self, tid: int) -> Optional[Entered]:
        """Returns the call a thread is in."""

    @abstractmethod
    def _set_open_call(self, tid: int, entered: Optional[Entered]) -> None:
        """Notes or clears the call a thread is in."""

    @abstractmethod
    def _own(self, tid: int, process: Process) -> None:
        """Takes a thread over."""

    @abstractmethod
    def _disown(self, tid: int) -> None:
        """Drops a thread."""

    @abstractmethod
    def _mark_leaving(self, threads: Set[int]) -> None:
        """Has threads handed to `_leave_here` at their next syscall stop."""

    @abstractmethod
    def _set_quiet(self, quiet: bool) -> None:
        """Lets calls pass unseen, or not any more. Called by the control thread."""

    def _leave_loop(self) -> None:  # noqa: B027 - a loop in Python need not be left
        """Makes a loop that is not Python return, so that signal handlers run."""

    def _process_gone(self, process: Process) -> None:  # noqa: B027 - most need not know
        """Tells that a process is traced no longer, and that all its records are queued."""

    def _memory_changed(self, process: Process) -> None:  # noqa: B027 - most need not know
        """Tells that a process's memory is read through another descriptor now."""

    # Control thread.

    def attach(self, ordinal: int, pid: int) -> None:
        """Asks for a process to be traced."""
        self._requests.append(("attach", ordinal, pid))
        self.poke()

    def attach_but(self, ordinal: int, pid: int, others: Set[int]) -> None:
        """Asks for a process to be traced but for threads that are another tracer's.

        Args:
            ordinal: the process.
            pid: its process id.
            others: tids of these threads.
        """
        self._others[ordinal] = others
        self.attach(ordinal, pid)

    def supersede(self, ordinal: int) -> None:
        """Tells that a thread of another tracer has executed a program and is the leader now."""
        self._superseded.append(ordinal)
        self.poke()

    def owns(self, tid: int) -> bool:
        """Tells whether a thread is traced here."""
        return tid in self._owners

    def detach(self, ordinal: int) -> None:
        """Asks for a process to be let go."""
        self._requests.append(("detach", ordinal, 0))
        self.poke()

    def stop(self) -> None:
        """Asks for everything to be let go and `run` to return."""
        self._requests.append(("stop", 0, 0))
        self.poke()

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Pauses tracing, or goes on with it; threads stay attached and run free meanwhile.

        Args:
            on: whether calls are recorded from now on.
            loss: share of its time that the target was estimated to lose, for the note in the log.
            now_ns: CLOCK_MONOTONIC.
        """
        self.set_tracing_but(on, loss, now_ns, frozenset())

    def set_tracing_but(
        self, on: bool, loss: float, now_ns: int, noted: AbstractSet[int]
    ) -> Set[int]:
        """Does the same and leaves out the notes about some processes.

        Args:
            on: see `set_tracing`.
            loss: see `set_tracing`.
            now_ns: see `set_tracing`.
            noted: ordinals of processes of which another tracer has noted it.

        Returns:
            The ordinals of this tracer's processes.
        """
        self._set_quiet(not on)
        processes = list(self._processes.values())
        for process in processes:
            if process.ordinal not in noted:
                self._window_notes.append(
                    (now_ns, process.pid, process.ordinal, on, round(loss * 1000))
                )
        if on:
            self._requests.append(("rearm", 0, 0))
            self.poke()
        return {process.ordinal for process in processes}

    def poke(self) -> None:
        """Signals the tracer if requests wait."""
        if (self._requests or self._superseded) and self._main:
            self._wake.set()
            self._leave_loop()
            signal.pthread_kill(self._main, signal.SIGUSR1)

    def notices(self) -> List[Notice]:
        """Returns what happened since the last call."""
        found = []
        while self._notices:
            found.append(self._notices.popleft())
        return found

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> List[Batch]:
        """Returns the records taken since the last call; see `Engine.drain`."""
        watermark = now_ns if everything else now_ns - WATERMARK_NS
        heads, data = self._in_flight(watermark, now_ns)
        batches = self._queue.take(watermark, (self._windows() + heads, data))
        if everything:
            # Only now is there room for a note of each process.
            self._queue.flush_losses(now_ns)
            batches += self._queue.take(watermark)
        if batches:
            self._last_records = now_ns
        elif now_ns - self._last_records <= 2 * WATERMARK_NS or now_ns - self._last_mark >= IDLE_NS:
            # What was sent last is printed once the watermark has passed it; after that the
            # watermark shows that calls in flight grow older, and how little can be missing when
            # nothing follows because the container has died.
            batches = [self._queue.empty(watermark)]
        if batches:
            self._last_mark = now_ns
        return batches

    def mark(self, now_ns: int) -> Batch:
        """Returns a batch without records, for a reader that waits for this source's watermark.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        self._last_mark = now_ns
        return self._queue.empty(now_ns - WATERMARK_NS)

    def _windows(self) -> bytes:
        """Returns the notes about windows of tracing, as heads."""
        heads = []
        while self._window_notes:
            start, tid, ordinal, on, loss = self._window_notes.popleft()
            heads.append(
                HEAD.pack(
                    start, 0, 0, on, loss, 0, 0, 0, 0, tid, ordinal, 0, Kind.WINDOW, self._abi, 0
                )
            )
        return b"".join(heads)

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        sent, lost = self._queue.sent(), self._queue.lost()
        return {
            ordinal: Counters(sent.get(ordinal, 0) + lost.get(ordinal, 0), lost.get(ordinal, 0))
            for ordinal in {*sent, *lost}
        }

    def stops(self) -> int:
        """Returns how many syscall stops there were, roughly: two for each record."""
        return 2 * (sum(self._queue.sent().values()) + self._queue.waiting())

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return self._queue.size()

    def _in_flight(self, before: int, now: int) -> Tuple[bytes, bytes]:
        """Notes calls that started before the watermark and have not been noted yet.

        The open calls are listed before the queue is taken: one that returns meanwhile stands in
        front of its own SYSCALL record, never behind it.
        """
        heads, parts = [], []
        open_calls = [*self._open_calls(), *list(self._interrupted.items())]
        announced = {}
        for tid, entered in open_calls:
            start = entered[0]
            if start >= before:
                continue
            announced[tid] = start
            if self._announced.get(tid) == start:
                continue
            process = self._owners.get(tid)
            if process is not None:
                head, data = self._open_record(tid, process, entered, now)
                heads.append(head)
                parts.append(data)
        self._announced = announced
        return b"".join(heads), b"".join(parts)

    def _open_record(
        self, tid: int, process: Process, entered: Entered, now: int
    ) -> Tuple[bytes, bytes]:
        start, (arch, nr, *args), data = entered
        abi = self._call_abi(arch, nr)
        number = syscall_info.number_of(abi, nr)
        plan = capture_plan.call_plan(abi, number)
        if plan is not None:
            # It runs, as far as anybody knows: without the file there is nothing to read it by.
            data += captures.read_in_flight(plan[1], args, self._reader(process, 0), self._limit)
        head = HEAD.pack(
            start, max(now - start, 0), 0, *args, tid, process.ordinal, number,
            Kind.IN_FLIGHT, abi, len(data),
        )  # fmt: skip
        return head, data

    # The tracer's thread.

    def run(self) -> None:
        """Traces until `stop`, then returns when every tracee has been let go. The main thread's.

        Requests are carried out in a signal handler, so also between two stops of a busy tracee.
        """
        signal.signal(signal.SIGUSR1, self._on_signal)
        self._serve()

    def run_beside(self) -> None:
        """Does the same in another thread, where a request is carried out when the loop returns."""
        self._beside = True
        self._serve()

    def wait_ready(self) -> None:
        """Waits until requests can be made to a tracer that was started by `run_beside`."""
        self._ready.wait()

    def _serve(self) -> None:
        self.thread_id = threading.get_native_id()
        self._main = threading.get_ident()
        self._ready.set()
        while True:
            self._carry_out()
            self._between_stops()
            if self._owners:
                try:
                    self._loop()
                except ChildProcessError:
                    self._owners.clear()
                self._await_newborn()
            elif self._stopping:
                self._main = 0
                self.ended = True
                return
            else:
                self._wake.wait()
                self._wake.clear()

    def _between_stops(self) -> None:
        """Does what must not happen within a stop; called where the loop was interrupted."""
        if self._beside:
            self._carry_out()
        while self._superseded:
            process = self._processes.get(self._superseded.popleft())
            # Other threads of this tracer end one by one; nothing tells the end of a leader.
            if process is not None and process.pid in process.threads:
                self._note_open(process.pid, process)
                self._forget(process.pid, process)
                self._close_if_empty(process, "exited")

    def _on_signal(self, _signum: int, _frame: object) -> None:
        self._carry_out()

    def _carry_out(self) -> None:
        """Carries out requests; may run at any bytecode of the loop, so it makes no record."""
        while True:
            try:
                verb, ordinal, pid = self._requests.popleft()
            except IndexError:
                return
            if verb == "attach":
                self._attach(ordinal, pid)
            elif verb == "detach":
                process = self._processes.get(ordinal)
                if process is not None:
                    self._leave(process)
            elif verb == "rearm":
                for process in list(self._processes.values()):
                    self._rearm(process)
            else:
                self._stopping = True
                for process in list(self._processes.values()):
                    self._leave(process)

    def _attach(self, ordinal: int, pid: int) -> None:
        now = time.monotonic_ns()
        memory = -1
        try:
            memory = kernel.open_memory(pid)
        except NotPermitted:
            pass  # ptrace(2) may still be allowed, and reads word by word then
        except HunterError as error:
            self._notices.append(Notice("attach_failed", ordinal, now, str(error)))
            return
        process = Process(ordinal, pid, memory)
        options = kernel.SEIZE_OPTIONS
        if self.release_child is not None or self.follow is not None:
            options |= kernel.FORK_OPTIONS
        failure: Optional[HunterError] = None
        refused: Set[int] = set()
        others = self._others.pop(ordinal, set())
        while True:
            # A thread may start another between the listing and the seizing of its creator.
            known = process.threads | refused | others
            fresh = [tid for tid in procfs.thread_ids(pid) if tid not in known]
            if not fresh:
                break
            for tid in fresh:
                try:
                    kernel.seize(tid, options)
                    process.threads.add(tid)
                    self._own(tid, process)
                    kernel.interrupt(tid)
                except HunterError as error:
                    if tid not in process.threads:
                        refused.add(tid)
                        failure = failure or error
        if not process.threads:
            if memory >= 0:
                os.close(memory)
            text = str(failure or ProcessGone(f"process {pid} is gone"))
            self._notices.append(Notice("attach_failed", ordinal, now, text))
            return
        self._processes[ordinal] = self._by_pid[pid] = process
        self._notices.append(Notice("attached", ordinal, now, "", len(process.threads)))
        if self._stopping:
            self._leave(process)

    def _rearm(self, process: Process) -> None:
        """Stops the threads that ran since the last window, so that their calls are seen again.

        A thread that slept all the time is left alone: a stop makes some calls return EINTR.
        """
        if process.leaving:
            return
        for tid in list(process.threads):
            ran = procfs.read_text(f"/proc/{process.pid}/task/{tid}/schedstat")
            if ran and self._ran.get(tid) == ran:
                continue
            self._ran[tid] = ran
            try:
                kernel.interrupt(tid)
            except HunterError:
                pass  # it ended; its wait status comes

    def _leave(self, process: Process) -> None:
        """Asks every thread to stop, so that it can be detached."""
        process.leaving = True
        # Any stop uses up the interrupt (ptrace_stop() clears it), so the loop must look for these
        # threads at syscall stops too.
        self._mark_leaving(process.threads)
        for tid in list(process.threads):
            entered = self._open_call(tid)
            if entered is not None:
                # It is never in neither of the two: the writer looks for open calls in both.
                self._interrupted[tid] = entered
                self._set_open_call(tid, None)
            try:
                kernel.interrupt(tid)
            except HunterError:
                pass  # it ended; its wait status comes

    def _reader(self, process: Process, tid: int) -> captures.Read:
        """Returns what reads a process's memory.

        Args:
            process: the process.
            tid: a thread of it that is stopped, 0 when none is known to be.
        """
        memory = process.memory
        if memory < 0 and tid:
            return self._peeker(tid)

        def read(address: int, length: int) -> Optional[bytes]:
            try:
                return os.pread(memory, length, address)
            except (OSError, OverflowError):
                return None

        return read

    @staticmethod
    def _peeker(tid: int) -> captures.Read:
        def read(address: int, length: int) -> Optional[bytes]:
            try:
                return kernel.peek(tid, address, length)
            except OSError:
                return None

        return read

    def _is_wanted(self, call: Tuple[int, ...]) -> bool:
        """Tells whether the filter lets a call of any ABI through."""
        if self._wanted is None:
            return True
        abi = self._call_abi(call[0], call[1])
        number = syscall_info.number_of(abi, call[1])
        return number in self._wanted.get(abi, frozenset())

    def _call_abi(self, arch: int, nr: int) -> int:
        """Returns the ABI of a call, 255 for one that has no name here."""
        if arch == self._arch and nr < BIG_NUMBER:
            return self._abi
        abi = syscall_info.abi_of(arch, nr)
        return 255 if abi is None else abi

    def _read_entry(self, tid: int, call: Tuple[int, ...], stack: int) -> bytes:
        """Reads what must be read before the call runs; `stack` is the stack pointer."""
        arch, nr, *args = call
        abi = self._call_abi(arch, nr)
        number = syscall_info.number_of(abi, nr)
        if number >= BIG_NUMBER:
            return encode_capture(0, NUMBER_HOP, nr.to_bytes(8, "little"), 8, at_entry=True)
        plan = capture_plan.call_plan(abi, number)
        process = self._owners.get(tid)
        if plan is None or not plan[0] or process is None:
            return b""
        read = self._reader(process, tid)
        return captures.read_captures(plan[0], args, 0, read, self._limit, True, stack)

    def _read_exit(self, tid: int, process: Process, begun: Entered, rval: int) -> bytes:
        """Reads what the plan says at the exit stop, for all forms."""
        _, (arch, nr, *args), data = begun
        abi = self._call_abi(arch, nr)
        plan = capture_plan.call_plan(abi, syscall_info.number_of(abi, nr))
        read = self._reader(process, tid)
        if plan is not None:
            data += captures.read_captures(plan[1], args, rval, read, self._limit, False)
        return data + self._read_fds(tid, abi, nr, args, rval, read) if self._decode_fds else data

    def _read_fds(
        self, tid: int, abi: int, nr: int, args: List[int], rval: int, read: captures.Read
    ) -> bytes:
        """Reads what the descriptors that a call made or changed refer to."""
        how = descriptors.makers(abi).get(nr)
        if how is None:
            return b""
        if how == descriptors.DIRECTORY:
            text = fd_text(tid, CWD, Sockets(tid)) if rval >= 0 else None
            return _fd_capture(CWD_ARGUMENT, 0, text)
        numbers = [descriptors.returned(how, args, rval)]
        if how == descriptors.PAIR:
            at = args[descriptors.pair_argument(abi, nr)]
            held = read(at, _PAIR.size) if rval >= 0 and at else None
            numbers = list(_PAIR.unpack(held)) if held and len(held) == _PAIR.size else []
        elif how == descriptors.PASSED:
            head = read(args[1], descriptors.MSGHDR_SIZE) if rval >= 0 else None
            address, size = descriptors.control_of(head or b"")
            control = read(address, size) if size else None
            numbers = descriptors.passed(control or b"")
        sockets = Sockets(tid)
        return b"".join(
            _fd_capture(FD_ARGUMENT, hop, fd_text(tid, str(number), sockets))
            for hop, number in enumerate(numbers)
            if number >= 0
        )

    def _syscall_head(
        self, tid: int, process: Process, begun: Entered, end: int, rval: int, length: int
    ) -> bytes:
        """Packs the head of a SYSCALL record, for any ABI and any number."""
        start, (arch, nr, *args), _ = begun
        abi = self._call_abi(arch, nr)
        return HEAD.pack(
            start, end - start, rval, *args, tid, process.ordinal,
            syscall_info.number_of(abi, nr), Kind.SYSCALL, abi, length,
        )  # fmt: skip

    # Stops that are not syscall stops.

    def _note(
        self,
        kind: Kind,
        tid: int,
        process: Process,
        nr: int = 0,
        rval: int = 0,
        arg: int = 0,
        data: bytes = b"",
    ) -> None:
        now = time.monotonic_ns()
        head = HEAD.pack(
            now, 0, rval, arg, 0, 0, 0, 0, 0, tid, process.ordinal, nr, kind, self._abi, len(data)
        )
        self._queue.put(head, data, process.ordinal, now)

    def _other_stop(self, tid: int, status: int) -> None:
        stop = classify(status)
        process = self._owners.get(tid)
        try:
            if stop.kind == StopKind.EXITED:
                creator = self._newborn.pop(tid, 0)
                if process is not None:
                    self._ended(tid, process, status)
                elif creator:
                    self._bury(tid, creator, status)
                elif self.follow is not None:
                    self._stillborn[tid] = status
                return
            if process is None:
                if self._newborn.pop(tid, None) is None:
                    self._early.add(tid)
                process = self._adopt(tid)
                if process is None:
                    kernel.detach(tid)
                    return
            self._answer(tid, process, stop.kind, stop.signal, stop.event)
        except ProcessGone:
            pass  # killed while it was stopped; its end is reported by a later wait

    def _await_newborn(self) -> None:
        """Takes the first stops of what was started by the last tracees just before they went.

        Nobody would wait for these threads and children any more, and they would stay stopped.
        """
        while self._newborn:
            tid, creator = self._newborn.popitem()
            try:
                _, status = kernel.wait(tid)
            except ChildProcessError:
                continue  # killed before it ran, and seen
            self._newborn[tid] = creator
            self._other_stop(tid, status)
        self._early.clear()
        self._stillborn.clear()

    def _adopt(self, tid: int) -> Optional[Process]:
        """Returns the process of a thread that was attached by the kernel with its creator.

        Its first stop may come before the creator's PTRACE_EVENT_CLONE. A child process (clone
        without CLONE_THREAD) belongs to none, unless it is to be followed.
        """
        tgid = procfs.status_fields(tid).get("Tgid", "")
        process = self._by_pid.get(int(tgid)) if tgid.isdecimal() else None
        if process is None:
            if tgid != str(tid):
                return None
            process = self._adopt_child(tid)
            if process is None:
                return None
        process.threads.add(tid)
        self._own(tid, process)
        self._note(Kind.ATTACHED, tid, process)
        return process

    def _adopt_child(self, pid: int) -> Optional[Process]:
        """Returns the process of a child at its first stop; None when it is not followed."""
        stat = procfs.stat(pid)
        if stat is None:
            return None
        if self.release_child is not None:
            # It inherited a mask that may be narrow; its own begins as its parent's was.
            self.release_child(pid, stat.ppid)
        parent = self._by_pid.get(stat.ppid)
        if self.follow is None or self._stopping or (parent is not None and parent.leaving):
            return None
        if not self._has_room():
            if parent is not None:
                now = time.monotonic_ns()
                self._notices.append(Notice("unfollowed", parent.ordinal, now, "1"))
            return None
        try:
            memory = kernel.open_memory(pid)
        except HunterError:
            return None
        ordinal = self.follow.reserve()
        if not ordinal:
            os.close(memory)
            return None
        now = time.monotonic_ns()
        creator = parent.ordinal if parent is not None else 0
        self.follow.declare(ordinal, pid, creator, 0)
        process = Process(ordinal, pid, memory)
        self._processes[ordinal] = self._by_pid[pid] = process
        self._notices.append(Notice("followed", ordinal, now, "", creator))
        return process

    def _bury(self, pid: int, creator: int, status: int) -> None:
        """Records the end of a child that was killed before it ran."""
        parent = self._processes.get(creator)
        if self.follow is None or self._stopping or not self._has_room():
            return
        ordinal = self.follow.reserve()
        if not ordinal:
            return
        now = time.monotonic_ns()
        stat = procfs.stat(parent.pid) if parent is not None else None
        self.follow.declare(ordinal, pid, creator, now, stat.command if stat is not None else "")
        process = Process(ordinal, pid, -1)
        process.threads.add(pid)
        self._processes[ordinal] = process
        self._own(pid, process)
        self._notices.append(Notice("followed", ordinal, now, "", creator))
        self._ended(pid, process, status)

    def _has_room(self) -> bool:
        """Tells whether one more process and its threads can be traced."""
        return True

    def _answer(self, tid: int, process: Process, kind: StopKind, signum: int, event: int) -> None:
        if kind == StopKind.SIGNAL:
            data = encode_capture(0, 0, kernel.siginfo(tid), kernel.SIGINFO_SIZE)
            self._note(Kind.SIGNAL, tid, process, nr=signum, data=data)
        elif kind == StopKind.GROUP:
            self._note(Kind.STOPPED, tid, process, nr=signum)
        elif kind == StopKind.FORK:
            child = kernel.event_message(tid)
            self._note(Kind.THREAD, tid, process, nr=event, arg=child)
            creator = process.ordinal if event in _NEW_PROCESS else 0
            if child in self._early:
                self._early.discard(child)
            elif child in self._stillborn:
                status = self._stillborn.pop(child)
                if creator:
                    self._bury(child, creator, status)
            else:
                self._newborn[child] = creator
        elif kind == StopKind.EXEC:
            self._executed(tid, process)
        if process.leaving:
            self._let_go(tid, process, signum if kind == StopKind.SIGNAL else 0)
        elif kind == StopKind.GROUP:
            kernel.listen(tid)
        else:
            kernel.resume(tid, signum)

    def _executed(self, tid: int, process: Process) -> None:
        """After execve only the thread that called it is left, under the tid of the leader."""
        former = kernel.event_message(tid)
        call = self._open_call(former) or self._interrupted.pop(former, None)
        if former != tid and tid in process.threads:
            # What the leader was in has ended with the leader, also where execve is not recorded.
            self._note_open(tid, process)
        for other in list(process.threads):
            if other != tid:
                self._forget(other, process)
        if tid not in process.threads:
            process.threads.add(tid)
            self._own(tid, process)
        if former != tid:
            self._set_open_call(tid, call)
        try:
            memory = kernel.open_memory(process.pid)
        except HunterError:
            pass  # killed, or a file it may not read: the old memory is gone and reads as nothing
        else:
            if process.memory >= 0:
                os.close(process.memory)
            process.memory = memory
            self._memory_changed(process)
        command = procfs.stat(tid)
        name = command.command if command else ""
        try:
            executable = os.readlink(f"/proc/{tid}/exe")
        except OSError:
            executable = ""
        data = b"".join(
            encode_capture(0, hop, text, len(text))
            for hop, text in enumerate((os.fsencode(name), os.fsencode(executable)))
        )
        self._note(Kind.EXEC, tid, process, arg=former, data=data)
        self._notices.append(Notice("exec", process.ordinal, time.monotonic_ns(), name))

    def _let_go(self, tid: int, process: Process, signum: int) -> None:
        self._note_open(tid, process)
        kernel.detach(tid, signum)
        self._note(Kind.DETACHED, tid, process)
        self._forget(tid, process)
        self._close_if_empty(process, "detached")

    def _leave_here(self, tid: int, info: bytes, now: int) -> None:
        """Detaches at a syscall stop; a call that was interrupted for it stays open."""
        process = self._owners[tid]
        if info[0] == syscall_info.OP_ENTRY:
            call = syscall_info.ENTRY.unpack_from(info)
            if self._is_wanted(call):
                stack = syscall_info.STACK_POINTER.unpack_from(info)[0]
                self._set_open_call(tid, (now, call, self._read_entry(tid, call, stack)))
        elif info[0] == syscall_info.OP_EXIT:
            rval = syscall_info.RVAL.unpack_from(info)[0]
            begun = self._interrupted.get(tid) or self._open_call(tid)
            if begun is not None and not -RESTART_LAST <= rval <= -RESTART_FIRST:
                self._interrupted.pop(tid, None)
                self._set_open_call(tid, None)
                data = self._read_exit(tid, process, begun, rval)
                head = self._syscall_head(tid, process, begun, now, rval, len(data))
                self._queue.put(head, data, process.ordinal, now)
        try:
            self._let_go(tid, process, 0)
        except ProcessGone:
            pass  # killed while it was stopped; its end is reported by a later wait

    def _note_open(self, tid: int, process: Process) -> None:
        """Records a call that will not be seen to return, unless it has been noted."""
        entered = self._open_call(tid) or self._interrupted.pop(tid, None)
        self._set_open_call(tid, None)
        if entered is not None and self._announced.get(tid) != entered[0]:
            now = time.monotonic_ns()
            head, data = self._open_record(tid, process, entered, now)
            self._queue.put(head, data, process.ordinal, now)

    def _ended(self, tid: int, process: Process, status: int) -> None:
        self._note_open(tid, process)
        self._note(Kind.EXITED, tid, process, rval=status)
        if tid == process.pid or not process.status:
            process.status = status
        self._forget(tid, process)
        self._close_if_empty(process, "exited")

    def _forget(self, tid: int, process: Process) -> None:
        process.threads.discard(tid)
        self._ran.pop(tid, None)
        self._disown(tid)
        self._interrupted.pop(tid, None)

    def _close_if_empty(self, process: Process, reason: str) -> None:
        if process.threads:
            return
        self._processes.pop(process.ordinal, None)
        if self._by_pid.get(process.pid) is process:
            del self._by_pid[process.pid]
        self._process_gone(process)
        if process.memory >= 0:
            os.close(process.memory)
        now = time.monotonic_ns()
        self._notices.append(Notice("ended", process.ordinal, now, reason, process.status))
