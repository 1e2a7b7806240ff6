"""The judgement of the watchdog whether hunter is stuck and holds its target. Pure.

A tracee in a ptrace-stop is held when its tracer takes no stop, and so is one that has ended: its
parent cannot wait for it before the tracer has. It is judged by looks, a fraction
of a second apart: the time between two looks counts for at most a second, because whoever was
frozen together with hunter must not end it when both run again.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, NamedTuple, Optional

HELD_SECONDS = 2.0
"""How long a tracee may stand in a ptrace-stop while its tracer makes no progress."""
ALONE_SECONDS = 10.0
"""How long BPF programs may run while hunter does not look after them."""
MOST_SECONDS = 1.0
"""What one look adds at most."""
IDLE_THREADS, ALL_THREADS = 32, 1024
"""Threads looked at in one look: while their tracer waits as it should, and while it does not."""

TRACING_STOP, ZOMBIE = "t", "Z"
_EVENT_STOP = 128
_SIGCONT, _SIGSTOP = 18, 19
_STOP_SIGNALS = (19, 20, 21, 22)


class ThreadStatus(NamedTuple):
    """The status of a thread, from /proc.

    Attributes:
        state: its letter.
        code: field exit_code of stat: of a stopped tracee the stop that its tracer has not taken
            yet, or (since 5.17) the signal that has stopped the whole process; 0 for none.
        tracer: thread id of its tracer, 0 without one.
        pending: bits of the signals that wait for it or its process, signal 1 lowest.
        caught: bits of the signals that have a handler.
    """

    state: str
    code: int = 0
    tracer: int = 0
    pending: int = 0
    caught: int = 0


def is_held(thread: ThreadStatus, listening: bool, leads: bool = False) -> bool:
    """Tells whether a thread stands in a ptrace-stop that is no group-stop, or in its end.

    Args:
        thread: a tracee.
        listening: its tracer has answered a group-stop of it by PTRACE_LISTEN.
        leads: it is a leader, and other threads of its process are there: its end is told when
            theirs are.
    """
    if thread.state == ZOMBIE:
        return not leads
    if thread.state != TRACING_STOP:
        return False
    if thread.pending >> (_SIGCONT - 1) & 1:
        return True  # it was continued, and cannot go on
    if thread.code == 0:
        return not listening
    event, number = thread.code >> 8, thread.code & 0x7F
    if number not in _STOP_SIGNALS or thread.code & 0x80:
        return True
    if event == _EVENT_STOP:
        return False
    # Stopped as a whole, or about to be. A handler would have to run first.
    return event != 0 or (number != _SIGSTOP and bool(thread.caught >> (number - 1) & 1))


class TracerState(NamedTuple):
    """A tracer at one look.

    Attributes:
        thread: its thread id.
        stops: stops it has taken so far.
        able: it waits for the next stop and would be woken by it.
        processes: ids whose threads it may hold.
        listening: threads in a group-stop that it has answered.
        overflowed: there are more of these than could be listed.
    """

    thread: int
    stops: int
    able: bool
    processes: List[int]
    listening: List[int]
    overflowed: bool = False


class Hold(NamedTuple):
    """A thread that is held.

    Attributes:
        thread: its id.
        process: id that led to it.
        tracer: thread id of the tracer.
        seconds: how long it has been seen to stand, without progress of its tracer.
    """

    thread: int
    process: int
    tracer: int
    seconds: float


class HoldTracker:
    """Looks at the tracees of one tracer.

    Args:
        threads: returns the thread ids of a process.
        read_thread: returns what /proc tells of a thread, None when it is gone.
    """

    def __init__(
        self,
        threads: Callable[[int], List[int]],
        read_thread: Callable[[int, int], Optional[ThreadStatus]],
    ) -> None:
        self._threads = threads
        self._read_thread = read_thread
        self._stops = -1
        self._hold: Optional[Hold] = None
        self._listed: Dict[int, List[int]] = {}
        self._next = 0

    def moved(self, stops: int) -> bool:
        """Tells whether the tracer has taken a stop since the last look.

        Args:
            stops: that it has taken so far.
        """
        return stops != self._stops

    def update(self, tracer: TracerState, seconds: float) -> Optional[Hold]:
        """Looks once.

        Args:
            tracer: as it is now.
            seconds: since the look before.

        Returns:
            A thread that it holds, None when there is none.
        """
        moved, self._stops = self.moved(tracer.stops), tracer.stops
        if moved:
            # Whoever stood in a stop before may have stood in another one.
            self._hold = None
            self._listed.clear()
            return None
        hold = self._hold
        listening = set(tracer.listening)
        if hold is not None and self._stands(hold.process, hold.thread, tracer, listening):
            self._hold = hold = hold._replace(seconds=hold.seconds + min(seconds, MOST_SECONDS))
            return hold
        self._hold = self._find(tracer, listening)
        return self._hold

    def _stands(
        self, process: int, tid: int, tracer: TracerState, listening: Iterable[int]
    ) -> bool:
        thread = self._read_thread(process, tid)
        if thread is None or thread.tracer != tracer.thread:
            return False
        leads = thread.state == ZOMBIE and tid == process and len(self._threads(process)) > 1
        return is_held(thread, tid in listening or tracer.overflowed, leads)

    def _find(self, tracer: TracerState, listening: Iterable[int]) -> Optional[Hold]:
        """Looks at some threads, each time at the next ones."""
        listed = {
            process: self._listed.get(process) or self._threads(process)
            for process in tracer.processes
        }
        self._listed = listed
        everybody = [(process, tid) for process, tids in listed.items() for tid in tids]
        most = min(IDLE_THREADS if tracer.able else ALL_THREADS, len(everybody))
        for _ in range(most):
            self._next = (self._next + 1) % len(everybody)
            process, tid = everybody[self._next]
            if self._stands(process, tid, tracer, listening):
                return Hold(tid, process, tracer.thread, 0.0)
        return None


class Alone:
    """Looks at the BPF programs."""

    def __init__(self) -> None:
        self._steps = -1
        self._seconds = 0.0

    def update(self, active: bool, steps: int, seconds: float) -> float:
        """Looks once.

        Args:
            active: the programs are at their tracepoints.
            steps: how often hunter has looked after them so far.
            seconds: since the look before.

        Returns:
            For how many seconds they have run alone.
        """
        moved, self._steps = steps != self._steps, steps
        still = active and not moved
        self._seconds = self._seconds + min(seconds, MOST_SECONDS) if still else 0.0
        return self._seconds
