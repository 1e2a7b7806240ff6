"""Record batches: the payload of a RECORDS frame.

    offset size field
    0      1    encoding: 0 = heads as rows, 1 = heads as columns, 2 = slots, 3 = slots as columns
    1      1    source: which tracer of this hunter
    2      2    zero
    4      4    count of records
    8      8    index of the first record in its source's sequence, from 0
    16     8    watermark: no record that starts before it follows from this source, ns
    24     ...  count heads of 88 bytes, then the captures

With encoding 1 the heads are stored byte column by byte column (all first bytes, all second
bytes, …): high bytes of times, pointers and lengths become runs that zlib takes to almost nothing.

A slot is a record of fixed size as a ring buffer holds it: 8 bytes without meaning, the head, and
room for captures, of which the head's length is used. Behind the batch's 24 bytes stand the size of
a slot (4 bytes) and with encoding 2 the slots as they are: nobody has touched a single record. With
encoding 3 their columns follow, without those of the 8 bytes; of the start times there are the
differences to the record before, modulo 2**64.
"""

from __future__ import annotations

from itertools import accumulate
from struct import Struct, error
from typing import Iterator, NamedTuple

from hg_shared.errors import BadPayload
from hg_shared.records import HEAD_SIZE, Record, iter_records

BATCH = Struct("<BBHIQQ")
ROWS = 0
COLUMNS = 1
SLOTS = 2
SLOT_COLUMNS = 3
SLOT_PREFIX = 8
_STRIDE = Struct("<I")
_MASK = (1 << 64) - 1


class Batch(NamedTuple):
    """Records of one source, in the order in which they were taken.

    Attributes:
        source: which tracer of this hunter.
        first: index of the first record in the source's sequence.
        watermark: CLOCK_MONOTONIC ns; later batches of the source start no earlier than this.
        heads: record heads as rows.
        captures: captures of all records.
    """

    source: int
    first: int
    watermark: int
    heads: bytes
    captures: bytes

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of records."""
        return len(self.heads) // HEAD_SIZE

    def records(self) -> Iterator[Record]:
        """Yields the records in order."""
        return iter_records(self.heads, self.captures)

    def encode(self, encoding: int = COLUMNS) -> bytes:
        """Returns the payload of a RECORDS frame.

        Args:
            encoding: `ROWS` or `COLUMNS`.
        """
        heads = self.heads
        if encoding == COLUMNS:
            heads = b"".join([heads[column::HEAD_SIZE] for column in range(HEAD_SIZE)])
        header = BATCH.pack(encoding, self.source, 0, self.count, self.first, self.watermark)
        return b"".join((header, heads, self.captures))

    @classmethod
    def decode(cls, payload: bytes) -> Batch:
        """Reads the payload of a RECORDS frame.

        Args:
            payload: the decompressed payload.

        Raises:
            BadPayload: lengths do not add up, or the encoding is unknown.
        """
        try:
            encoding, source, _, count, first, watermark = BATCH.unpack_from(payload)
        except error as short:
            raise BadPayload(f"a batch of {len(payload)} bytes has no header") from short
        if encoding in (SLOTS, SLOT_COLUMNS):
            heads, captures = _rows_of_slots(payload, encoding, count)
            return cls(source, first, watermark, heads, captures)
        size = count * HEAD_SIZE
        end = BATCH.size + size
        if len(payload) < end:
            raise BadPayload(f"a batch says {count} records but holds {len(payload)} bytes")
        heads = payload[BATCH.size : end]
        if encoding == COLUMNS:
            rows = bytearray(size)
            for column in range(HEAD_SIZE):
                rows[column::HEAD_SIZE] = heads[column * count : (column + 1) * count]
            heads = bytes(rows)
        elif encoding != ROWS:
            raise BadPayload(f"a batch has the unknown encoding {encoding}")
        captures = payload[end:]
        claimed = sum(memoryview(heads).cast("I")[21::22]) if count else 0
        if claimed != len(captures):
            raise BadPayload(f"captures of {claimed} bytes announced, {len(captures)} there")
        return cls(source, first, watermark, heads, captures)


class SlotBatch(NamedTuple):
    """Records of one source in slots of one size; a reader decodes it as a `Batch`.

    Attributes:
        source: which tracer of this hunter.
        first: index of the first record in the source's sequence.
        watermark: CLOCK_MONOTONIC ns; later batches of the source start no earlier than this.
        stride: bytes of a slot, a multiple of 8.
        slots: the slots, back to back.
    """

    source: int
    first: int
    watermark: int
    stride: int
    slots: bytes

    @property
    def count(self) -> int:  # type: ignore[override]
        """Number of records."""
        return len(self.slots) // self.stride

    def encode(self, encoding: int = SLOT_COLUMNS) -> bytes:
        """Returns the payload of a RECORDS frame.

        Args:
            encoding: `SLOTS`, which costs nothing, or `SLOT_COLUMNS`, which compresses well.
        """
        count, stride, slots = self.count, self.stride, self.slots
        header = BATCH.pack(encoding, self.source, 0, count, self.first, self.watermark)
        parts = [header, _STRIDE.pack(stride)]
        if encoding == SLOTS or not count:
            parts.append(slots)
        else:
            starts = _differences(slots, stride)
            parts.extend([starts[column::8] for column in range(8)])
            parts.extend([slots[column::stride] for column in range(SLOT_PREFIX + 8, stride)])
        return b"".join(parts)


def _differences(slots: bytes, stride: int) -> bytes:
    """Returns the differences of start times, 8 bytes each, without a step for each record.

    All times together are one number of 64-bit digits; a guard bit on each keeps a difference from
    borrowing from its neighbour.
    """
    words = memoryview(slots).cast("Q")[SLOT_PREFIX // 8 :: stride // 8].tobytes()
    size = len(words)
    guards = int.from_bytes(b"\0\0\0\0\0\0\0\x80" * (size // 8), "little")
    times = int.from_bytes(words, "little")
    before = (times << 64) & ((1 << size * 8) - 1)
    return (((times | guards) - before) ^ guards).to_bytes(size, "little")


def _rows_of_slots(payload: bytes, encoding: int, count: int) -> tuple[bytes, bytes]:
    """Returns heads as rows, and captures."""
    body = BATCH.size + _STRIDE.size
    if len(payload) < body:
        raise BadPayload(f"a batch of {len(payload)} bytes does not say the size of its slots")
    stride = _STRIDE.unpack_from(payload, BATCH.size)[0]
    room = stride - SLOT_PREFIX - HEAD_SIZE
    if room < 0 or stride % 8:
        raise BadPayload(f"a batch has slots of {stride} bytes")
    size = stride if encoding == SLOTS else stride - SLOT_PREFIX
    if len(payload) != body + count * size:
        raise BadPayload(f"{count} slots of {size} bytes announced, {len(payload) - body} there")
    if not count:
        return b"", b""
    heads = bytearray(count * HEAD_SIZE)
    if encoding == SLOTS:
        area = payload[body:]
        into, words = memoryview(heads).cast("Q"), memoryview(area).cast("Q")
        for word in range(HEAD_SIZE // 8):
            into[word :: HEAD_SIZE // 8] = words[SLOT_PREFIX // 8 + word :: stride // 8]
        begin, step = SLOT_PREFIX + HEAD_SIZE, stride
    else:
        for column in range(HEAD_SIZE):
            at = body + column * count
            heads[column::HEAD_SIZE] = payload[at : at + count]
        times = memoryview(heads).cast("Q")
        starts = [start & _MASK for start in accumulate(times[:: HEAD_SIZE // 8])]
        times[:: HEAD_SIZE // 8] = memoryview(Struct(f"{count}Q").pack(*starts)).cast("Q")
        rows = bytearray(count * room)
        for column in range(room):
            at = body + (HEAD_SIZE + column) * count
            rows[column::room] = payload[at : at + count]
        area, begin, step = bytes(rows), 0, room
    lengths = memoryview(heads).cast("I")[21::22].tolist()
    if max(lengths) > room:
        raise BadPayload(f"captures of {max(lengths)} bytes in a slot for {room}")
    begins = range(begin, begin + count * step, step) if step else [0] * count
    captures = b"".join([area[at : at + got] for at, got in zip(begins, lengths)])
    return bytes(heads), captures
