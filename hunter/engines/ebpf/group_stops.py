"""Group-stops of a process: no tracepoint tells them, /proc does after a signal that stops.

They are looked for only for a second after such a signal, and until every thread has gone on. Pure.
"""

from __future__ import annotations

from typing import Callable, Iterable, List, Optional, Set

SIGCONT = 18
# SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
STOP_SIGNALS = (19, 20, 21, 22)
WATCH_NS = 1_000_000_000


class GroupStops:
    """The threads of one process that are in group-stop.

    Args:
        state: returns the state of a thread by tid as /proc/PID/stat has it, None when it is gone.

    Attributes:
        signal: number of the last signal that stopped the process, 0 before.
    """

    __slots__ = ("_continued", "_state", "_stopped", "_until", "signal")

    def __init__(self, state: Callable[[int], Optional[str]]) -> None:
        self._state = state
        self._until = 0
        self._continued = 0
        self._stopped: Set[int] = set()
        self.signal = 0

    def sent(self, signal: int, start: int) -> None:
        """Takes note of a signal that was sent to the process.

        Args:
            signal: its number; SIGCONT lets every thread go on whatever becomes of it.
            start: when, CLOCK_MONOTONIC ns.
        """
        if signal == SIGCONT:
            self._stopped.clear()
            self._continued = max(self._continued, start)

    def delivered(self, signal: int, now: int) -> None:
        """Takes note of a signal that a thread took.

        Args:
            signal: its number.
            now: CLOCK_MONOTONIC ns; threads are looked at for a while from here on.
        """
        if signal in STOP_SIGNALS:
            self.signal = signal
            self._until = now + WATCH_NS

    def look(self, now: int, tids: Iterable[int]) -> Optional[Set[int]]:
        """Returns the threads that are stopped now, None when none is expected to be.

        Args:
            now: CLOCK_MONOTONIC ns.
            tids: threads of the process.
        """
        if now > self._until and not self._stopped:
            return None
        return {tid for tid in tids if self._state(tid) == "T"}

    def arrivals(self, stopped: Set[int], looked: int) -> List[int]:
        """Returns the threads that have stopped since the last time.

        Args:
            stopped: what `look` returned; every signal sent before that has been taken note of.
            looked: when that was, CLOCK_MONOTONIC ns.
        """
        if self._continued >= looked:
            return []  # they had stopped before that, or stopped after it: the next look tells
        self._stopped &= stopped
        new = sorted(stopped - self._stopped)
        self._stopped.update(new)
        return new
