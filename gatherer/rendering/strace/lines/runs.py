"""Runs: calls of which each ends before the next begins, straight from their heads to lines.

Records wait as the bytes they came in. What is final at a watermark is printed without a sort and
without a value for each record, as long as no call overlaps another and nothing but calls happened.
As soon as that is not so, `lines.timeline` takes what is final and puts it in order; the
lines are the same either way, and what is not final yet goes on to wait here.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from operator import attrgetter, itemgetter
from struct import Struct

from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.calls.rows import ROW
from gatherer.rendering.strace.lines.chunk import ABI, FAR, KIND, Chunk
from gatherer.rendering.strace.lines.row_printer import DURATIONS, MICROS, NUMBERS
from gatherer.rendering.strace.lines.stamps import SECOND, Stamp
from hg_shared.records import HEAD_SIZE, Kind, Record, iter_records

_SPAN = Struct("<QQ")
_WINDOW = 256
"""Calls that are looked at for a place where none overlaps another."""
SET_ASIDE = bytes((0, Kind.SIGNAL, Kind.STOPPED, Kind.LOST, Kind.WINDOW))
"""Kinds of records that may stand between calls, or are calls."""
_order = itemgetter(0, 4)
_Note = tuple[int, int, int, Record]


class Runs:
    """The records of one process that wait to be printed, while they are simple.

    Args:
        calls: renders calls; may be shared.
        stamp: the time in front of a line; its last seven characters are `ffffff `.
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC of the node.
        width: column before which no ` = ` stands.
        ordered: prints a few records that overlap each other and nothing else, all of them final
            at the moment it is given with them.
    """

    def __init__(
        self,
        calls: CallRenderer,
        stamp: Stamp,
        realtime_offset_ns: int,
        width: int,
        ordered: Callable[[list[Record], int], None],
    ) -> None:
        self._ordered = ordered
        self._notes: list[_Note] = []
        self._serial = 0
        self._taken = 0
        self._unsorted = False
        self._calls = calls
        self._stamp = stamp
        self._offset = realtime_offset_ns
        self._width = width
        self._chunks: deque[Chunk] = deque()
        self._floor = 0
        self._watermark = -1

    def add(self, heads: bytes, captures: bytes) -> None:
        """Takes records.

        Args:
            heads: record heads, back to back.
            captures: the captures of all of them.
        """
        if not heads:
            return
        self._serial += 1
        self._add(self._serial, heads, captures)

    def put_back(self, heads: bytes, captures: bytes) -> None:
        """Takes back what was taken last and could not be printed yet; see `add`."""
        if heads:
            self._add(self._taken, heads, captures)

    def _add(self, serial: int, heads: bytes, captures: bytes) -> None:
        kinds = heads[KIND::HEAD_SIZE]
        if kinds.count(0) != len(kinds) and not kinds.translate(None, SET_ASIDE):
            heads, captures = self._set_aside(serial, heads, captures)
            if not heads:
                return
        chunk = Chunk(serial, heads, captures)
        # The rings of several CPUs are not read in step.
        self._unsorted = self._unsorted or bool(self._chunks and self._chunks[-1].low > chunk.low)
        self._chunks.append(chunk)

    def _set_aside(self, serial: int, heads: bytes, captures: bytes) -> tuple[bytes, bytes]:
        """Keeps what is no call apart, by its time, and returns the calls."""
        records = list(iter_records(heads, captures))
        if len({_order(record) for record in records}) < len(records):
            # Which came first decides what is printed first.
            return heads, captures
        rows, held = [], []
        for index, record in enumerate(records):
            if record.kind:
                insort(self._notes, (record.start, record.tid, serial, record))
            else:
                rows.append(heads[index * HEAD_SIZE : index * HEAD_SIZE + HEAD_SIZE])
                held.append(record.captures)
        return b"".join(rows), b"".join(held)

    @property
    def waits(self) -> bool:
        """Whether something waits."""
        return bool(self._chunks or self._notes)

    def due(self, watermark: int) -> bool:
        """Returns whether something that waits starts no later than this, CLOCK_MONOTONIC ns."""
        notes = self._notes
        return bool(notes and notes[0][0] <= watermark) or any(
            chunk.low <= watermark for chunk in self._chunks
        )

    def take(self, watermark: int) -> list[Record]:
        """Returns what is final, in the order in which it came.

        With records that are no calls comes all that came before: some change what is printed of
        calls that start earlier.

        Args:
            watermark: CLOCK_MONOTONIC ns.
        """
        due = [chunk.serial for chunk in self._chunks if chunk.low <= watermark]
        due += [serial for start, _, serial, _ in self._notes if start <= watermark]
        if not due:
            return []
        last = self._taken = max(due)
        chunks = [chunk for chunk in self._chunks if chunk.serial <= last]
        final = watermark if all(chunk.calls for chunk in chunks) else FAR
        waiting = [(c.serial, c.take(final)) for c in chunks if c.low <= final]
        waiting += [(n[2], [n[3]]) for n in self._notes if n[0] <= final and n[2] <= last]
        waiting.sort(key=itemgetter(0))
        self._chunks = deque(chunk for chunk in self._chunks if chunk.heads)
        self._notes = [note for note in self._notes if note[0] > final or note[2] > last]
        self._watermark = -1
        return [record for _, some in waiting for record in some]

    def start(self, floor: int) -> None:
        """Says that what starts before this moment needs the caller, CLOCK_MONOTONIC ns."""
        self._floor = floor

    def print(self, watermark: int, out: list[str]) -> bool:
        """Prints what is final.

        Args:
            watermark: CLOCK_MONOTONIC ns.
            out: lines are appended to it.

        Returns:
            False when what waits cannot be printed here; then call `take`.
        """
        chunks, notes = self._chunks, self._notes
        if watermark <= self._watermark and self._watermark >= 0:
            # Nothing can be final that was not, but what came may be older than it should be.
            return not self.due(self._watermark)
        self._watermark = watermark
        if self._unsorted:
            self._unsorted = False
            chunks = self._chunks = deque(sorted(chunks, key=attrgetter("low", "serial")))
        bounds = [FAR]
        for chunk in reversed(chunks):
            bounds.append(min(bounds[-1], chunk.low))
        bounds.pop()
        while chunks:
            chunk, bound = chunks[0], bounds[-1]
            note = notes[0][0] if notes else FAR
            if not chunk.simple:
                return min(chunk.low, bound, note) > watermark
            first = chunk.index
            if not self._print(chunk, min(watermark, bound - 1, note - 1), out):
                if self._waits(chunk, watermark, bound) and note > watermark:
                    return True
                self._take_back(chunk, first, out)
                if not self._print_window(chunk, watermark, bound):
                    return False
            if chunk.index * HEAD_SIZE == len(chunk.heads):
                chunks.popleft()
                bounds.pop()
        due = [record for start, _, _, record in notes if start <= watermark]
        if due:
            del notes[: len(due)]
            self._ordered(due, watermark)
        return True

    def _print_window(self, chunk: Chunk, watermark: int, bound: int) -> bool:
        """Has the calls and notes that overlap each other ordered, up to where none does.

        Returns:
            False when that is not near enough, or not final yet; then nothing has happened.
        """
        notes = self._notes
        noted = 0
        end = notes[0][0] if notes and notes[0][0] <= watermark else -1
        at, index = chunk.at, chunk.index
        last = min(len(chunk.heads) // HEAD_SIZE, index + _WINDOW)
        while True:
            while noted < len(notes) and notes[noted][0] <= end:
                noted += 1
            start, duration = FAR, 0
            if index < last:
                start, duration = _SPAN.unpack_from(chunk.heads, index * HEAD_SIZE)
            if start > end >= 0 or index == last:
                rest = min(chunk.low_from(index), bound)
                if rest > end and end <= watermark:
                    break
                if index == last:
                    return False
            end = max(end, start + duration)
            if end > watermark:
                return False
            at += int.from_bytes(
                chunk.heads[index * HEAD_SIZE + 84 : index * HEAD_SIZE + 88], "little"
            )
            index += 1
        rows = chunk.heads[chunk.index * HEAD_SIZE : index * HEAD_SIZE]
        window = list(iter_records(rows, chunk.captures[chunk.at : at]))
        earlier = [record for _, _, serial, record in notes[:noted] if serial < chunk.serial]
        later = [record for _, _, serial, record in notes[:noted] if serial >= chunk.serial]
        del notes[:noted]
        chunk.index, chunk.at = index, at
        self._floor = max(self._floor, end)
        self._ordered([*earlier, *window, *later], end)
        return True

    def _waits(self, chunk: Chunk, watermark: int, bound: int) -> bool:
        """Returns whether the record that stopped a run has only to wait for the watermark."""
        start, duration = _SPAN.unpack_from(chunk.heads, chunk.index * HEAD_SIZE)
        low = min(chunk.low_from(chunk.index + 1), bound)
        chunk.low = min(start, low)
        return (
            low > watermark
            and start > self._floor
            and start + duration > watermark
            and watermark - start < SECOND
        )

    def _take_back(self, chunk: Chunk, first: int, out: list[str]) -> bool:
        """Unprints the lines of a chunk that an older record may interrupt; returns False."""
        while chunk.index > first:
            place = (chunk.index - 1) * HEAD_SIZE
            start, duration = _SPAN.unpack_from(chunk.heads, place)
            if start + duration < chunk.low:
                break
            chunk.index -= 1
            chunk.at -= int.from_bytes(chunk.heads[place + 84 : place + 88], "little")
            out.pop()
        return False

    def _print(self, chunk: Chunk, last: int, out: list[str]) -> bool:
        """Prints the calls of a chunk that end by `last`, until one overlaps the one before it.

        Returns:
            Whether that was all of them.
        """
        heads, captures, at = chunk.heads, chunk.captures, chunk.at
        rows, stamp = self._calls.rows(heads[ABI]), self._stamp
        general = rows.general
        offset, width = self._offset, self._width
        append, before = out.append, len(out)
        # All times are relative to the second they are in: small numbers are cheaper.
        base, floor, until = -FAR, self._floor + FAR, 0
        prefixes: dict[int, tuple[str, int]] = {}
        prefix, pad, former = "", 0, -1
        for head in ROW.iter_unpack(memoryview(heads)[chunk.index * HEAD_SIZE :]):
            rel = head[0] - base
            tid = head[9]
            if not 0 <= rel < SECOND:
                second = (head[0] + offset) // SECOND
                if second < 0:
                    break
                floor += base
                base = second * SECOND - offset
                rel, floor, until = head[0] - base, floor - base, last - base
                if rel == floor and tid < former:
                    break
                prefixes.clear()
                former = -1
            if rel < floor or (rel == floor and tid < former):
                break
            duration = head[1]
            end = rel + duration
            if end > until:
                break
            floor = end
            if tid != former:
                former = tid
                found = prefixes.get(tid)
                if found is None:
                    text = f"{tid:<5} {stamp(base)[:-7]}"
                    found = prefixes[tid] = (text, width - len(text) - 7)
                prefix, pad = found
            length = head[13]
            if length:
                begin = at
                at += length
                held = captures[begin:at]
            else:
                held = b""
            try:
                text = rows[head[10]](head, held, pad)
            except Exception:
                # What a decoder cannot take is rendered as far as it can be.
                text = general(head, held, pad)
            micros = rel // 1000
            took = duration // 1000
            if took < 4096:
                tail = DURATIONS[took]
            elif duration < SECOND:
                tail = f" <0.{took:06d}>\n"
            else:
                at -= length  # it prints on two lines
                break
            append(f"{prefix}{NUMBERS[micros // 1000]}{MICROS[micros % 1000]}{text}{tail}")
        count = len(out) - before
        if count:
            self._floor = floor + base
        chunk.index += count
        chunk.at = at
        return chunk.index * HEAD_SIZE == len(heads)
