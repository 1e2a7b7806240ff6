"""The bounded queue between a tracer and the writer: drops and counts, never blocks.

The tracer appends to two bytearrays, captures first; the writer takes heads first, and so never
sees a head without its captures. Every step is one bytearray operation, atomic under the GIL, so
there is no lock that could stop a tracer. Pure.
"""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, Protocol

from hg_shared.batch import Batch
from hg_shared.records import HEAD, HEAD_SIZE, NOTES, Kind, LossCause

_PROCESS_COLUMN = 19  # offset 76 of the head, in 32-bit words
_LENGTH_COLUMN = 21  # offset 84
_KIND_OFFSET = 82
_WORDS = HEAD_SIZE // 4
MAX_BATCH_RECORDS = 512
MAX_BATCH_BYTES = 1 << 20


class Queue(Protocol):
    """A queue, as an engine needs it; see `RecordQueue` for each method."""

    def put(self, head: bytes, captures: bytes, process: int, now_ns: int) -> None:
        """Appends one record, or drops and counts it."""
        ...

    def flush_losses(self, now_ns: int) -> None:
        """Notes losses that no later record has noted."""
        ...

    def dequeue(self, watermark: int, in_flight: tuple[bytes, bytes] = (b"", b"")) -> List[Batch]:
        """Removes everything there is and returns it in batches."""
        ...

    def empty(self, watermark: int) -> Batch:
        """Returns a batch without records."""
        ...

    def sent(self) -> Dict[int, int]:
        """Returns how many records were taken by the writer, by process."""
        ...

    def lost(self) -> Dict[int, int]:
        """Returns how many records were dropped, by process."""
        ...

    def waiting(self) -> int:
        """Returns how many records wait to be taken."""
        ...

    def size(self) -> int:
        """Returns how many bytes wait to be taken."""
        ...


class BatchSplitter:
    """The writer's side of a queue: cuts what was taken into batches and counts it.

    Args:
        source: which tracer of this hunter.
    """

    def __init__(self, source: int) -> None:
        self._source = source
        self._first = 0
        self._sent: Dict[int, int] = {}

    def batches(self, heads: bytes, captures: bytes, watermark: int) -> List[Batch]:
        """Returns records as batches.

        Args:
            heads: their heads.
            captures: their captures.
            watermark: for all of them, CLOCK_MONOTONIC ns.
        """
        if not heads:
            return []
        self._count(heads)
        batches = []
        for chunk, payload in _split(heads, captures):
            batches.append(Batch(self._source, self._first, 0, chunk, payload))
            self._first += len(chunk) // HEAD_SIZE
        # Only the last batch may promise that nothing older follows.
        batches[-1] = batches[-1]._replace(watermark=watermark)
        return batches

    def empty(self, watermark: int) -> Batch:
        """Returns a batch without records that only moves the watermark."""
        return Batch(self._source, self._first, watermark, b"", b"")

    def sent(self) -> Dict[int, int]:
        """Returns how many records went out, by process; notes do not count."""
        return dict(self._sent)

    def _count(self, heads: bytes) -> None:
        processes = memoryview(heads).cast("I")[_PROCESS_COLUMN::_WORDS]
        for process, count in Counter(processes).items():
            self._sent[process] = self._sent.get(process, 0) + count
        kinds = heads[_KIND_OFFSET::HEAD_SIZE]
        if any(kind in kinds for kind in NOTES):
            for fields in HEAD.iter_unpack(heads):
                if fields[12] in NOTES:
                    self._sent[fields[10]] -= 1


def captured_bytes(heads: bytes) -> int:
    """Returns the length of the captures of all heads together."""
    return sum(memoryview(heads).cast("I")[_LENGTH_COLUMN::_WORDS]) if heads else 0


class RecordQueue:
    """Records on their way from one tracer to the writer.

    Attributes:
        heads: heads not taken yet; appended to by the tracer only.
        captures: their captures; appended to by the tracer only, before the head.
        limit: bytes both may hold together; -1 while records are being dropped.
    """

    def __init__(self, source: int, limit: int) -> None:
        self.heads = bytearray()
        self.captures = bytearray()
        self.limit = limit
        self._room = limit
        self._batches = BatchSplitter(source)
        self._lost: Dict[int, int] = {}
        self._dropping: Dict[int, int] = {}

    def put(self, head: bytes, captures: bytes, process: int, now_ns: int) -> None:
        """Appends one record, or drops and counts it. Called by the tracer.

        Args:
            head: its head.
            captures: its captures.
            process: ordinal of its process.
            now_ns: CLOCK_MONOTONIC, for the note of a loss.
        """
        if self._dropping:
            # Half of the room must be free again, or losses would be noted one by one.
            if len(self.heads) + len(self.captures) > self._room // 2:
                self._drop(process)
                return
            self._record_losses(now_ns)
        elif len(self.heads) + len(self.captures) > self._room:
            self.limit = -1
            self._drop(process)
            return
        self.captures += captures
        self.heads += head

    def _drop(self, process: int) -> None:
        self._dropping[process] = self._dropping.get(process, 0) + 1
        self._lost[process] = self._lost.get(process, 0) + 1

    def _record_losses(self, now_ns: int) -> None:
        for process, count in self._dropping.items():
            self.heads += HEAD.pack(
                now_ns, 0, 0, count, LossCause.QUEUE_FULL, 0, 0, 0, 0, 0, process, 0, Kind.LOST,
                0, 0,
            )  # fmt: skip
        self._dropping = {}
        self.limit = self._room

    def flush_losses(self, now_ns: int) -> None:
        """Notes losses that no later record has noted. Called when the tracer has ended."""
        if self._dropping:
            self._record_losses(now_ns)

    def dequeue(self, watermark: int, in_flight: tuple[bytes, bytes] = (b"", b"")) -> List[Batch]:
        """Removes everything there is and returns it in batches. Called by the writer.

        Args:
            watermark: for all batches, CLOCK_MONOTONIC ns.
            in_flight: heads and captures of IN_FLIGHT records that go in front.
        """
        count = len(self.heads) // HEAD_SIZE
        heads = bytes(self.heads[: count * HEAD_SIZE])
        size = captured_bytes(heads)
        captures = bytes(self.captures[:size])
        del self.heads[: len(heads)]
        del self.captures[:size]
        return self._batches.batches(in_flight[0] + heads, in_flight[1] + captures, watermark)

    def empty(self, watermark: int) -> Batch:
        """Returns a batch without records that only moves the watermark."""
        return self._batches.empty(watermark)

    def sent(self) -> Dict[int, int]:
        """Returns how many records were taken by the writer, by process; notes do not count."""
        return self._batches.sent()

    def lost(self) -> Dict[int, int]:
        """Returns how many records were dropped, by process."""
        return dict(self._lost)

    def waiting(self) -> int:
        """Returns how many records wait to be taken."""
        return len(self.heads) // HEAD_SIZE

    def size(self) -> int:
        """Returns how many bytes wait to be taken."""
        return len(self.heads) + len(self.captures)


def _split(heads: bytes, captures: bytes) -> List[tuple[bytes, bytes]]:
    """Cuts records into batches of bounded count and bytes."""
    count = len(heads) // HEAD_SIZE
    if count <= MAX_BATCH_RECORDS and len(captures) <= MAX_BATCH_BYTES:
        return [(heads, captures)]
    lengths = memoryview(heads).cast("I")[_LENGTH_COLUMN::_WORDS]
    chunks = []
    start = at = size = 0
    for index in range(count):
        length = lengths[index]
        if index - start == MAX_BATCH_RECORDS or (size and size + length > MAX_BATCH_BYTES):
            chunks.append((heads[start * HEAD_SIZE : index * HEAD_SIZE], captures[at : at + size]))
            start, at, size = index, at + size, 0
        size += length
    chunks.append((heads[start * HEAD_SIZE :], captures[at : at + size]))
    return chunks
