"""The records of one process on a line of time: in any order in, as lines in order out.

Every call is two points in time, its start and its end. A watermark promises that nothing that
starts before it is still to come, but for calls that an IN_FLIGHT record has announced; so all
points up to it are final and are printed in the order of (time, tid). A call is one line unless
another point of the process lies between its two, or it has been in flight for a second: then it is
`<unfinished ...>` and later `<... resumed>`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from heapq import heappop, heappush

from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.args.memory import decode
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.calls.compiler import Head
from gatherer.rendering.strace.lines import notes
from gatherer.rendering.strace.lines.entry import END, Entry, packed, record_of
from gatherer.rendering.strace.lines.execs import Execs
from gatherer.rendering.strace.lines.notes import MODES, NATIVE
from gatherer.rendering.strace.lines.signals import ended_line, signal_line, stopped_line
from gatherer.rendering.strace.lines.stamps import COLUMN, DURATIONS, SECOND, duration_text
from hg_shared.records import HEAD, Abi, Kind, Record

_PRINTED = frozenset(
    (Kind.SIGNAL, Kind.STOPPED, Kind.EXITED, Kind.EXEC, Kind.DETACHED, Kind.LOST, Kind.WINDOW)
)
_CALLS = frozenset((Kind.SYSCALL, Kind.IN_FLIGHT))
_NOTES: dict[int, tuple[Callable[[Record], str], bool]] = {
    Kind.SIGNAL: (signal_line, False),
    Kind.STOPPED: (stopped_line, False),
    Kind.LOST: (notes.lost_note, True),
    Kind.WINDOW: (notes.window_note, True),
}
"""What records print that are no calls, and whether it is about the process."""
_NO_RETURN = ("exit(", "exit_group(")
FOREVER = 1 << 64
"""A watermark behind everything."""
# Calls of a process that may be open at one time; pid_max is 4 million for all of a node.
MAX_OPEN = 1 << 16

_EXEC, _NATIVE = int(Kind.EXEC), int(Abi.AARCH64)


class Timeline:
    """Puts the records of one process in order and prints what is final.

    Args:
        calls: renderer of calls, may be shared.
        prefix: time and thread id to what stands in front of a line.
        out: where lines are appended.
        pid: process id, for lines that are about no thread.
        command: name of the process, to tell when execve changes it.
        table: what descriptors refer to; only with a renderer of calls that shows it.

    Attributes:
        printed: the last watermark, -1 before the first.
    """

    def __init__(
        self,
        calls: CallRenderer,
        prefix: Callable[[int, int], str],
        out: list[str],
        pid: int = 0,
        command: str = "",
        table: DescriptorTable | None = None,
    ) -> None:
        self.printed = -1
        self._calls = calls
        self._prefix = prefix
        self._out = out
        self._pid = pid
        self._command = command
        self._table = table
        self._waiting: list[Entry] = []
        self._ends: list[Entry] = []
        self._open: dict[int, Entry] = {}
        self._announced: dict[tuple[int, int], int] = {}
        self._returned: set[int] = set()
        self._execs = Execs()
        self._narrow: dict[int, str] = {}
        self._taken = 0
        self._split = False

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        return bool(self._waiting or self._ends or self._announced)

    @property
    def in_call(self) -> bool:
        """Whether a call was printed as unfinished that has not ended yet."""
        return bool(self._open)

    def release(self) -> tuple[bytes, bytes] | None:
        """Gives up what waits, when no calls have overlapped each other since the last time.

        Returns:
            Heads and captures; None when what waits goes on to wait here.
        """
        split, self._split = self._split, False
        if split or self._ends or self._announced or self._narrow:
            return None
        if any(entry[3][12] for entry in self._waiting):
            return None
        waiting, self._waiting = self._waiting, []
        return packed(waiting)

    def finish(self) -> None:
        """Prints everything that was held back; calls that did not return stay unfinished."""
        self.print(FOREVER)
        for entry in self._waiting:
            if entry[3][12] == Kind.IN_FLIGHT:
                self._describe(entry[0], entry)
                self._unfinished(entry, entry[1])
        self._waiting.clear()
        self._open.clear()

    def take(self, heads: bytes, captures: bytes) -> None:
        """Adds records, in any order.

        Args:
            heads: record heads, back to back.
            captures: the captures of all of them.
        """
        append = self._waiting.append
        shown, announced, table = self._open, self._announced, self._table
        place, at = self._taken, 0
        for head in HEAD.iter_unpack(heads):
            place += 1
            length = head[14]
            begin = at
            at += length
            start, tid = head[0], head[9]
            entry = (start, tid, place, head, captures[begin:at] if length else b"")
            if head[12]:
                self._take_other(entry)
                continue
            if table is not None:
                table.take(record_of(entry))
            if tid in shown or (announced and (tid, start) in announced):
                self._take_return(entry)
            else:
                append(entry)
        self._taken = place

    def _take_other(self, entry: Entry) -> None:
        """Adds what is no finished call; attaches and unknown kinds print nothing."""
        kind = entry[3][12]
        if kind == Kind.IN_FLIGHT:
            start, tid = entry[:2]
            known = self._open.get(tid)
            if len(self._announced) + len(self._open) >= MAX_OPEN:
                return  # It is printed when it returns.
            if (tid, start) not in self._announced and (known is None or known[0] != start):
                self._announced[tid, start] = entry[2]
                self._waiting.append(entry)
        elif kind in _PRINTED:
            self._waiting.append(entry)
            if kind == Kind.EXEC:
                self._execs.take(record_of(entry))

    def _take_return(self, entry: Entry) -> None:
        """Adds a return whose call may have been announced, or printed, before."""
        start, tid = entry[:2]
        shown = self._open.get(tid)
        if shown is not None and shown[0] == start:
            del self._open[tid]
            self._push(entry)
            return
        place = self._announced.pop((tid, start), None)
        if place is not None:
            self._returned.add(place)
        self._waiting.append(entry)

    def _push(self, entry: Entry) -> None:
        """Adds the end of a call that was printed as unfinished."""
        start, tid, _, head, captures = entry
        self._split = True
        self._taken += 1
        heappush(self._ends, (start + head[1], tid, self._taken, head, captures))
        if len(self._ends) > MAX_OPEN:
            self._resume(heappop(self._ends))

    def print(self, watermark: int) -> None:
        """Prints everything up to a moment.

        Args:
            watermark: CLOCK_MONOTONIC ns; nothing that starts before it follows, but the end of
                calls that were announced as in flight.
        """
        self.printed = watermark
        self._drop_returned()
        waiting, ends, narrow = self._waiting, self._ends, self._narrow
        waiting.sort()
        waiting.append(END)
        calls, prefix, out, table = self._calls, self._prefix, self._out, self._table
        at, abi, rows = 0, -1, calls.rows[Abi.X86_64]
        while True:
            entry = waiting[at]
            start, tid, _, head, captures = entry
            if start > watermark:
                break
            following = waiting[at + 1]
            while ends and ends[0][0] <= start and ends[0][:2] <= (start, tid):
                self._resume(heappop(ends))
            if table is not None:
                self._describe(start, entry)
            if head[13] != abi:
                abi = head[13]
                rows = calls.rows[abi]
            if abi > _NATIVE or narrow:
                self._note_mode(entry)
            duration = head[1]
            end = start + duration
            # What took a second is split whenever it comes, so that the same records give the same
            # lines, live or later.
            if (
                not head[12]
                and end <= watermark
                and duration < SECOND
                and (end < following[0] or (end == following[0] and tid <= following[1]))
                and not (ends and ends[0][0] <= end and ends[0][:2] < (end, tid))
            ):
                before = prefix(start, tid)
                width = COLUMN - len(before)
                try:
                    text = rows[head[11]](head, captures, width)
                except Exception:
                    # What a decoder cannot take is rendered as far as it can be.
                    text = calls.row(head, captures, width)
                took = duration // 1000
                out.append(
                    f"{before}{text}{DURATIONS[took] if took < 4096 else duration_text(duration)}"
                )
            elif following[3][12] == _EXEC and self._defer_exec(
                entry, following, at + 1, watermark
            ):
                continue
            elif not head[12]:
                if end > watermark and not self._interrupted(start, following, watermark):
                    break
                text = calls.entering(head, captures)
                caller = self._execs.caller(tid, start, end)
                out.append(f"{prefix(start, caller)}{text} <unfinished ...>\n")
                self._push(entry)
            elif not self._print_other(entry, following, watermark):
                break
            at += 1
        del waiting[:at], waiting[-1]
        if not (waiting and waiting[0][0] <= watermark):
            while ends and ends[0][0] <= watermark:
                self._resume(heappop(ends))

    def _note_mode(self, entry: Entry) -> None:
        """Says so when a thread makes a call of another calling convention than its last one."""
        start, tid, _, head, _ = entry
        mode = MODES.get(head[13])
        if mode is None or head[12] not in _CALLS or self._narrow.get(tid, NATIVE) == mode:
            return
        if mode == NATIVE:
            del self._narrow[tid]
        elif len(self._narrow) < MAX_OPEN:
            self._narrow[tid] = mode
        self._line(start, tid, notes.mode_note(tid, mode))

    def _defer_exec(self, entry: Entry, following: Entry, at: int, watermark: int) -> bool:
        """Moves PTRACE_EVENT_EXEC behind the execve that caused it, so that it splits no line."""
        start, tid, _, head, _ = entry
        event, end = following[3], start + head[1]
        if (
            head[12]
            or following[1] != tid
            or event[3] != tid
            or following[0] >= end
            or (end > watermark and not self._interrupted(start, following, watermark))
        ):
            return False
        del self._waiting[at]
        self._taken += 1
        insort(self._waiting, (end, tid, self._taken, *following[3:]), lo=at)
        return True

    def _interrupted(self, start: int, following: Entry, watermark: int) -> bool:
        """Returns whether a call that has not ended yet must be printed as unfinished."""
        return (
            watermark - start >= SECOND
            or following[0] <= watermark
            or bool(self._ends and self._ends[0][0] <= watermark)
        )

    def _drop_returned(self) -> None:
        """Removes announcements whose call has returned before they were printed."""
        if self._returned:
            self._waiting[:] = [entry for entry in self._waiting if entry[2] not in self._returned]
            self._returned.clear()

    def _print_other(self, entry: Entry, following: Entry, watermark: int) -> bool:
        """Prints what is no finished call; returns False to wait for what follows."""
        start, tid, _, head, _ = entry
        kind = head[12]
        if kind == Kind.IN_FLIGHT:
            return self._print_open(entry, following, watermark)
        if kind == Kind.EXITED:
            self._end_open(start, tid)
            self._narrow.pop(tid, None)
            self._line(start, tid, ended_line(head[2]))
        elif kind == Kind.EXEC:
            self._executed(record_of(entry))
        elif kind == Kind.DETACHED:
            self._open.pop(tid, None)
        else:
            text, of_process = _NOTES[kind]
            self._line(start, self._pid or tid if of_process else tid, text(record_of(entry)))
        return True

    def _print_open(self, entry: Entry, following: Entry, watermark: int) -> bool:
        """Prints a call that has not returned; returns False to wait for what follows."""
        start, tid, _, head, captures = entry
        due = following is not None and following[0] <= watermark
        if (
            following is not None
            and due
            and following[1] == tid
            and not self._ends_before(following)
        ):
            kind = following[3][12]
            if kind == Kind.EXITED:
                self._announced.pop((tid, start), None)
                self._line(start, tid, self._abandoned(head, captures), " = ?")
                return True
            if kind == Kind.DETACHED:
                self._announced.pop((tid, start), None)
                self._line(start, tid, f"{self._calls.entering(head, captures)} <detached ...>")
                return True
        ended = watermark == FOREVER or not self._interrupted(start, following, watermark)
        if ended and not due:
            return False
        self._announced.pop((tid, start), None)
        self._unfinished(entry, tid)
        self._open[tid] = entry
        return True

    def _ends_before(self, entry: Entry) -> bool:
        return bool(self._ends and self._ends[0][:2] < entry[:2])

    def _abandoned(self, head: Head, captures: bytes) -> str:
        """Returns a call that never returns, up to its closing parenthesis."""
        first = self._calls.entering(head, captures)
        rest = self._rest(head, captures)
        if rest == ")" or first.startswith(_NO_RETURN):
            return first + rest
        return f"{first} <unfinished ...>)"

    def _rest(self, head: Head, captures: bytes) -> str:
        return self._calls.resumed(head, captures)[0].partition(" resumed>")[2]

    def _end_open(self, time: int, tid: int) -> None:
        """Prints the end of the call a thread died in."""
        entry = self._open.pop(tid, None)
        if entry is None:
            return
        self._describe(time, entry)
        name, _, rest = self._calls.resumed(entry[3], entry[4])[0].partition(" resumed>")
        middle = "" if rest == ")" else " <unfinished ...>"
        self._line(time, tid, f"{name} resumed>{middle})", " = ?")

    def _executed(self, record: Record) -> None:
        """Prints what execve did to threads and name; the calling thread becomes the leader."""
        start, tid, former = record.start, record.tid, record.args[0]
        if former and former != tid:
            self._execs.forget(tid)
            self._end_open(start, tid)
            self._line(start, tid, notes.superseded_note(former))
            caller = self._open.pop(former, None)
            if caller is not None:
                self._open[tid] = caller
        found = decode(record.captures).get(0)
        if found is not None:
            name = found[1].decode("utf-8", "surrogateescape")
            if self._command and name and name != self._command:
                self._line(start, tid, notes.renamed_note(self._command, name))
            self._command = name or self._command

    def _unfinished(self, entry: Entry, tid: int) -> None:
        text = self._calls.entering(entry[3], entry[4])
        self._out.append(f"{self._prefix(entry[0], tid)}{text} <unfinished ...>\n")

    def _resume(self, entry: Entry) -> None:
        time, tid, _, head, captures = entry
        self._describe(time, entry)
        text, returned = self._calls.resumed(head, captures)
        line = f"{self._prefix(time, tid)}{text}"
        self._out.append(f"{line:<{COLUMN}} = {returned}{duration_text(head[1])}")

    def _describe(self, time: int, entry: Entry) -> None:
        """Moves what descriptors refer to on to the moment at which a call is printed."""
        table, descriptors = self._table, self._calls.descriptors
        if table is not None and descriptors is not None:
            table.advance(time)
            descriptors.begin(table, record_of(entry))

    def _line(self, time: int, tid: int, text: str, end: str = "") -> None:
        """Appends a line; what stands behind a call starts in column 40 at the earliest."""
        head = f"{self._prefix(time, tid)}{text}"
        self._out.append(f"{head:<{COLUMN}}{end}\n" if end else f"{head}\n")
