"""Lines of one process: records in any order to the log that strace -f -tt -T -o would write.

There are two ways: `lines.runs` is the short one, for calls that do not overlap each
other; `lines.timeline` puts everything in order. The lines are the same either way.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo

from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.row_printer import RowPrinter
from gatherer.rendering.strace.lines.runs import SET_ASIDE, Runs
from gatherer.rendering.strace.lines.stamps import stamp
from gatherer.rendering.strace.lines.timeline import FOREVER, Timeline
from hg_shared.records import HEAD, HEAD_SIZE, Record, iter_records

_COLUMN = 39


class ProcessLines:
    """Renders the records of one process.

    Args:
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC of the node.
        calls: renderer of calls, may be shared; None for one of its own.
        pid: process id, for notes that are about no thread.
        command: name of the process, to tell when execve changes it.
        timestamps: one of `Timestamps`.
        zone: time zone of local times; None for this machine's.
        table: what descriptors refer to; only with a renderer of calls that shows it.

    Attributes:
        table: as given.
        lines: lines returned so far.
    """

    def __init__(
        self,
        realtime_offset_ns: int,
        calls: CallRenderer | None = None,
        pid: int = 0,
        command: str = "",
        timestamps: str = "time",
        zone: tzinfo | None = None,
        table: DescriptorTable | None = None,
    ) -> None:
        self.table = table
        self.lines = 0
        self._pid = pid
        self._calls = calls or CallRenderer()
        self._stamp = stamp(timestamps, realtime_offset_ns, zone)
        self._out: list[str] = []
        self._timeline = Timeline(self._calls, self._stamp, self._out, pid, command, table)
        self._printer: RowPrinter | None = None
        self._runs: Runs | None = None
        # Where a line depends on the lines before it there is no shorter way.
        if timestamps in ("time", "unix") and table is None:
            how = self._calls, self._stamp, realtime_offset_ns, _COLUMN
            self._printer = RowPrinter(*how)
            self._runs = Runs(*how, self._timeline.feed)
        self._running = self._runs is not None

    @property
    def skipped(self) -> int:
        """Records of kinds that are not known here."""
        return self._timeline.skipped

    def feed(self, records: Iterable[Record], watermark: int) -> bytes:
        """Takes records and returns the lines that are final now.

        Args:
            records: of this process, in any order.
            watermark: CLOCK_MONOTONIC ns; nothing that starts before it follows, but the end of
                calls that were announced as in flight.
        """
        self._timeline.printer = None
        self._order()
        self._timeline.feed(records, watermark)
        return self._flush()

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Takes records as a batch holds them and returns the lines that are final now.

        It gives the same lines as `feed`, faster where calls do not overlap each other.

        Args:
            heads: record heads of this process, back to back.
            captures: the captures of all of them.
            watermark: see `feed`.
        """
        runs, timeline = self._runs, self._timeline
        timeline.printer = self._printer
        if runs is None:
            timeline.take(iter_records(heads, captures))
            starts = memoryview(heads).cast("Q")[:: HEAD_SIZE // 8]
            if watermark > timeline.printed or (heads and min(starts) <= watermark):
                timeline.print(watermark)
            return self._flush()
        runs.add(heads, captures)
        if self._running:
            if runs.print(watermark, self._out):
                return self._flush()
            self._running = False
        if watermark > timeline.printed or runs.due(watermark):
            timeline.feed(runs.take(watermark), watermark)
            self._run(runs, watermark)
        return self._flush()

    def _order(self) -> None:
        """Puts what waits in a run where it can be sorted."""
        if self._runs is not None:
            self._running = False
            self._timeline.take(self._runs.take(FOREVER))

    def _run(self, runs: Runs, watermark: int) -> None:
        """Goes back to the short way once nothing waits that it cannot take."""
        waiting = self._timeline.release(SET_ASIDE)
        if waiting is None:
            return
        heads = [
            HEAD.pack(*record[:3], *record[3], *record[4:9], len(record[9])) for record in waiting
        ]
        runs.start(watermark + 1 if self._timeline.in_call else 0)
        runs.put_back(b"".join(heads), b"".join([record[9] for record in waiting]))
        self._running = True

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        return self._timeline.waits or (self._runs is not None and self._runs.waits)

    def note(self, time_ns: int, text: str) -> bytes:
        """Returns a line about the log itself, in the form of strace's exit lines.

        Args:
            time_ns: CLOCK_MONOTONIC ns.
            text: printable ASCII.
        """
        return f"{self._pid:<5} {self._stamp(time_ns)}+++ {text} +++\n".encode("ascii")

    def finish(self) -> bytes:
        """Returns everything that was held back; calls that did not return stay unfinished."""
        self._order()
        self._timeline.finish()
        return self._flush()

    def _flush(self) -> bytes:
        out = self._out
        if not out:
            return b""
        self.lines += len(out)
        text = "".join(out)
        out.clear()
        return text.encode("ascii")
