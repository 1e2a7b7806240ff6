"""Demultiplexing: the rows of a batch by process, in the order in which they were taken."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

from hg_shared.batch import Batch
from hg_shared.records import HEAD_SIZE

_WORDS = HEAD_SIZE // 4
_PROCESS = 76
_LENGTH_WORD = 84 // 4


class ProcessRecords(NamedTuple):
    """The records of one process in a batch.

    Attributes:
        heads: record heads, back to back.
        captures: the captures of all of them.
    """

    heads: bytes
    captures: bytes

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of records."""
        return len(self.heads) // HEAD_SIZE


def by_process(batch: Batch, skip: int = 0) -> dict[int, ProcessRecords]:
    """Returns the records of each process in a batch.

    Args:
        batch: a decoded batch.
        skip: leave out this many records at its start, which came before.
    """
    heads, captures = batch.heads, batch.captures
    if skip:
        lengths = memoryview(heads).cast("I")[_LENGTH_WORD::_WORDS]
        captures = captures[sum(lengths[:skip]) :]
        heads = heads[skip * HEAD_SIZE :]
    if not heads:
        return {}
    if _same_process(heads):
        ordinal = int.from_bytes(heads[_PROCESS : _PROCESS + 4], "little")
        return {ordinal: ProcessRecords(heads, captures)}
    words = memoryview(heads).cast("I")
    ends = list(accumulate(words[_LENGTH_WORD::_WORDS]))
    split: dict[int, tuple[list[bytes], list[bytes]]] = {}
    before = 0
    for index, ordinal in enumerate(words[_PROCESS // 4 :: _WORDS]):
        own = split.get(ordinal)
        if own is None:
            own = split[ordinal] = ([], [])
        own[0].append(heads[index * HEAD_SIZE : index * HEAD_SIZE + HEAD_SIZE])
        end = ends[index]
        if end != before:
            own[1].append(captures[before:end])
            before = end
    return {
        ordinal: ProcessRecords(b"".join(own[0]), b"".join(own[1]))
        for ordinal, own in split.items()
    }


def _same_process(heads: bytes) -> bool:
    count = len(heads) // HEAD_SIZE
    return all(
        heads[_PROCESS + byte :: HEAD_SIZE].count(heads[_PROCESS + byte]) == count
        for byte in range(4)
    )


class Watermarks:
    """Up to which moment every source has told everything.

    Sources are the tracers of one hunter; each says with every batch that nothing that starts
    before its watermark follows from it.
    """

    def __init__(self) -> None:
        self._sources: dict[int, int] = {}

    def advance(self, source: int, watermark: int) -> int:
        """Takes a source's watermark and returns the one of all sources, ns.

        Args:
            source: the source.
            watermark: CLOCK_MONOTONIC ns; one that goes back is ignored.
        """
        if watermark > self._sources.get(source, -1):
            self._sources[source] = watermark
        return self.now

    @property
    def now(self) -> int:
        """The watermark of all sources, CLOCK_MONOTONIC ns; 0 before the first batch."""
        return min(self._sources.values(), default=0)


class WatermarkBuffer:
    """Bounds what waits for the watermark: one that is kept back is overtaken.

    What started up to the end of one epoch is printed by the end of the next, so that no more than
    the records of two wait. An honest watermark is a fraction of a second behind, and ends an epoch
    with every batch or two.

    Args:
        limit: bytes of records in an epoch.

    Attributes:
        watermark: up to this moment everything is printed whatever hunter says, CLOCK_MONOTONIC ns.
    """

    def __init__(self, limit: int) -> None:
        self.watermark = 0
        self._limit = limit
        self._bytes = 0
        self._latest = 0
        self._epoch = 0

    def add(self, batch: Batch, watermark: int) -> int:
        """Counts a batch and returns the watermark that holds for it, ns.

        Args:
            batch: decoded.
            watermark: of all sources.
        """
        heads = batch.heads
        if heads:
            self._bytes += len(heads) + len(batch.captures)
            self._latest = max(self._latest, max(memoryview(heads).cast("Q")[:: HEAD_SIZE // 8]))
        if watermark >= self._epoch:
            self._bytes, self._epoch = 0, self._latest
        elif self._bytes > self._limit:
            self.watermark = self._epoch = self._latest
            self._bytes = 0
        return max(watermark, self.watermark)
