"""Stamps of a line: thread id and time in front of it, and a call's duration behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, tzinfo
from enum import Enum

SECOND = 1_000_000_000
COLUMN = 39
"""Column before which no ` = ` stands."""
FAR = 1 << 65
"""Later than any record, ns."""
THOUSANDS = [f"{number:03d}" for number in range(1000)]
MICROSECONDS = [f"{number:03d} " for number in range(1000)]
DURATIONS = [f" <0.{number:06d}>\n" for number in range(4096)]
"""What stands behind a call, by its duration in microseconds."""
MAX_PREFIXES = 1 << 16
"""Threads whose prefix is kept; a stream may name four billion of them within a second."""
_LAST_SECOND = 253_402_000_000

Stamp = Callable[[int], str]
"""CLOCK_MONOTONIC nanoseconds to the time in front of a line, its blank included."""


class Timestamps(Enum):
    """The style of the stamps of lines."""

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


def duration_text(ns: int) -> str:
    """Returns what stands behind a call, the end of the line included.

    Args:
        ns: its duration.
    """
    micros = ns // 1000
    if micros < 4096:
        return DURATIONS[micros]
    return f" <{micros // 1_000_000}.{micros % 1_000_000:06d}>\n"


class Prefixes(dict[int, tuple[str, int]]):
    """Prefixes of the lines of one second, by thread id: all but the microseconds.

    Behind it stands the width that is left up to the column of the ` = `.

    Args:
        stamp: of a style that ends in `ffffff `.
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC.

    Attributes:
        base: when the second began, CLOCK_MONOTONIC ns.
    """

    def __init__(self, stamp: Stamp, realtime_offset_ns: int) -> None:
        super().__init__()
        self.base = -FAR
        self._stamp = stamp
        self._offset = realtime_offset_ns

    def move(self, ns: int) -> int:
        """Goes on to the second of a moment, and returns its base; `-FAR` before the epoch."""
        second = (ns + self._offset) // SECOND
        self.base = second * SECOND - self._offset if second >= 0 else -FAR
        self.clear()
        return self.base

    def __missing__(self, tid: int) -> tuple[str, int]:
        if len(self) >= MAX_PREFIXES:
            self.clear()
        text = f"{tid:<5} {self._stamp(self.base)[:-7]}"
        found = self[tid] = (text, COLUMN - len(text) - 7)
        return found

    def text(self, ns: int, tid: int) -> str:
        """Returns what stands in front of one line.

        Args:
            ns: its time, CLOCK_MONOTONIC.
            tid: its thread.
        """
        rel = ns - self.base
        if not 0 <= rel < SECOND:
            rel = ns - self.move(ns)
            if rel >= SECOND:
                return f"{tid:<5} {self._stamp(ns)}"
        micros = rel // 1000
        return f"{self[tid][0]}{THOUSANDS[micros // 1000]}{MICROSECONDS[micros % 1000]}"


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
