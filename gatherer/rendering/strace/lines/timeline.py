"""The records of one process on a line of time: in any order in, as lines in order out.

Every call is two points in time, its start and its end. A watermark promises that nothing that
starts before it is still to come, but for calls that an IN_FLIGHT record has announced; so all
points up to it are final and are printed in the order of (time, tid). A call is one line unless
another point of the process lies between its two, or it has been in flight for a second: then it is
`<unfinished ...>` and later `<... resumed>`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from heapq import heappop, heappush
from operator import itemgetter

from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.args.memory import decode
from gatherer.rendering.strace.calls.call import NO_RETURN, CallRenderer
from gatherer.rendering.strace.lines import notes
from gatherer.rendering.strace.lines.execs import Execs
from gatherer.rendering.strace.lines.notes import MODES, NATIVE
from gatherer.rendering.strace.lines.row_printer import RowPrinter
from gatherer.rendering.strace.lines.signals import ended_line, signal_line, stopped_line
from gatherer.rendering.strace.lines.stamps import SECOND, Stamp
from hg_shared.records import Abi, Kind, Record

_order = itemgetter(0, 4)
_PRINTED = frozenset(
    (Kind.SIGNAL, Kind.STOPPED, Kind.EXITED, Kind.EXEC, Kind.DETACHED, Kind.LOST, Kind.WINDOW)
)
_SILENT = frozenset((Kind.THREAD, Kind.ATTACHED))
_CALLS = frozenset((Kind.SYSCALL, Kind.IN_FLIGHT))
FOREVER = 1 << 64
"""A watermark behind everything."""
# Calls of a process that may be open at one time; pid_max is 4 million for all of a node.
MAX_OPEN = 1 << 16


class Timeline:
    """Puts the records of one process in order and prints what is final.

    Args:
        calls: renderer of calls, may be shared.
        stamp: the time in front of a line.
        out: where lines are appended.
        pid: process id, for lines that are about no thread.
        command: name of the process, to tell when execve changes it.
        table: what descriptors refer to; only with a renderer of calls that shows it.

    Attributes:
        printer: prints calls that do not overlap others, faster; None to do without.
        printed: the last watermark, -1 before the first.
        skipped: records of kinds that are not known here.
    """

    def __init__(
        self,
        calls: CallRenderer,
        stamp: Stamp,
        out: list[str],
        pid: int = 0,
        command: str = "",
        table: DescriptorTable | None = None,
    ) -> None:
        self.printer: RowPrinter | None = None
        self.printed = -1
        self.skipped = 0
        self._calls = calls
        self._stamp = stamp
        self._out = out
        self._pid = pid
        self._command = command
        self._table = table
        self._waiting: list[Record] = []
        self._ends: list[tuple[int, int, int, Record]] = []
        self._open: dict[int, Record] = {}
        self._announced: dict[tuple[int, int], Record] = {}
        self._returned: set[tuple[int, int]] = set()
        self._execs = Execs()
        self._narrow: dict[int, str] = {}
        self._pushed = 0
        self._split = False

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        return bool(self._waiting or self._ends or self._announced)

    @property
    def in_call(self) -> bool:
        """Whether a call was printed as unfinished that has not ended yet."""
        return bool(self._open)

    def feed(self, records: Iterable[Record], watermark: int) -> None:
        """Takes records and prints what is final at a moment; see `print`."""
        self.take(records)
        self.print(watermark)

    def release(self, kinds: bytes) -> list[Record] | None:
        """Gives up what waits, when no calls have overlapped each other since the last time.

        Args:
            kinds: of the records that may be given up.

        Returns:
            None when all of it goes on to wait here.
        """
        split, self._split = self._split, False
        if split or self._ends or self._announced or self._narrow:
            return None
        if any(record[7] not in kinds for record in self._waiting):
            return None
        waiting, self._waiting = self._waiting, []
        return waiting

    def finish(self) -> None:
        """Prints everything that was held back; calls that did not return stay unfinished."""
        self.print(FOREVER)
        for record in self._waiting:
            if record.kind == Kind.IN_FLIGHT:
                self._describe(record.start, record)
                text = f"{self._calls.entering(record)} <unfinished ...>"
                self._line(record.start, record.tid, text)
        self._waiting.clear()
        self._open.clear()

    def take(self, records: Iterable[Record]) -> None:
        """Takes records, in any order."""
        append = self._waiting.append
        shown, announced, table = self._open, self._announced, self._table
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
                if kind == Kind.EXEC:
                    self._execs.take(record)
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

    def print(self, watermark: int) -> None:
        """Prints everything up to a moment.

        Args:
            watermark: CLOCK_MONOTONIC ns; nothing that starts before it follows, but the end of
                calls that were announced as in flight.
        """
        self.printed = watermark
        waiting = self._waiting
        waiting.sort(key=_order)
        if self._announced:
            self._drop_returned()
        ends, out = self._ends, self._out
        stamped, render = self._stamp, self._calls.call
        short = self.printer
        narrow = self._narrow
        count = len(waiting)
        at = 0
        while at < count:
            if short is not None and not narrow:
                before = min(watermark, ends[0][0] - 1) + 1 if ends else watermark + 1
                at = short.print(waiting, at, before, out)
                if at == count:
                    break
            record = waiting[at]
            start, tid = record[0], record[4]
            if start > watermark:
                break
            while ends and (ends[0][0], ends[0][1]) <= (start, tid):
                self._resume(heappop(ends))
            if self._table is not None:
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
            caller = self._execs.caller(record)
            self._line(start, caller, f"{self._calls.entering(record)} <unfinished ...>")
            self._push(record)
        del waiting[:at]
        if not (waiting and waiting[0].start <= watermark):
            while ends and ends[0][0] <= watermark:
                self._resume(heappop(ends))

    def _note_mode(self, record: Record) -> None:
        """Says so when a thread makes a call of another calling convention than its last one."""
        tid, mode = record.tid, MODES.get(record.abi)
        if mode is None or record.kind not in _CALLS or self._narrow.get(tid, NATIVE) == mode:
            return
        if mode == NATIVE:
            del self._narrow[tid]
        elif len(self._narrow) < MAX_OPEN:
            self._narrow[tid] = mode
        self._line(record.start, tid, notes.mode_note(tid, mode))

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
            self._line(start, self._pid or tid, notes.lost_note(record))
        elif kind == Kind.WINDOW:
            self._line(start, self._pid or tid, notes.window_note(record))
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
        ended = watermark == FOREVER or not self._interrupted(start, following, watermark)
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
        _, rest, _ = self._calls.split(record)
        middle = "" if rest == ")" else " <unfinished ...>"
        self._line(time, tid, f"<... {self._calls.name(record)} resumed>{middle})", " = ?")

    def _executed(self, record: Record) -> None:
        """Prints what execve did to threads and name; the calling thread becomes the leader."""
        start, tid, former = record.start, record.tid, record.args[0]
        if former and former != tid:
            self._execs.forget(tid)
            self._end_open(start, tid)
            self._line(start, tid, notes.superseded_note(former))
            caller = self._open.pop(former, None)
            if caller is not None:
                self._open[tid] = caller._replace(tid=tid)
        found = decode(record.captures).get(0)
        if found is not None:
            name = found[1].decode("utf-8", "surrogateescape")
            if self._command and name and name != self._command:
                self._line(start, tid, notes.renamed_note(self._command, name))
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
        table, descriptors = self._table, self._calls.descriptors
        if table is not None and descriptors is not None:
            table.advance(time)
            descriptors.begin(table, record)

    def _line(self, time: int, tid: int, text: str, end: str = "") -> None:
        """Appends a line; what stands behind a call starts in column 40 at the earliest."""
        head = f"{tid:<5} {self._stamp(time)}{text}"
        self._out.append(f"{head:<39}{end}\n" if end else f"{head}\n")
