"""Lines of one process: records in any order to the log that strace -f -tt -T -o would write.

`lines.sequential_calls` is the fast path, for calls that do not overlap each other;
`lines.timeline` puts everything in order. The lines are the same either way.
"""

from __future__ import annotations

from datetime import tzinfo

from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.sequential_calls import SequentialCalls
from gatherer.rendering.strace.lines.stamps import Prefixes, stamp
from gatherer.rendering.strace.lines.timeline import FOREVER, Timeline
from hg_shared.records import HEAD_SIZE


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
        undecoded: calls that were printed raw because their memory could not be made sense of.
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
        self.undecoded = 0
        self._pid = pid
        self._out: list[str] = []
        self._calls = calls = calls or CallRenderer()
        shown = stamp(timestamps, realtime_offset_ns, zone)
        self._sequential: SequentialCalls | None = None
        if timestamps in ("time", "unix"):
            prefixes = Prefixes(shown, realtime_offset_ns)
            self._prefix = prefixes.text
            if table is None:
                # Where a line depends on the lines before it there is no fast path.
                self._sequential = SequentialCalls(calls, prefixes)
        else:
            self._prefix = lambda ns, tid: f"{tid:<5} {shown(ns)}"
        self._timeline = Timeline(calls, self._prefix, self._out, pid, command, table)
        self._fast = self._sequential is not None

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Takes records as a batch holds them and returns the lines that are final now.

        Args:
            heads: record heads of this process, back to back, in any order.
            captures: the captures of all of them.
            watermark: CLOCK_MONOTONIC ns; nothing that starts before it follows, but the end of
                calls that were announced as in flight.
        """
        undecoded = self._calls.undecoded
        self._feed(heads, captures, watermark)
        self.undecoded += self._calls.undecoded - undecoded
        return self._flush()

    def _feed(self, heads: bytes, captures: bytes, watermark: int) -> None:
        sequential, timeline = self._sequential, self._timeline
        if sequential is None:
            timeline.take(heads, captures)
            starts = memoryview(heads).cast("Q")[:: HEAD_SIZE // 8]
            if watermark > timeline.printed or (heads and min(starts) <= watermark):
                timeline.print(watermark)
            return
        sequential.add(heads, captures)
        if self._fast:
            if sequential.print(watermark, self._out):
                return
            self._fast = False
        if watermark > timeline.printed or sequential.due(watermark):
            self._order(watermark)
            timeline.print(watermark)
            waiting = timeline.release()
            if waiting is not None:
                # The fast path goes on once nothing waits that it cannot take.
                sequential.start(watermark + 1 if timeline.in_call else 0)
                sequential.put_back(*waiting)
                self._fast = True

    def _order(self, watermark: int) -> None:
        """Puts what is final where it can be sorted."""
        if self._sequential is not None:
            for heads, captures in self._sequential.take(watermark):
                self._timeline.take(heads, captures)

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        return self._timeline.waits or (self._sequential is not None and self._sequential.waits)

    def note(self, time_ns: int, text: str) -> bytes:
        """Returns a line about the log itself, in the form of strace's exit lines.

        Args:
            time_ns: CLOCK_MONOTONIC ns.
            text: printable ASCII.
        """
        return f"{self._prefix(time_ns, self._pid)}+++ {text} +++\n".encode("ascii")

    def finish(self) -> bytes:
        """Returns everything that was held back; calls that did not return stay unfinished."""
        self._fast = False
        self._order(FOREVER)
        undecoded = self._calls.undecoded
        self._timeline.finish()
        self.undecoded += self._calls.undecoded - undecoded
        return self._flush()

    def _flush(self) -> bytes:
        out = self._out
        if not out:
            return b""
        self.lines += len(out)
        text = "".join(out)
        out.clear()
        return text.encode("ascii")
