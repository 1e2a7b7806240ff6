"""Lines of one process: records in any order to the log that strace -f -tt -T -o would write.

Every call is two points in time, its start and its end. A watermark promises that nothing that
starts before it is still to come, but for calls that an IN_FLIGHT record has announced; so all
points up to it are final and are printed in the order of (time, tid). A call is one line unless
another point of the process lies between its two, or it has been in flight for a second: then it is
`<unfinished ...>` and later `<... resumed>`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from datetime import tzinfo
from heapq import heappop, heappush
from operator import itemgetter

from gatherer.render.call import NO_RETURN, CallRenderer
from gatherer.render.descriptor_table import DescriptorTable
from gatherer.render.memory import decode
from gatherer.render.runs import SET_ASIDE, Runs
from gatherer.render.signals import ended_line, signal_line, stopped_line
from gatherer.render.stamps import SECOND, stamp
from gatherer.render.text import escape
from hg_shared.records import HEAD, HEAD_SIZE, LOSS_TEXT, Abi, Kind, Record, iter_records

_order = itemgetter(0, 4)
_PRINTED = frozenset(
    (Kind.SIGNAL, Kind.STOPPED, Kind.EXITED, Kind.EXEC, Kind.DETACHED, Kind.LOST, Kind.WINDOW)
)
_SILENT = frozenset((Kind.THREAD, Kind.ATTACHED))
_CALLS = frozenset((Kind.SYSCALL, Kind.IN_FLIGHT))
_NATIVE = "64 bit"
_MODES: dict[int, str] = {
    Abi.X86_64: _NATIVE,
    Abi.AARCH64: _NATIVE,
    Abi.I386: "32 bit",
    Abi.ARM: "32 bit",
    Abi.X32: "x32",
}
_FOREVER = 1 << 64
# Calls of a process that may be open at one time; pid_max is 4 million for all of a node.
MAX_OPEN = 1 << 16
_COLUMN = 39


class ProcessLines:
    """Renders the records of one process.

    Args:
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC of the node.
        calls: renderer of calls, may be shared; None for one of its own.
        pid: process id, for notes that are about no thread.
        command: name of the process, to tell when execve changes it.
        timestamps: one of gatherer.render.stamps.Timestamps.
        zone: time zone of local times; None for this machine's.
        table: what descriptors refer to; only with a renderer of calls that shows it.

    Attributes:
        table: as given.
        skipped: records of kinds that are not known here.
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
        self.skipped = 0
        self.lines = 0
        self._calls = calls or CallRenderer()
        self._pid = pid
        self._command = command
        self._stamp = stamp(timestamps, realtime_offset_ns, zone)
        # Where a line depends on the lines before it there is no shorter way.
        self._runs = (
            Runs(self._calls, self._stamp, realtime_offset_ns, _COLUMN, self._ordered)
            if timestamps in ("time", "unix") and table is None
            else None
        )
        self._running = self._runs is not None
        self._waiting: list[Record] = []
        self._ends: list[tuple[int, int, int, Record]] = []
        self._open: dict[int, Record] = {}
        self._announced: dict[tuple[int, int], Record] = {}
        self._returned: set[tuple[int, int]] = set()
        self._execs: dict[int, Record] = {}
        self._narrow: dict[int, str] = {}
        self._pushed = 0
        self._printed = -1
        self._rows = False
        self._split = False
        self._out: list[str] = []

    def feed(self, records: Iterable[Record], watermark: int) -> bytes:
        """Takes records and returns the lines that are final now.

        Args:
            records: of this process, in any order.
            watermark: CLOCK_MONOTONIC ns; nothing that starts before it follows, but the end of
                calls that were announced as in flight.
        """
        self._rows = False
        self._order()
        self._take(records)
        self._print(watermark)
        return self._flush()

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Takes records as a batch holds them and returns the lines that are final now.

        It gives the same lines as `feed`, faster where calls do not overlap each other.

        Args:
            heads: record heads of this process, back to back.
            captures: the captures of all of them.
            watermark: see `feed`.
        """
        runs = self._runs
        self._rows = True
        if runs is None:
            self._take(iter_records(heads, captures))
            starts = memoryview(heads).cast("Q")[:: HEAD_SIZE // 8]
            if watermark > self._printed or (heads and min(starts) <= watermark):
                self._print(watermark)
            return self._flush()
        runs.add(heads, captures)
        if self._running:
            if runs.print(watermark, self._out):
                return self._flush()
            self._running = False
        if watermark > self._printed or runs.due(watermark):
            self._take(runs.take(watermark))
            self._print(watermark)
            self._run(watermark)
        return self._flush()

    def _ordered(self, records: list[Record], watermark: int) -> None:
        self._take(records)
        self._print(watermark)

    def _order(self) -> None:
        """Puts what waits in a run where it can be sorted."""
        if self._runs is not None:
            self._running = False
            self._take(self._runs.take(_FOREVER))

    def _run(self, watermark: int) -> None:
        """Goes back to the short way once nothing waits that it cannot take."""
        runs = self._runs
        split, self._split = self._split, False
        if runs is None or split or self._ends or self._announced or self._narrow:
            return
        waiting = self._waiting
        if any(record[7] not in SET_ASIDE for record in waiting):
            return
        heads = [
            HEAD.pack(*record[:3], *record[3], *record[4:9], len(record[9])) for record in waiting
        ]
        runs.start(watermark + 1 if self._open else 0)
        runs.put_back(b"".join(heads), b"".join([record[9] for record in waiting]))
        waiting.clear()
        self._running = True

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        return bool(
            self._waiting
            or self._ends
            or self._announced
            or (self._runs is not None and self._runs.waits)
        )

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
        self._print(_FOREVER)
        for record in self._waiting:
            if record.kind == Kind.IN_FLIGHT:
                self._describe(record.start, record)
                self._line(
                    record.start, record.tid, f"{self._calls.entering(record)} <unfinished ...>"
                )
        self._waiting.clear()
        self._open.clear()
        return self._flush()

    def _flush(self) -> bytes:
        out = self._out
        if not out:
            return b""
        self.lines += len(out)
        text = "".join(out)
        out.clear()
        return text.encode("ascii")

    def _take(self, records: Iterable[Record]) -> None:
        append = self._waiting.append
        shown, announced, table = self._open, self._announced, self.table
        for record in records:
            kind = record[7]
            if kind == 0:
                if table is not None:
                    table.take(record)
                if record[4] in shown or (announced and (record[4], record[0]) in announced):
                    self._take_return(record)
                else:
                    append(record)
            elif kind == Kind.IN_FLIGHT:
                if len(self._announced) + len(self._open) >= MAX_OPEN:
                    self.skipped += 1  # It is printed when it returns.
                    continue
                identity = (record.tid, record.start)
                known = self._open.get(record.tid)
                if identity not in self._announced and (
                    known is None or known.start != record.start
                ):
                    self._announced[identity] = record
                    append(record)
            elif kind in _PRINTED:
                append(record)
                if kind == Kind.EXEC and record.args[0] not in (0, record.tid):
                    if len(self._execs) >= MAX_OPEN:
                        self._execs.clear()
                    self._execs[record.tid] = record
            elif kind not in _SILENT:
                self.skipped += 1

    def _take_return(self, record: Record) -> None:
        """Takes a return whose call may have been announced, or printed, before."""
        shown = self._open.get(record.tid)
        if shown is not None and shown.start == record.start:
            del self._open[record.tid]
            self._push(record)
            return
        if (record.tid, record.start) in self._announced:
            self._returned.add((record.tid, record.start))
        self._waiting.append(record)

    def _push(self, record: Record) -> None:
        self._pushed += 1
        self._split = True
        heappush(self._ends, (record.start + record.duration, record.tid, self._pushed, record))
        if len(self._ends) > MAX_OPEN:
            self._resume(heappop(self._ends))

    def _print(self, watermark: int) -> None:
        self._printed = watermark
        waiting = self._waiting
        waiting.sort(key=_order)
        if self._announced:
            self._drop_returned()
        ends, out = self._ends, self._out
        stamped, render = self._stamp, self._calls.call
        short = self._runs if self._rows else None
        narrow = self._narrow
        count = len(waiting)
        at = 0
        while at < count:
            if short is not None and not narrow:
                before = min(watermark, ends[0][0] - 1) + 1 if ends else watermark + 1
                at = short.print_ordered(waiting, at, before, out)
                if at == count:
                    break
            record = waiting[at]
            start, tid = record[0], record[4]
            if start > watermark:
                break
            while ends and (ends[0][0], ends[0][1]) <= (start, tid):
                self._resume(heappop(ends))
            if self.table is not None:
                self._describe(start, record)
            at += 1
            following = waiting[at] if at < count else None
            if record[8] > Abi.AARCH64 or narrow:
                self._note_mode(record)
            if record[7] != 0:
                if not self._print_other(record, following, watermark):
                    at -= 1
                    break
                continue
            duration = record[1]
            end = start + duration
            if end <= watermark:
                # What took a second is split whenever it comes, so that the same records give the
                # same lines, live or later.
                if (
                    duration < SECOND
                    and (
                        following is None
                        or end < following[0]
                        or (end == following[0] and tid <= following[4])
                    )
                    and not (ends and (ends[0][0], ends[0][1]) < (end, tid))
                ):
                    text, returned = render(record)
                    head = f"{tid:<5} {stamped(start)}{text}"
                    micros = duration // 1000
                    out.append(
                        f"{head:<39} = {returned} <{micros // 1000000}.{micros % 1000000:06d}>\n"
                    )
                    continue
            elif not self._interrupted(start, following, watermark):
                at -= 1
                break
            if following is not None and self._defer_exec(record, following, at):
                at -= 1
                continue
            caller = self._caller(record)
            self._line(start, caller, f"{self._calls.entering(record)} <unfinished ...>")
            self._push(record)
        del waiting[:at]
        if not (waiting and waiting[0].start <= watermark):
            while ends and ends[0][0] <= watermark:
                self._resume(heappop(ends))

    def _note_mode(self, record: Record) -> None:
        """Says so when a thread makes a call of another calling convention than its last one."""
        tid, mode = record.tid, _MODES.get(record.abi)
        if mode is None or record.kind not in _CALLS or self._narrow.get(tid, _NATIVE) == mode:
            return
        if mode == _NATIVE:
            del self._narrow[tid]
        elif len(self._narrow) < MAX_OPEN:
            self._narrow[tid] = mode
        self._line(record.start, tid, f"[ Process PID={tid} runs in {mode} mode. ]")

    def _caller(self, record: Record) -> int:
        """Returns the tid a call was made under: execve gives its thread that of the leader."""
        found = self._execs.get(record.tid)
        if found is None or not record.start < found.start <= record.start + record.duration:
            return record.tid
        return found.args[0] & 0xFFFFFFFF

    def _defer_exec(self, record: Record, following: Record, at: int) -> bool:
        """Moves PTRACE_EVENT_EXEC behind the execve that caused it, so that it splits no line."""
        end = record.start + record.duration
        if (
            following.kind != Kind.EXEC
            or following.tid != record.tid
            or following.args[0] != following.tid
            or following.start >= end
        ):
            return False
        del self._waiting[at]
        insort(self._waiting, following._replace(start=end), lo=at, key=_order)
        return True

    def _interrupted(self, start: int, following: Record | None, watermark: int) -> bool:
        """Returns whether a call that has not ended yet must be printed as unfinished."""
        return (
            watermark - start >= SECOND
            or (following is not None and following.start <= watermark)
            or bool(self._ends and self._ends[0][0] <= watermark)
        )

    def _drop_returned(self) -> None:
        """Takes announcements away whose call has returned before they were printed."""
        if self._returned:
            returned = self._returned
            self._waiting[:] = [
                record
                for record in self._waiting
                if record[7] != Kind.IN_FLIGHT or (record.tid, record.start) not in returned
            ]
            for identity in returned:
                self._announced.pop(identity, None)
            self._returned = set()

    def _print_other(self, record: Record, following: Record | None, watermark: int) -> bool:
        """Prints what is no finished call; returns False to wait for what follows."""
        kind = record.kind
        if kind == Kind.IN_FLIGHT:
            return self._print_open(record, following, watermark)
        start, tid = record.start, record.tid
        if kind == Kind.SIGNAL:
            self._line(start, tid, signal_line(record))
        elif kind == Kind.STOPPED:
            self._line(start, tid, stopped_line(record))
        elif kind == Kind.EXITED:
            self._end_open(start, tid)
            self._narrow.pop(tid, None)
            self._line(start, tid, ended_line(record.rval))
        elif kind == Kind.EXEC:
            self._executed(record)
        elif kind == Kind.LOST:
            count, cause = record.args[0], record.args[1]
            reason = LOSS_TEXT.get(cause, f"cause {cause}")  # type: ignore[call-overload]
            plural = "" if count == 1 else "s"
            text = f"+++ LOST {count} record{plural} ({reason}) +++"
            self._line(start, self._pid or tid, text)
        elif kind == Kind.WINDOW:
            on, loss = record.args[0], record.args[1] / 10
            what = "on" if on else f"off, the target lost about {loss:g}% of its time"
            self._line(start, self._pid or tid, f"+++ WINDOW tracing {what} +++")
        else:
            self._open.pop(tid, None)
        return True

    def _print_open(self, record: Record, following: Record | None, watermark: int) -> bool:
        start, tid = record.start, record.tid
        same = following is not None and following.tid == tid and following.start <= watermark
        if same and following is not None and not self._ends_before(following):
            if following.kind == Kind.EXITED:
                self._announced.pop((tid, start), None)
                self._line(start, tid, self._abandoned(record), " = ?")
                return True
            if following.kind == Kind.DETACHED:
                self._announced.pop((tid, start), None)
                self._line(start, tid, f"{self._calls.entering(record)} <detached ...>")
                return True
        ended = watermark == _FOREVER or not self._interrupted(start, following, watermark)
        if ended and (following is None or following.start > watermark):
            return False
        self._announced.pop((tid, start), None)
        self._line(start, tid, f"{self._calls.entering(record)} <unfinished ...>")
        self._open[tid] = record
        return True

    def _ends_before(self, record: Record) -> bool:
        return bool(self._ends and self._ends[0][:2] < (record.start, record.tid))

    def _abandoned(self, record: Record) -> str:
        """Returns a call that never returns, up to its closing parenthesis."""
        first, rest, _ = self._calls.split(record)
        if rest == ")" or self._calls.name(record) in NO_RETURN:
            return first + rest
        return f"{first} <unfinished ...>)"

    def _end_open(self, time: int, tid: int) -> None:
        """Prints the end of the call a thread died in."""
        record = self._open.pop(tid, None)
        if record is None:
            return
        self._describe(time, record)
        first, rest, _ = self._calls.split(record)
        del first
        middle = "" if rest == ")" else " <unfinished ...>"
        self._line(time, tid, f"<... {self._calls.name(record)} resumed>{middle})", " = ?")

    def _executed(self, record: Record) -> None:
        """Prints what execve did to threads and name; the calling thread becomes the leader."""
        start, tid, former = record.start, record.tid, record.args[0]
        if former and former != tid:
            self._execs.pop(tid, None)
            self._end_open(start, tid)
            self._line(start, tid, f"+++ superseded by execve in pid {former} +++")
            caller = self._open.pop(former, None)
            if caller is not None:
                self._open[tid] = caller._replace(tid=tid)
        found = decode(record.captures).get(0)
        if found is not None:
            name = found[1].decode("utf-8", "surrogateescape")
            if self._command and name and name != self._command:
                old, new = (_printable(text) for text in (self._command, name))
                self._line(start, tid, f"+++ RENAMED {old} to {new} +++")
            self._command = name or self._command

    def _resume(self, end: tuple[int, int, int, Record]) -> None:
        time, tid, _, record = end
        self._describe(time, record)
        _, rest, returned = self._calls.split(record)
        duration = record.duration
        text = f"<... {self._calls.name(record)} resumed>{rest}"
        end_text = f" = {returned} <{duration // SECOND}.{duration % SECOND // 1000:06d}>"
        self._line(time, tid, text, end_text)

    def _describe(self, time: int, record: Record) -> None:
        """Moves what descriptors refer to on to the moment at which a call is printed."""
        table, descriptors = self.table, self._calls.descriptors
        if table is not None and descriptors is not None:
            table.advance(time)
            descriptors.begin(table, record)

    def _line(self, time: int, tid: int, text: str, end: str = "") -> None:
        """Appends a line; what stands behind a call starts in column 40 at the earliest."""
        head = f"{tid:<5} {self._stamp(time)}{text}"
        self._out.append(f"{head:<39}{end}\n" if end else f"{head}\n")


def _printable(text: str) -> str:
    return escape(text.encode("utf-8", "surrogateescape"))
