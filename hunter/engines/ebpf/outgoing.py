"""Records on their way to the writer, in batches, and how many there were of each process. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Iterable, List, Tuple, Union

from hg_shared.batch import SLOT_PREFIX, Batch, SlotBatch
from hg_shared.records import HEAD, HEAD_SIZE, Kind, LossCause
from hunter.engines.base import Counters

BATCH_BYTES = 256 << 10
"""Bytes of a batch, roughly at most."""


class Outgoing:
    """Makes batches of the slots of the rings, and of rows: records that hunter looked at.

    Args:
        abi: for records that hunter makes itself.
        source: number of their source.
    """

    def __init__(self, abi: int, source: int = 0) -> None:
        self._abi = abi
        self._source = source
        self._rows: List[bytes] = []
        self._first = 0
        self._sent: Dict[int, int] = {}
        self._lost: Dict[int, int] = {}
        self._noted: Dict[int, int] = {}
        self.watermark = 0
        """Of the last batch that had one, CLOCK_MONOTONIC ns."""

    def head(
        self, kind: int, tid: int, ordinal: int, now: int, args: Tuple[int, ...] = (0, 0)
    ) -> bytes:
        """Returns a record that hunter makes itself.

        Args:
            kind: its kind.
            tid: its thread.
            ordinal: its process.
            now: CLOCK_MONOTONIC ns.
            args: its first two arguments.
        """
        return HEAD.pack(
            now, 0, 0, args[0], args[1], 0, 0, 0, 0, tid, ordinal, 0, kind, self._abi, 0
        )

    def add(self, row: bytes) -> None:
        """Adds a record that hunter made itself, or looked at."""
        ordinal = int.from_bytes(row[76:80], "little")
        self._sent[ordinal] = self._sent.get(ordinal, 0) + 1
        self._rows.append(row)

    def note_window(self, pid: int, ordinal: int, on: bool, loss: float, now: int) -> None:
        """Notes that the recording of a process's calls pauses or goes on; no record counts it.

        Args:
            pid: the process's id.
            ordinal: the process.
            on: whether calls are recorded from now on.
            loss: share of its time that the target was estimated to lose.
            now: CLOCK_MONOTONIC ns.
        """
        self._rows.append(self.head(Kind.WINDOW, pid, ordinal, now, (int(on), round(loss * 1000))))

    def take_rows(self) -> List[Union[Batch, SlotBatch]]:
        """Returns the rows so far in batches."""
        rows, self._rows = self._rows, []
        batches: List[Union[Batch, SlotBatch]] = []
        at = 0
        while at < len(rows):
            size = 0
            start = at
            while at < len(rows) and size < BATCH_BYTES:
                size += len(rows[at])
                at += 1
            part = rows[start:at]
            heads = b"".join([row[:HEAD_SIZE] for row in part])
            data = b"".join([row[HEAD_SIZE:] for row in part])
            batches.append(Batch(self._source, self._first, 0, heads, data))
            self._first += len(part)
        return batches

    def batch(self, slots: bytes, stride: int) -> SlotBatch:
        """Returns finished slots of a ring as a batch.

        Args:
            slots: as they stand in the ring.
            stride: bytes of each.
        """
        made = SlotBatch(self._source, self._first, 0, stride, slots)
        self._first += len(slots) // stride
        return made

    def empty(self) -> Batch:
        """Returns a batch without records."""
        return Batch(self._source, self._first, 0, b"", b"")

    def count(self, slots: bytes, stride: int, alone: int) -> Iterable[int]:
        """Counts the records in slots.

        Args:
            slots: as they stand in the ring.
            stride: bytes of each.
            alone: ordinal of the only process that is traced, 0 when there may be others.

        Returns:
            The ordinals of their processes; nothing when they can only be that one's.
        """
        if alone in self._sent and len(self._sent) == 1:
            self._sent[alone] += len(slots) // stride
            return ()
        words = memoryview(slots).cast("I")[(SLOT_PREFIX + 76) // 4 :: stride // 4]
        counted = Counter(words)
        for ordinal, number in counted.items():
            self._sent[ordinal] = self._sent.get(ordinal, 0) + number
        return counted

    def set_lost(self, ordinal: int, lost: int) -> None:
        """Takes note of how many records of a process found no room so far."""
        self._lost[ordinal] = lost

    def lost(self, ordinal: int) -> int:
        """Returns how many records of a process found no room so far."""
        return self._lost.get(ordinal, 0)

    def note_losses(self, now: int) -> None:
        """Notes losses that have not been noted yet.

        Args:
            now: CLOCK_MONOTONIC ns.
        """
        for ordinal, lost in self._lost.items():
            more = lost - self._noted.get(ordinal, 0)
            if more > 0:
                self._noted[ordinal] = lost
                args = (more, int(LossCause.QUEUE_FULL))
                self._rows.append(self.head(Kind.LOST, 0, ordinal, now, args))

    def records(self) -> int:
        """Returns how many records there were, lost ones included."""
        return sum(self._sent.values()) + sum(self._lost.values())

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        sent, lost = dict(self._sent), dict(self._lost)
        return {
            ordinal: Counters(sent.get(ordinal, 0) + lost.get(ordinal, 0), lost.get(ordinal, 0))
            for ordinal in {*sent, *lost}
        }
