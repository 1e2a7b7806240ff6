"""Requests to a tracer: made by the control thread, carried out in the tracer's thread.

ptrace(2) binds a tracee to one thread, and only in the main thread does a signal get waitpid(2) to
let requests through: its handler carries them out, and may run at any bytecode of the loop.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Callable, Deque, Dict, Optional, Set, Tuple

from hunter.engines.base import EngineEvent
from hunter.engines.ptrace import unrestarted
from hunter.engines.ptrace.drain import Drain
from hunter.engines.ptrace.kernel import FORK_OPTIONS, SEIZE_OPTIONS
from hunter.engines.ptrace.syscall_loop import SyscallLoop, TracerContext
from hunter.engines.ptrace.tracee import Tracee
from hunter.engines.ptrace.tracer import Tracer
from hunter.errors import FewFiles, HunterError, NotPermitted, ProcessGone
from hunter.memory import procfs
from hunter.scan import recognition

TRACED_ELSEWHERE = (
    "already traced by somebody outside of hunter's PID namespace;"
    " it is traced here when that one lets it go"
)
ARM_NS = 500_000_000
"""How long the threads of a process may take to stop before it is told to be attached."""


class Requests:
    """Requests to a tracer that it has not carried out yet. Makes no record.

    Args:
        context: what the tracer shares with its loop.
        tracer: keeps what is traced.
        loop: is told of threads that are to stop.
        drain: is told where the recording of single threads goes on.

    Attributes:
        others: threads that other tracers of this hunter seize, by the number of their process.
        rearmed: number of the last turn of tracing that was begun.
    """

    def __init__(
        self, context: TracerContext, tracer: Tracer, loop: SyscallLoop, drain: Drain
    ) -> None:
        _, self._tracees, reader, self._kernel, self._progress = context
        self._abi = reader.abi
        self._tracer = tracer
        self._loop = loop
        self._drain = drain
        self._waiting: Deque[Tuple[str, int, int]] = deque()
        self._carrying_out = False
        self.others: Dict[int, Set[int]] = {}
        self.rearmed = 0
        self._verbs: Dict[str, Callable[[int, int], None]] = {
            "attach": self._attach,
            "tell": self._tell,
            "detach": self._detach,
            "rearm": self._rearm,
            "interrupt": self._interrupt_spared,
            "stop": self._stop,
        }

    def __len__(self) -> int:
        return len(self._waiting)

    # Control thread.

    def add(self, verb: str, number: int = 0, argument: int = 0) -> None:
        """Asks for something to be done.

        Args:
            verb: attach (process, pid), detach (process), stop, rearm (turn), tell (process) or
                interrupt (process, tid).
            number: the process or turn.
            argument: the pid or tid.
        """
        self._waiting.append((verb, number, argument))

    def tell_late(self) -> None:
        """Has processes told to be attached of which a thread cannot stop now.

        Before it makes another call it will: it waits for a disk, or for a child of vfork.
        """
        late = time.monotonic_ns() - ARM_NS
        for tracee in list(self._tracees.processes.values()):
            if tracee.arming and 0 < tracee.asked < late:
                tracee.asked += ARM_NS
                self.add("tell", tracee.ordinal)

    def inspect_spared(self) -> None:
        """Has threads stopped that have left the call that a stop would have ended."""
        for tracee in list(self._tracees.processes.values()):
            for tid in list(tracee.spared):
                if not self._would_end(tracee, tid):
                    tracee.spared.discard(tid)
                    self.add("interrupt", tracee.ordinal, tid)

    def _would_end(self, tracee: Tracee, tid: int) -> bool:
        try:
            text = self._kernel.read_text(f"/proc/{tracee.pid}/task/{tid}/syscall")
        except FewFiles:
            return True  # nobody knows: it is left alone until that can be told
        return unrestarted.sleeps_in_one(text, self._abi)

    # The tracer's thread.

    def carry_out(self) -> None:
        """Carries out what waits.

        The signal of the next request may come while one is carried out, thousands of times where
        thousands of processes are attached: what is at work already takes that one too, or the
        signal is repeated.
        """
        if self._carrying_out:
            return
        self._carrying_out = True
        try:
            while self._waiting:
                verb, number, argument = self._waiting.popleft()
                self._verbs[verb](number, argument)
        finally:
            self._carrying_out = False

    def _attach(self, ordinal: int, pid: int) -> None:
        now = time.monotonic_ns()
        try:
            self._begin(ordinal, pid)
        except HunterError as error:
            self._tracer.events.append(EngineEvent("attach_failed", ordinal, now, str(error)))

    def _begin(self, ordinal: int, pid: int) -> None:
        if recognition.is_marked(self._kernel.status_fields(pid)):
            raise HunterError(recognition.OURS)
        tracee = Tracee(ordinal, pid, self._kernel.open_memory(pid))
        self._seize(tracee)
        self._tracees.processes[ordinal] = self._tracees.by_pid[pid] = tracee
        tracee.asked = time.monotonic_ns()
        tracee.arming = tracee.arming & tracee.threads
        self._tracer.tell_attached(tracee)
        # It may have set the mark, or executed a program of ours, since it was looked at.
        if self._tracer.stopping or recognition.is_marked(self._kernel.status_fields(pid)):
            self._leave(tracee)

    def _seize(self, tracee: Tracee) -> None:
        """Seizes the threads of a process and asks them to stop.

        Raises:
            HunterError: none of them can be seized.
        """
        self._progress.held.add(tracee.pid)
        others = self.others.pop(tracee.ordinal, set())
        refused: Set[int] = set()
        failure: Optional[HunterError] = None
        try:
            while True:
                # A thread may start another between the listing and the seizing of its creator.
                known = tracee.threads | refused | others
                fresh = [tid for tid in self._kernel.thread_ids(tracee.pid) if tid not in known]
                if not fresh:
                    break
                for tid in fresh:
                    error = self._seize_thread(tracee, tid)
                    if error is not None:
                        refused.add(tid)
                        failure = failure or error
        except FewFiles as error:
            failure = error
        if not tracee.threads:
            self._give_up(tracee)
            raise self._refusal(tracee, failure)

    def _seize_thread(self, tracee: Tracee, tid: int) -> Optional[HunterError]:
        options = SEIZE_OPTIONS
        if self._tracer.release_child is not None or self._tracer.follow is not None:
            options |= FORK_OPTIONS
        try:
            # Room first: a thread that was seized and has no place could not be answered.
            self._loop.own(tid, tracee)
            self._kernel.seize(tid, options)
            tracee.threads.add(tid)
            tracee.arming.add(tid)
            self._kernel.interrupt(tid)
        except HunterError as error:
            if tid in tracee.threads:
                return None  # it ended; its wait status comes
            self._loop.disown(tid)
            return error
        return None

    def _give_up(self, tracee: Tracee) -> None:
        self._loop.process_gone(tracee)
        if tracee.memory >= 0:
            self._kernel.close(tracee.memory)
        self._progress.held.discard(tracee.pid)

    def _refusal(self, tracee: Tracee, failure: Optional[HunterError]) -> HunterError:
        if tracee.memory >= 0 and isinstance(failure, NotPermitted):
            status = self._kernel.status_fields(tracee.pid)
            if status.get("TracerPid") == "0" and status.get("State", "Z")[0] not in procfs.ENDED:
                # What opening its memory needs is all that seizing it needs, but for one thing.
                return HunterError(TRACED_ELSEWHERE)
        return failure or ProcessGone(f"process {tracee.pid} is gone")

    def _tell(self, ordinal: int, _: int) -> None:
        tracee = self._tracees.processes.get(ordinal)
        if tracee is not None:
            tracee.arming.clear()
            self._tracer.tell_attached(tracee)

    def _rearm(self, turn: int, _: int) -> None:
        """Stops the threads that run free, so that their calls are seen again.

        One that is still in the call in which the pause found it is seen when that ends. One in a
        call that a stop would end is left alone until it has left it.
        """
        for tracee in list(self._tracees.processes.values()):
            if tracee.leaving:
                continue
            tracee.asked = time.monotonic_ns()
            tracee.spared.clear()
            for tid in list(tracee.threads):
                if self._loop.open_call(tid) is not None:
                    continue
                if self._would_end(tracee, tid):
                    tracee.spared.add(tid)
                else:
                    self._interrupt(tracee, tid)
        self.rearmed = turn

    def _interrupt_spared(self, ordinal: int, tid: int) -> None:
        tracee = self._tracees.processes.get(ordinal)
        if tracee is not None and tid in tracee.threads and not tracee.leaving:
            self._interrupt(tracee, tid)
            self._drain.record_window(time.monotonic_ns(), tracee, True, 0.0, 0, tid)

    def _interrupt(self, tracee: Tracee, tid: int) -> None:
        tracee.arming.add(tid)
        self._loop.mark_arming(tid)
        try:
            self._kernel.interrupt(tid)
        except HunterError:
            tracee.arming.discard(tid)  # it ended; its wait status comes

    def _stop(self, *_: int) -> None:
        self._tracer.stopping = True
        for tracee in list(self._tracees.processes.values()):
            self._leave(tracee)

    def _detach(self, ordinal: int, _: int) -> None:
        tracee = self._tracees.processes.get(ordinal)
        if tracee is not None:
            self._leave(tracee)

    def _leave(self, tracee: Tracee) -> None:
        """Asks every thread to stop, so that it can be detached."""
        tracee.leaving = True
        tracee.left = tracee.left or time.monotonic_ns()
        self._drop_ended_leader(tracee)
        # Any stop uses up the interrupt (ptrace_stop() clears it), so the loop must look for these
        # threads at syscall stops too.
        self._loop.mark_leaving(tracee.threads)
        for tid in list(tracee.threads):
            entered = self._loop.open_call(tid)
            if entered is not None:
                # It is never in neither of the two: the writer looks for open calls in both.
                self._tracees.interrupted[tid] = entered
                self._loop.set_open_call(tid, None)
            try:
                self._kernel.interrupt(tid)
            except HunterError:
                pass  # it ended; its wait status comes

    def _drop_ended_leader(self, tracee: Tracee) -> None:
        """Gives up a leader that has ended before the other threads.

        Its end is reported after that of the last of them, which may be long; it cannot be stopped.
        """
        if tracee.pid in tracee.threads and len(tracee.threads) > 1:
            leader = self._kernel.stat(tracee.pid)
            if leader is not None and leader.state in procfs.ENDED:
                self._tracer.forget(tracee.pid, tracee)
