"""The overhead budget: how much of the time may be traced so that the target keeps its speed. Pure.

What tracing costs is estimated from the stops: while stops go on at a rate r, each costs the target
c seconds, so it loses the share min(1, r * c) of its time. Traced for the share d of the time it
loses d * min(1, r * c), and d is chosen so that this stays within the budget.
"""

from __future__ import annotations

from typing import NamedTuple

WINDOW_NS = 200_000_000
LONGEST_PAUSE_NS = 20_000_000_000
# One stop with the wake-ups of tracer and tracee: on one CPU, and from one CPU to another on a
# virtual machine, where it is dearest. Estimates are to be too high rather than too low.
PLACED_STOP_NS = 8_000
REMOTE_STOP_NS = 60_000
# One run of a BPF program with what it copies.
PROGRAM_NS = 250


class Turn(NamedTuple):
    """The next thing to do.

    Attributes:
        tracing: whether calls are recorded from now on.
        changed: whether that is new.
        share: estimated share of its time that the target loses while it is traced.
    """

    tracing: bool
    changed: bool
    share: float


class Budget:
    """Cuts tracing into windows.

    Args:
        share: part of its time that the target may lose, 0.1 for 10 %.
    """

    def __init__(self, share: float) -> None:
        self._allowed = share
        self._tracing = True
        self._since = 0
        self._stops = 0
        self._until = 0
        self._loss = 0.0

    def tick(self, now: int, stops: int, stop_ns: int) -> Turn:
        """Returns what to do; called every few tens of milliseconds.

        Args:
            now: CLOCK_MONOTONIC ns.
            stops: syscall stops so far.
            stop_ns: what one stop costs, ns.
        """
        if not self._since:
            self._since, self._stops = now, stops
        if self._tracing:
            elapsed = now - self._since
            if elapsed < WINDOW_NS:
                return Turn(True, False, self._loss)
            rate = (stops - self._stops) / elapsed
            self._loss = min(1.0, rate * stop_ns)
            self._since, self._stops = now, stops
            if self._loss <= self._allowed:
                return Turn(True, False, self._loss)
            pause = elapsed * (self._loss / self._allowed - 1)
            self._until = now + min(int(pause), LONGEST_PAUSE_NS)
            self._tracing = False
            return Turn(False, True, self._loss)
        if now < self._until:
            return Turn(False, False, self._loss)
        self._tracing = True
        self._since, self._stops = now, stops
        return Turn(True, True, self._loss)
