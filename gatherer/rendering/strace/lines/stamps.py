"""What stands in front of a line: thread id and time, in strace's styles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from enum import Enum

SECOND = 1_000_000_000
_LAST_SECOND = 253_402_000_000

Stamp = Callable[[int], str]
"""CLOCK_MONOTONIC nanoseconds to the time in front of a line, its blank included."""


class Timestamps(Enum):
    """How lines are stamped."""

    NONE = "none"
    TIME = "time"
    UNIX = "unix"
    RELATIVE = "relative"


def stamp(style: str, realtime_offset_ns: int, zone: tzinfo | None = None) -> Stamp:
    """Returns the function that stamps lines.

    Args:
        style: one of `Timestamps`: nothing, local `HH:MM:SS.ffffff` (-tt), seconds since the epoch
            (-ttt), or seconds since the line before (-r).
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC.
        zone: time zone of the local time; None for this machine's.

    Raises:
        ValueError: the style is none of these.
    """
    chosen = Timestamps(style)
    if chosen is Timestamps.NONE:
        return lambda _ns: ""
    if chosen is Timestamps.UNIX:
        return lambda ns: _unix(max(ns + realtime_offset_ns, 0))
    if chosen is Timestamps.RELATIVE:
        return _relative()
    return _local(realtime_offset_ns, zone)


def _unix(ns: int) -> str:
    return f"{ns // SECOND}.{ns % SECOND // 1000:06d} "


def _relative() -> Stamp:
    before: int | None = None

    def text(ns: int) -> str:
        nonlocal before
        since = 0 if before is None else max(ns - before, 0)
        before = ns
        return f"{since // SECOND:6d}.{since % SECOND // 1000:06d} "

    return text


def _local(offset: int, zone: tzinfo | None) -> Stamp:
    current = -1
    prefix = ""

    def text(ns: int) -> str:
        nonlocal current, prefix
        second, rest = divmod(ns + offset, SECOND)
        if second != current:
            current = second
            moment = datetime.fromtimestamp(min(max(second, 0), _LAST_SECOND), zone)
            prefix = moment.strftime("%H:%M:%S.")
        return f"{prefix}{rest // 1000:06d} "

    return text
