"""Record batches: the payload of a RECORDS frame.

    offset size field
    0      1    encoding: 0 = heads as rows, 1 = heads as columns
    1      1    source: which tracer of this hunter
    2      2    zero
    4      4    count of records
    8      8    index of the first record in its source's sequence, from 0
    16     8    watermark: no record that starts before it follows from this source, ns
    24     ...  count heads of 88 bytes, then the captures

With encoding 1 the heads are stored byte column by byte column (all first bytes, all second
bytes, …): high bytes of times, pointers and lengths become runs that zlib takes to almost nothing.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Iterator, NamedTuple

from hg_shared.errors import BadPayload
from hg_shared.records import HEAD_SIZE, Record, iter_records

BATCH = Struct("<BBHIQQ")
ROWS = 0
COLUMNS = 1


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
