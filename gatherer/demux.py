"""Demultiplexing: the records of a batch by process, in the order in which they were taken."""

from __future__ import annotations

from itertools import islice

from hg_shared.batch import Batch
from hg_shared.records import HEAD_SIZE, Record

_WORDS = HEAD_SIZE // 4
_PROCESS_WORD = 76 // 4


def by_process(batch: Batch, skip: int = 0) -> dict[int, list[Record]]:
    """Returns the records of each process in a batch.

    Args:
        batch: a decoded batch.
        skip: leave out this many records at its start, which came before.
    """
    if not batch.heads:
        return {}
    ordinals = set(memoryview(batch.heads).cast("I")[_PROCESS_WORD::_WORDS])
    records = islice(batch.records(), skip, None)
    if len(ordinals) == 1:
        taken = list(records)
        return {ordinals.pop(): taken} if taken else {}
    split: dict[int, list[Record]] = {}
    for record in records:
        split.setdefault(record.process, []).append(record)
    return split


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
