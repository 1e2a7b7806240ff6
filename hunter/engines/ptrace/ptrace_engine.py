"""What both ptrace engines share beside the answers to stops: requests, and the tracer's life.

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
from abc import abstractmethod
from collections import deque
from typing import AbstractSet, Deque, Dict, FrozenSet, List, Optional, Set, Tuple

from hg_shared.batch import Batch
from hunter.engines.base import (
    IDLE_INTERVAL,
    INTERVAL,
    Counters,
    Notice,
)
from hunter.engines.ptrace import kernel, unrestarted
from hunter.engines.ptrace.tracee import Process, open_memory
from hunter.engines.ptrace.tracer import Tracer
from hunter.engines.record_queue import Queue
from hunter.errors import FewFiles, HunterError, NotPermitted, ProcessGone
from hunter.memory import procfs
from hunter.scan import recognition
from hunter.watchdog.progress import TracerProgress

TRACED_ELSEWHERE = (
    "already traced by somebody outside of hunter's PID namespace;"
    " it is traced here when that one lets it go"
)


def _has_no_tracer_here(pid: int) -> bool:
    status = procfs.status_fields(pid)
    return status.get("TracerPid") == "0" and status.get("State", "Z")[0] not in "ZX"


ARM_NS = 500_000_000
"""How long the threads of a process may take to stop before it is told to be attached."""


class PtraceEngine(Tracer):
    """Traces with ptrace(2); see `hunter.engines.Engine`.

    A subclass handles syscall stops in `_loop`.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        string_size: bytes of each string and buffer to keep.
        queue: where records go.
        wanted: syscall numbers to record by ABI, None for all.
        decode_fds: also read what new descriptors refer to.
        progress: told of the processes that it holds.
    """

    name: str
    shares = False

    def __init__(
        self,
        machine: str,
        string_size: int,
        queue: Queue,
        wanted: Optional[Dict[int, FrozenSet[int]]] = None,
        decode_fds: bool = False,
        progress: Optional[TracerProgress] = None,
    ) -> None:
        super().__init__(machine, string_size, queue, wanted, decode_fds, progress)
        self.ended = False
        self._requests: Deque[Tuple[str, int, int]] = deque()
        self._carrying_out = False
        # Threads that other tracers of this hunter seize, by ordinal; and processes in which
        # another tracer's thread has executed a program.
        self._others: Dict[int, Set[int]] = {}
        self._superseded: Deque[int] = deque()
        self._wake = threading.Event()
        self._main = 0
        # A signal to a thread that has ended is a crash. Taken again where a handler interrupts.
        self._reachable = threading.RLock()
        self.thread_id = 0
        """Of the tracer, once it runs."""
        self._ready = threading.Event()
        # Turns of tracing and pauses, and the last that the tracer has carried out.
        self._turn = 0
        self._rearmed = 0
        self._paused = False
        self._resuming: Optional[float] = None
        self._beside = False

    @property
    def interval(self) -> float:
        """Seconds after which the writer must look again."""
        return INTERVAL if self._processes else IDLE_INTERVAL

    # What a subclass does.

    @abstractmethod
    def _loop(self) -> None:
        """Handles stops until no tracee is left; the hot loop."""

    @abstractmethod
    def _mark_leaving(self, threads: Set[int]) -> None:
        """Has threads handed to `_leave_here` at their next syscall stop."""

    @abstractmethod
    def _mark_arming(self, tid: int) -> None:
        """Notes that a thread was asked to stop so that its calls are seen."""

    @abstractmethod
    def _is_arming(self, tid: int) -> bool:
        """Tells whether a thread has not stopped at a call since. Called by the control thread."""

    @abstractmethod
    def _set_quiet(self, quiet: int) -> None:
        """Lets calls pass unseen, or not any more. Called by the control thread.

        Args:
            quiet: another number each time; 0 for not any more.
        """

    def _leave_loop(self) -> None:
        """Makes a loop that is not Python return, so that signal handlers run."""

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

        That it goes on is told when the threads have stopped, and calls are seen.

        Args:
            on: whether calls are recorded from now on.
            loss: share of its time that the target was estimated to lose, for the note in the log.
            now_ns: CLOCK_MONOTONIC.
        """
        self.begin_turn(on)
        if on:
            self._resuming = loss
        elif self._resuming is None:
            self.note_windows(False, loss, now_ns, frozenset())
        else:
            self._resuming = None  # that it went on has not been told yet

    def begin_turn(self, on: bool) -> None:
        """Has calls recorded, or not any more, and notes nothing.

        Args:
            on: whether calls are recorded from now on.
        """
        self._turn += 1
        self._paused = not on
        self._set_quiet(0 if on else self._turn)
        if on:
            self._requests.append(("rearm", self._turn, 0))
            self.poke()

    @property
    def is_armed(self) -> bool:
        """Whether calls are seen since the last `begin_turn` of all threads but those spared."""
        return self._rearmed == self._turn and not any(
            self._is_arming(tid)
            for process in list(self._processes.values())
            for tid in list(process.arming)
        )

    def note_windows(self, on: bool, loss: float, now_ns: int, noted: AbstractSet[int]) -> Set[int]:
        """Notes that the recording of calls pauses or goes on, but for some processes.

        Args:
            on: see `set_tracing`.
            loss: see `set_tracing`.
            now_ns: see `set_tracing`.
            noted: ordinals of processes of which another tracer has noted it.

        Returns:
            The ordinals of this tracer's processes.
        """
        processes = list(self._processes.values())
        for process in processes:
            if process.ordinal not in noted:
                spared = len(process.spared) if on else 0
                self._drain.note_window(now_ns, process, on, loss, spared)
        return {process.ordinal for process in processes}

    def poke(self) -> None:
        """Signals the tracer if requests wait."""
        self._tell_late()
        if self._resuming is not None and self.is_armed:
            self.note_windows(True, self._resuming, time.monotonic_ns(), frozenset())
            self._resuming = None
        if not self._paused:
            self._look_at_spared()
        if not (self._requests or self._superseded):
            return
        with self._reachable:
            if self._main:
                self._wake.set()
                self._leave_loop()
                signal.pthread_kill(self._main, signal.SIGUSR1)

    def _tell_late(self) -> None:
        """Has processes told to be attached of which a thread cannot stop now.

        Before it makes another call it will: it waits for a disk, or for a child of vfork.
        """
        late = time.monotonic_ns() - ARM_NS
        for process in list(self._processes.values()):
            if process.arming and 0 < process.asked < late:
                process.asked += ARM_NS
                self._requests.append(("tell", process.ordinal, 0))

    def _look_at_spared(self) -> None:
        """Has threads stopped that have left the call that a stop would have ended."""
        for process in list(self._processes.values()):
            for tid in list(process.spared):
                if not self._would_end(process, tid):
                    process.spared.discard(tid)
                    self._requests.append(("interrupt", process.ordinal, tid))

    def _would_end(self, process: Process, tid: int) -> bool:
        text = procfs.read_text(f"/proc/{process.pid}/task/{tid}/syscall")
        return unrestarted.sleeps_in_one(text, self._abi)

    def notices(self) -> List[Notice]:
        """Returns what happened since the last call."""
        found = []
        while self._notices:
            found.append(self._notices.popleft())
        return found

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> List[Batch]:
        """Returns the records taken since the last call; see `Engine.drain`."""
        return self._drain.take(now_ns, everything)

    def mark(self, now_ns: int) -> Batch:
        """Returns a batch without records, for a reader that waits for this source's watermark.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        return self._drain.mark(now_ns)

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        return self._drain.counters()

    def stops(self) -> int:
        """Returns how many syscall stops there were, roughly: two for each record."""
        return 2 * (sum(self._queue.sent().values()) + self._queue.waiting())

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return self._queue.size()

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
        self.thread_id = self._progress.thread = threading.get_native_id()
        self._main = threading.get_ident()
        self._ready.set()
        try:
            self._trace()
        finally:
            with self._reachable:
                self._main = 0
        self.ended = True

    def _trace(self) -> None:
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
        """Carries out requests; may run at any bytecode of the loop, so it makes no record.

        The signal of the next request may come while one is carried out, thousands of times where
        thousands of processes are attached: what is at work already takes that one too, or the
        signal is repeated.
        """
        if self._carrying_out:
            return
        self._carrying_out = True
        try:
            while self._requests:
                self._carry_out_one(*self._requests.popleft())
        finally:
            self._carrying_out = False

    def _carry_out_one(self, verb: str, ordinal: int, pid: int) -> None:
        if verb == "attach":
            try:
                self._attach(ordinal, pid)
            except FewFiles as error:
                now = time.monotonic_ns()
                self._notices.append(Notice("attach_failed", ordinal, now, str(error)))
        elif verb == "tell":
            process = self._processes.get(ordinal)
            if process is not None:
                process.arming.clear()
                self._perhaps_armed(process)
        elif verb == "detach":
            process = self._processes.get(ordinal)
            if process is not None:
                self._leave(process)
        elif verb == "rearm":
            for process in list(self._processes.values()):
                self._rearm(process)
            self._rearmed = ordinal
        elif verb == "interrupt":
            process = self._processes.get(ordinal)
            if process is not None and pid in process.threads and not process.leaving:
                self._interrupt(process, pid)
                self._drain.note_window(time.monotonic_ns(), process, True, 0.0, 0, pid)
        else:
            self._stopping = True
            for process in list(self._processes.values()):
                self._leave(process)

    def _attach(self, ordinal: int, pid: int) -> None:
        now = time.monotonic_ns()
        try:
            if recognition.is_marked(procfs.status_fields(pid)):
                raise HunterError(recognition.OURS)
            memory = open_memory(pid)
        except HunterError as error:
            self._notices.append(Notice("attach_failed", ordinal, now, str(error)))
            return
        process = Process(ordinal, pid, memory)
        self._progress.held.add(pid)
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
                    # Room first: a thread that was seized and has no place could not be answered.
                    self._own(tid, process)
                    kernel.seize(tid, options)
                    process.threads.add(tid)
                    process.arming.add(tid)
                    kernel.interrupt(tid)
                except HunterError as error:
                    if tid not in process.threads:
                        self._disown(tid)
                        refused.add(tid)
                        failure = failure or error
        if not process.threads:
            self._process_gone(process)
            if memory >= 0:
                os.close(memory)
            self._progress.held.discard(pid)
            text = str(failure or ProcessGone(f"process {pid} is gone"))
            if memory >= 0 and isinstance(failure, NotPermitted) and _has_no_tracer_here(pid):
                # What opening its memory needs is all that seizing it needs, but for one thing.
                text = TRACED_ELSEWHERE
            self._notices.append(Notice("attach_failed", ordinal, now, text))
            return
        self._processes[ordinal] = self._by_pid[pid] = process
        process.asked = time.monotonic_ns()
        process.arming = process.arming & process.threads
        self._perhaps_armed(process)
        # It may have set the mark, or executed a program of ours, since it was looked at.
        if self._stopping or recognition.is_marked(procfs.status_fields(pid)):
            self._leave(process)

    def _rearm(self, process: Process) -> None:
        """Stops the threads that run free, so that their calls are seen again.

        One that is still in the call in which the pause found it is seen when that ends. One in a
        call that a stop would end is left alone until it has left it.
        """
        if process.leaving:
            return
        process.asked = time.monotonic_ns()
        process.spared.clear()
        for tid in list(process.threads):
            if self._open_call(tid) is not None:
                continue
            if self._would_end(process, tid):
                process.spared.add(tid)
            else:
                self._interrupt(process, tid)

    def _interrupt(self, process: Process, tid: int) -> None:
        process.arming.add(tid)
        self._mark_arming(tid)
        try:
            kernel.interrupt(tid)
        except HunterError:
            process.arming.discard(tid)  # it ended; its wait status comes

    def _drop_ended_leader(self, process: Process) -> None:
        """Gives up a leader that has ended before the other threads.

        Its end is reported after that of the last of them, which may be long; it cannot be stopped.
        """
        if process.pid in process.threads and len(process.threads) > 1:
            leader = procfs.stat(process.pid)
            if leader is not None and leader.state in procfs.ENDED:
                self._forget(process.pid, process)

    def _leave(self, process: Process) -> None:
        """Asks every thread to stop, so that it can be detached."""
        process.leaving = True
        process.left = process.left or time.monotonic_ns()
        self._drop_ended_leader(process)
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
