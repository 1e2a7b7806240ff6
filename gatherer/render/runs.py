"""Runs: calls of which each ends before the next begins, straight from their heads to lines.

Records wait as the bytes they came in. What is final at a watermark is printed without a sort and
without a value for each record, as long as no call overlaps another and nothing but calls happened.
As soon as that is not so, `gatherer.render.lines` takes everything that waits and puts it in order;
the lines are the same either way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from struct import Struct

from gatherer.render.call import CallRenderer
from gatherer.render.rows import ROW
from gatherer.render.stamps import SECOND, Stamp
from hg_shared.records import HEAD_SIZE, Record, iter_records

_NUMBERS = [f"{number:03d}" for number in range(1000)]
_MICROS = [f"{number:03d} " for number in range(1000)]
_DURATIONS = [f" <0.{number:06d}>\n" for number in range(4096)]
_WORDS = HEAD_SIZE // 8
_KIND, _ABI = 82, 83
_SPAN = Struct("<QQ")
_FAR = 1 << 65


class _Chunk:
    """Heads and captures of one batch, from the first that is not printed yet."""

    __slots__ = ("at", "captures", "heads", "index", "low", "simple")

    def __init__(self, heads: bytes, captures: bytes) -> None:
        self.heads = heads
        self.captures = captures
        self.index = 0
        self.at = 0
        count = len(heads) // HEAD_SIZE
        self.low = min(memoryview(heads).cast("Q")[::_WORDS])
        self.simple = (
            heads[_KIND::HEAD_SIZE].count(0) == count
            and heads[_ABI::HEAD_SIZE].count(heads[_ABI]) == count
        )

    def low_from(self, index: int) -> int:
        """Returns the earliest start from a record on."""
        starts = memoryview(self.heads).cast("Q")[index * _WORDS :: _WORDS]
        return min(starts) if len(starts) else _FAR

    def records(self) -> Iterator[Record]:
        return iter_records(self.heads[self.index * HEAD_SIZE :], self.captures[self.at :])


class Runs:
    """The records of one process that wait to be printed, while they are simple.

    Args:
        calls: renders calls; may be shared.
        stamp: the time in front of a line; its last seven characters are `ffffff `.
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC of the node.
        width: column before which no ` = ` stands.
    """

    def __init__(
        self, calls: CallRenderer, stamp: Stamp, realtime_offset_ns: int, width: int
    ) -> None:
        self._calls = calls
        self._stamp = stamp
        self._offset = realtime_offset_ns
        self._width = width
        self._chunks: deque[_Chunk] = deque()
        self._floor = 0
        self._watermark = -1

    def add(self, heads: bytes, captures: bytes) -> None:
        """Takes records.

        Args:
            heads: record heads, back to back.
            captures: the captures of all of them.
        """
        if heads:
            self._chunks.append(_Chunk(heads, captures))

    def take(self) -> list[Record]:
        """Returns the records that wait, which are then the caller's."""
        records = [record for chunk in self._chunks for record in chunk.records()]
        self._chunks.clear()
        self._watermark = -1
        return records

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
        chunks = self._chunks
        if watermark <= self._watermark and self._watermark >= 0:
            # Nothing can be final that was not, but what came may be older than it should be.
            return not chunks or chunks[-1].low > self._watermark
        self._watermark = watermark
        bounds = [_FAR]
        for chunk in reversed(chunks):
            bounds.append(min(bounds[-1], chunk.low))
        bounds.pop()
        while chunks:
            chunk = chunks[0]
            bound = bounds.pop()
            if not chunk.simple:
                return min(chunk.low, bound) > watermark
            first = chunk.index
            if not self._print(chunk, min(watermark, bound - 1), out):
                return self._waits(chunk, watermark, bound) or self._take_back(chunk, first, out)
            chunks.popleft()
        return True

    def _waits(self, chunk: _Chunk, watermark: int, bound: int) -> bool:
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

    def _take_back(self, chunk: _Chunk, first: int, out: list[str]) -> bool:
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

    def _print(self, chunk: _Chunk, last: int, out: list[str]) -> bool:
        """Prints the calls of a chunk that end by `last`, until one overlaps the one before it.

        Returns:
            Whether that was all of them.
        """
        heads, captures, at = chunk.heads, chunk.captures, chunk.at
        rows, stamp = self._calls.rows(heads[_ABI]), self._stamp
        general = rows.general
        offset, width = self._offset, self._width
        append, before = out.append, len(out)
        # All times are relative to the second they are in: small numbers are cheaper.
        base, floor, until = -_FAR, self._floor + _FAR, 0
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
            append(
                f"{prefix}{_NUMBERS[micros // 1000]}{_MICROS[micros % 1000]}{text}"
                f"{_DURATIONS[took] if took < 4096 else _duration(took)}"
            )
        count = len(out) - before
        if count:
            self._floor = floor + base
        chunk.index += count
        chunk.at = at
        return chunk.index * HEAD_SIZE == len(heads)


def _duration(micros: int) -> str:
    return f" <{micros // 1000000}.{micros % 1000000:06d}>\n"
