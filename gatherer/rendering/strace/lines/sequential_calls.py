"""Calls of which each ends before the next begins, straight from their heads to lines.

Records wait as the bytes they came in. What is final at a watermark is printed without a sort and
without a value for each record, as long as no call overlaps another and nothing but calls happened.
Where that is not so, `lines.timeline` takes what waits and puts it in order; the lines are the same
either way.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from struct import Struct

from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.chunk import ABI, Chunk
from gatherer.rendering.strace.lines.stamps import (
    DURATIONS,
    FAR,
    MICROSECONDS,
    SECOND,
    THOUSANDS,
    Prefixes,
    duration_text,
)
from hg_shared.records import HEAD, HEAD_SIZE

_SPAN = Struct("<QQ")
_LENGTH = 84
"""Where a head has the length of its captures."""


class SequentialCalls:
    """The records of one process that wait to be printed, while they are simple.

    Args:
        calls: renders calls; may be shared.
        prefixes: what stands in front of lines.
    """

    def __init__(self, calls: CallRenderer, prefixes: Prefixes) -> None:
        self._calls = calls
        self._prefixes = prefixes
        self._chunks: deque[Chunk] = deque()
        self._serial = 0
        self._last_taken = 0
        self._unsorted = False
        self._floor = 0
        self._watermark = -1

    @property
    def waits(self) -> bool:
        """Whether something waits."""
        return bool(self._chunks)

    def add(self, heads: bytes, captures: bytes) -> None:
        """Adds records.

        Args:
            heads: record heads, back to back.
            captures: the captures of all of them.
        """
        if heads:
            self._serial += 1
            self._add(Chunk(self._serial, heads, captures))

    def put_back(self, heads: bytes, captures: bytes) -> None:
        """Adds what was taken last and could not be printed yet; see `add`."""
        if heads:
            self._add(Chunk(self._last_taken, heads, captures))

    def _add(self, chunk: Chunk) -> None:
        # The rings of several CPUs are not read in step.
        self._unsorted = self._unsorted or bool(self._chunks and self._chunks[-1].low > chunk.low)
        self._chunks.append(chunk)

    def due(self, watermark: int) -> bool:
        """Returns whether something that waits starts no later than this, CLOCK_MONOTONIC ns."""
        return any(chunk.low <= watermark for chunk in self._chunks)

    def take(self, watermark: int) -> list[tuple[bytes, bytes]]:
        """Removes the batches up to the last that holds something final, in order of arrival.

        All that came before has to be known: some records change what is printed of calls that
        start earlier.

        Args:
            watermark: CLOCK_MONOTONIC ns.

        Returns:
            Heads and captures of each.
        """
        last = max((chunk.serial for chunk in self._chunks if chunk.low <= watermark), default=-1)
        taken = [chunk for chunk in self._chunks if chunk.serial <= last]
        if taken:
            self._chunks = deque(chunk for chunk in self._chunks if chunk.serial > last)
            self._last_taken = last
            self._watermark = -1
            taken.sort(key=attrgetter("serial"))
        return [chunk.rest() for chunk in taken]

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
            return not self.due(self._watermark)
        self._watermark = watermark
        if self._unsorted:
            self._unsorted = False
            chunks = self._chunks = deque(sorted(chunks, key=attrgetter("low", "serial")))
        while chunks:
            chunk = chunks[0]
            bound = chunks[1].low if len(chunks) > 1 else FAR
            if not chunk.simple:
                return min(chunk.low, bound) > watermark
            first = chunk.index
            self._print(chunk, min(watermark, bound - 1), out)
            if not chunk.done:
                if self._waits(chunk, watermark, bound):
                    return True
                self._take_back(chunk, first, out)
                return False
            chunks.popleft()
        return True

    def _waits(self, chunk: Chunk, watermark: int, bound: int) -> bool:
        """Returns whether the record that is next has only to wait for the watermark."""
        start, duration = _SPAN.unpack_from(chunk.heads, chunk.index * HEAD_SIZE)
        low = min(chunk.low_from(chunk.index + 1), bound)
        chunk.low = min(start, low)
        return (
            low > watermark
            and start > self._floor
            and start + duration > watermark
            and watermark - start < SECOND
        )

    @staticmethod
    def _take_back(chunk: Chunk, first: int, out: list[str]) -> None:
        """Unprints the lines of a chunk that an older record may interrupt."""
        while chunk.index > first:
            place = (chunk.index - 1) * HEAD_SIZE
            start, duration = _SPAN.unpack_from(chunk.heads, place)
            if start + duration < chunk.low:
                break
            chunk.index -= 1
            chunk.at -= int.from_bytes(chunk.heads[place + _LENGTH : place + HEAD_SIZE], "little")
            out.pop()

    def _print(self, chunk: Chunk, last: int, out: list[str]) -> None:
        """Prints the calls of a chunk that end by `last`, until one overlaps the one before it."""
        captures, at = chunk.captures, chunk.at
        rows, prefixes = self._calls.rows[chunk.heads[ABI]], self._prefixes
        append, before = out.append, len(out)
        # All times are relative to the second they are in: small numbers are cheaper.
        base, floor, until = -FAR, self._floor + FAR, 0
        prefix, pad, former = "", 0, -1
        for head in HEAD.iter_unpack(memoryview(chunk.heads)[chunk.index * HEAD_SIZE :]):
            rel = head[0] - base
            tid = head[9]
            if not 0 <= rel < SECOND:
                floor += base
                base = prefixes.move(head[0])
                rel, floor, until = head[0] - base, floor - base, last - base
                if rel >= SECOND or (rel == floor and tid < former):
                    break
                former = -1
            if rel < floor or (rel == floor and tid < former):
                break
            duration = head[1]
            end = rel + duration
            if end > until:
                break
            took = duration // 1000
            if took < 4096:
                tail = DURATIONS[took]
            elif duration < SECOND:
                tail = duration_text(duration)
            else:
                break  # it prints on two lines
            floor = end
            if tid != former:
                former = tid
                prefix, pad = prefixes[tid]
            length = head[14]
            if length:
                begin = at
                at += length
                held = captures[begin:at]
            else:
                held = b""
            try:
                text = rows[head[11]](head, held, pad)
            except Exception:
                # What a decoder cannot take is rendered as far as it can be.
                text = self._calls.row(head, held, pad)
            micros = rel // 1000
            append(f"{prefix}{THOUSANDS[micros // 1000]}{MICROSECONDS[micros % 1000]}{text}{tail}")
        count = len(out) - before
        if count:
            self._floor = floor + base
        chunk.index += count
        chunk.at = at
