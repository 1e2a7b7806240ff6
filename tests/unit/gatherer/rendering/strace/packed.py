"""Records as a batch holds them, and what is printed of them."""

from __future__ import annotations

from collections.abc import Iterable

from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.rendering.strace.lines.stamps import stamp
from gatherer.rendering.strace.lines.timeline import Timeline
from hg_shared.records import HEAD, Record


def packed(records: Iterable[Record]) -> tuple[bytes, bytes]:
    """Returns the heads and the captures of records."""
    heads, captures = [], []
    for record in records:
        heads.append(
            HEAD.pack(*record[:3], *record[3], *record[4:9], len(record.captures)),
        )
        captures.append(record.captures)
    return b"".join(heads), b"".join(captures)


def feed(lines: ProcessLines, records: Iterable[Record], watermark: int) -> bytes:
    """Feeds records to the lines of a process; returns what is printed."""
    return lines.feed_rows(*packed(records), watermark)


class OrderedLines:
    """The lines of a process without the fast path, to compare with.

    Args:
        offset: CLOCK_REALTIME minus CLOCK_MONOTONIC.
        calls: renderer of calls; None for one of its own.
        pid: process id.
        command: name of the process.
        timestamps: style of the times.
    """

    def __init__(
        self,
        offset: int,
        calls: CallRenderer | None = None,
        pid: int = 0,
        command: str = "",
        timestamps: str = "time",
    ) -> None:
        self._out: list[str] = []
        moment = stamp(timestamps, offset)
        self.timeline = Timeline(
            calls or CallRenderer(),
            lambda ns, tid: f"{tid:<5} {moment(ns)}",
            self._out,
            pid,
            command,
        )

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Feeds records; returns what is printed."""
        self.timeline.take(heads, captures)
        self.timeline.print(watermark)
        return self._flush()

    def finish(self) -> bytes:
        """Returns what was held back."""
        self.timeline.finish()
        return self._flush()

    def _flush(self) -> bytes:
        text = "".join(self._out).encode("ascii")
        self._out.clear()
        return text


def unpacked(record: Record) -> tuple[tuple[int, ...], bytes]:
    """Returns a record's head and captures."""
    return HEAD.unpack(packed([record])[0]), record.captures


def call_text(renderer: CallRenderer, record: Record) -> str:
    """Returns `name(arguments) = value`."""
    return renderer.row(*unpacked(record), 0)


def split_text(renderer: CallRenderer, record: Record) -> tuple[str, str, str]:
    """Returns what is known of a call on entry, the rest of it, and its return value."""
    first = renderer.entering(*unpacked(record))
    resumed, returned = renderer.resumed(*unpacked(record))
    name, _, rest = resumed.partition(" resumed>")
    assert name == f"<... {first.partition('(')[0]}"
    return first, rest, returned
