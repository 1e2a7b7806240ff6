"""The capture clock: the node's CLOCK_MONOTONIC to UTC, and how it lies to gatherer's own clock.

The clock is the node's CLOCK_REALTIME at Hello plus its CLOCK_MONOTONIC since, so that a step of
the node's wall clock never reorders a capture: steps are events.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from hg_shared.messages import Heartbeat, Hello

_UTC = timezone.utc  # noqa: UP017 (mypy checks for 3.10 too)
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
# What datetime can hold in every time zone; a time beyond it is a lie of the peer.
_LAST_NS = int((datetime(9999, 1, 1, tzinfo=_UTC) - _EPOCH).total_seconds())
_LAST_NS *= 10**9
# Two clocks cannot be read at one instant: a preempted reader sees a difference that is no step.
STEP_NS = 100_000_000


def utc_time(ns: int) -> datetime:
    """Returns nanoseconds since the epoch as a time, clamped to what datetime can hold."""
    clamped = min(max(ns, 0), _LAST_NS)
    return _EPOCH + timedelta(microseconds=clamped // 1000)


def rfc3339(ns: int) -> str:
    """Returns nanoseconds since the epoch as RFC 3339 in UTC, with microseconds."""
    return utc_time(ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def compact_utc(ns: int) -> str:
    """Returns nanoseconds since the epoch as `YYYYMMDDTHHMMSSZ`."""
    return utc_time(ns).strftime("%Y%m%dT%H%M%SZ")


def local_zone() -> str:
    """Returns the time zone of this machine: its UTC offset and abbreviation."""
    now = datetime.now().astimezone()
    return f"{now.strftime('%z')} {now.tzname() or ''}".strip()


def _wall_minus_boot_ns() -> int:
    # Only Linux has a clock that goes on in sleep and that nobody sets.
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0 if clock is None else time.time_ns() - time.clock_gettime_ns(clock)


class OwnClock:
    """Notices when the wall clock of this machine is set: after a sleep it often is.

    Args:
        difference: CLOCK_REALTIME minus a clock that is never set, ns.
    """

    def __init__(self, difference: Callable[[], int] = _wall_minus_boot_ns) -> None:
        self._difference = difference
        self._before = difference()

    def look(self) -> int:
        """Returns by how many nanoseconds it was set since the last look, 0 when it was not."""
        now = self._difference()
        step, self._before = now - self._before, now
        return step if abs(step) >= STEP_NS else 0


class CaptureClock:
    """Converts the node's CLOCK_MONOTONIC nanoseconds to times.

    Attributes:
        offset_ns: estimate of node's wall clock minus gatherer's, from the fastest frame so far.
    """

    def __init__(
        self, hello: Hello, received_ns: int | None = None, own: OwnClock | None = None
    ) -> None:
        self._own = own or OwnClock()
        self._own_step = 0
        self._base = hello.realtime_ns - hello.monotonic_ns
        self._step_base = self._base
        self.offset_ns = hello.realtime_ns - (
            time.time_ns() if received_ns is None else received_ns
        )

    def realtime_ns(self, monotonic_ns: int) -> int:
        """Returns nanoseconds since the epoch on the capture clock.

        Args:
            monotonic_ns: CLOCK_MONOTONIC of the node.
        """
        return self._base + monotonic_ns

    def time(self, monotonic_ns: int) -> str:
        """Returns an RFC 3339 time on the capture clock.

        Args:
            monotonic_ns: CLOCK_MONOTONIC of the node.
        """
        return rfc3339(self.realtime_ns(monotonic_ns))

    def now_ns(self) -> int:
        """Returns now on the capture clock, as far as gatherer can tell."""
        self._follow_own()
        return time.time_ns() + self.offset_ns

    def take_own_step(self) -> int:
        """Returns by how many nanoseconds gatherer's own clock was set since the last call."""
        self._follow_own()
        step, self._own_step = self._own_step, 0
        return step

    def _follow_own(self) -> None:
        """Keeps the estimate right when this machine's wall clock is set."""
        step = self._own.look()
        self.offset_ns -= step
        self._own_step += step

    def observe(self, heartbeat: Heartbeat, received_ns: int) -> float | None:
        """Takes the two clocks of a heartbeat.

        The travel time makes every estimate of the offset too small: the largest is the best.

        Args:
            heartbeat: hunter's clocks.
            received_ns: gatherer's CLOCK_REALTIME when it arrived.

        Returns:
            Seconds by which the node's wall clock was stepped since the last heartbeat, or None.
        """
        self._follow_own()
        base = heartbeat.realtime_ns - heartbeat.time_ns
        step = base - self._step_base
        # On the capture clock, so that a step of the node's wall clock does not move the estimate.
        offset = self.realtime_ns(heartbeat.time_ns) - received_ns
        self.offset_ns = max(self.offset_ns, offset)
        if abs(step) < STEP_NS:
            return None
        self._step_base = base
        return step / 1e9
