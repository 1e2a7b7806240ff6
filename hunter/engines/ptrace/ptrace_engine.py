"""The ptrace engines: a loop over syscall-stops, a tracer, and the requests to it.

The main thread is the tracer. Requests come from the control thread through a deque and SIGUSR1,
whose handler carries them out; a signal that comes just before waitpid blocks is repeated by
`poke`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import AbstractSet, Callable, Deque, Dict, List, Optional, Set, Type

from hg_shared.batch import Batch
from hunter.engines.base import IDLE_INTERVAL, INTERVAL, Counters, EngineEvent, Follow
from hunter.engines.ptrace.drain import Drain
from hunter.engines.ptrace.kernel import Kernel
from hunter.engines.ptrace.native_loop import NativeLoop
from hunter.engines.ptrace.python_loop import PythonLoop
from hunter.engines.ptrace.requests import Requests
from hunter.engines.ptrace.syscall_loop import SyscallLoop, TracerContext
from hunter.engines.ptrace.syscall_reader import SyscallReader, TraceOptions
from hunter.engines.ptrace.tracee import Tracees
from hunter.engines.ptrace.tracer import Tracer
from hunter.watchdog.progress import Progress, TracerProgress

LOOPS: Dict[str, Type[SyscallLoop]] = {loop.name: loop for loop in (NativeLoop, PythonLoop)}
"""The loops, by the name of the engine that has them."""


class PtraceEngine:
    """Traces with ptrace(2); see `hunter.engines.base.Engine`.

    Args:
        name: `ptrace`, with a loop in C, or `ptrace-python`.
        options: what is recorded.
        progress: counts its stops, and is told of the processes that it holds.
        kernel: carries requests out.

    Raises:
        HunterError: the loop in C cannot be loaded here.
    """

    shares = False

    def __init__(
        self,
        name: str,
        options: TraceOptions,
        progress: Optional[TracerProgress] = None,
        kernel: Optional[Kernel] = None,
    ) -> None:
        self.name = name
        self.ended = False
        self._kernel = kernel = kernel or Kernel()
        self._progress = progress or Progress().tracers[0]
        self._tracees = tracees = Tracees()
        reader = SyscallReader(options, tracees, kernel)
        context = TracerContext(options, tracees, reader, kernel, self._progress)
        self._loop = loop = LOOPS[name](context)
        self._drain = drain = Drain(loop, tracees, reader)
        self._tracer = Tracer(context, loop, drain)
        self._requests = Requests(context, self._tracer, loop, drain)
        # Processes in which another tracer's thread has executed a program.
        self._superseded: Deque[int] = deque()
        self._wake = threading.Event()
        self._main = 0
        # A signal to a thread that has ended is a crash. Taken again where a handler interrupts.
        self._reachable = threading.RLock()
        self.thread_id = 0
        """Of the tracer, once it runs."""
        self._ready = threading.Event()
        # Turns of tracing and pauses.
        self._turn = 0
        self._paused = False
        self._resuming: Optional[float] = None
        self._beside = False

    @property
    def interval(self) -> float:
        """Seconds after which the writer must look again."""
        return INTERVAL if self._tracees.processes else IDLE_INTERVAL

    @property
    def follow(self) -> Optional[Follow]:
        """Asked about each child process before it runs; None to let all of them go."""
        return self._tracer.follow

    @follow.setter
    def follow(self, follow: Optional[Follow]) -> None:
        self._tracer.follow = follow

    def set_release_child(self, release: Callable[[int, int], None]) -> None:
        """Has each child process and its parent told before the child runs.

        Args:
            release: told of the child and of its parent.
        """
        self._tracer.release_child = release

    # Control thread.

    def attach(self, ordinal: int, pid: int) -> None:
        """Asks for a process to be traced."""
        self._ask("attach", ordinal, pid)

    def attach_but(self, ordinal: int, pid: int, others: Set[int]) -> None:
        """Asks for a process to be traced but for threads that are another tracer's.

        Args:
            ordinal: the process.
            pid: its process id.
            others: tids of these threads.
        """
        self._requests.others[ordinal] = others
        self.attach(ordinal, pid)

    def supersede(self, ordinal: int) -> None:
        """Tells that a thread of another tracer has executed a program and is the leader now."""
        self._superseded.append(ordinal)
        self.poke()

    def owns(self, tid: int) -> bool:
        """Tells whether a thread is traced here."""
        return tid in self._tracees.owners

    def detach(self, ordinal: int) -> None:
        """Asks for a process to be let go."""
        self._ask("detach", ordinal)

    def stop(self) -> None:
        """Asks for everything to be let go and `run` to return."""
        self._ask("stop")

    def _ask(self, verb: str, number: int = 0, argument: int = 0) -> None:
        self._requests.add(verb, number, argument)
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
            self.record_windows(False, loss, now_ns, frozenset())
        else:
            self._resuming = None  # that it went on has not been told yet

    def begin_turn(self, on: bool) -> None:
        """Has calls recorded, or not any more, and records nothing about that.

        Args:
            on: whether calls are recorded from now on.
        """
        self._turn += 1
        self._paused = not on
        self._loop.set_quiet(0 if on else self._turn)
        if on:
            self._ask("rearm", self._turn)

    @property
    def is_armed(self) -> bool:
        """Whether calls are seen since the last `begin_turn` of all threads but those spared."""
        return self._requests.rearmed == self._turn and not any(
            self._loop.is_arming(tid)
            for tracee in list(self._tracees.processes.values())
            for tid in list(tracee.arming)
        )

    def record_windows(
        self, on: bool, loss: float, now_ns: int, recorded: AbstractSet[int]
    ) -> Set[int]:
        """Records that the recording of calls pauses or goes on, but for some processes.

        Args:
            on: see `set_tracing`.
            loss: see `set_tracing`.
            now_ns: see `set_tracing`.
            recorded: processes of which another tracer has recorded it.

        Returns:
            This tracer's processes.
        """
        tracees = list(self._tracees.processes.values())
        for tracee in tracees:
            if tracee.ordinal not in recorded:
                spared = len(tracee.spared) if on else 0
                self._drain.record_window(now_ns, tracee, on, loss, spared)
        return {tracee.ordinal for tracee in tracees}

    def poke(self) -> None:
        """Signals the tracer if requests wait."""
        self._requests.tell_late()
        if self._resuming is not None and self.is_armed:
            self.record_windows(True, self._resuming, time.monotonic_ns(), frozenset())
            self._resuming = None
        if not self._paused:
            self._requests.inspect_spared()
        if not (self._requests or self._superseded):
            return
        with self._reachable:
            if self._main:
                self._wake.set()
                self._loop.leave()
                self._kernel.notify(self._main)

    def events(self) -> List[EngineEvent]:
        """Returns what happened since the last call."""
        found = []
        while self._tracer.events:
            found.append(self._tracer.events.popleft())
        return found

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> List[Batch]:
        """Returns the records taken since the last call; see `Engine.drain`."""
        return self._drain.drain(now_ns, everything)

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
        """Returns how many syscall-stops there were."""
        return self._loop.stops()

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return self._loop.queue.size()

    # The tracer's thread.

    def run(self) -> None:
        """Traces until `stop`, then returns when every tracee has been let go. The main thread's.

        Requests are carried out in a signal handler, so also between two stops of a busy tracee.
        """
        self._kernel.set_handler(self._requests.carry_out)
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
            self._requests.carry_out()
            self._between_stops()
            if self._tracees.owners:
                try:
                    self._loop.run(self._tracer, self._between_stops)
                except ChildProcessError:
                    self._tracees.owners.clear()
                self._tracer.await_children()
            elif self._tracer.stopping:
                return
            else:
                self._kernel.wait_for(self._wake)

    def _between_stops(self) -> None:
        """Does what must not happen within a stop; called where the loop was interrupted."""
        if self._beside:
            self._requests.carry_out()
        while self._superseded:
            tracee = self._tracees.processes.get(self._superseded.popleft())
            # Other threads of this tracer end one by one; nothing tells the end of a leader.
            if tracee is not None and tracee.pid in tracee.threads:
                self._tracer.record_open_call(tracee.pid, tracee)
                self._tracer.forget(tracee.pid, tracee)
                self._tracer.close_if_empty(tracee, "exited")
