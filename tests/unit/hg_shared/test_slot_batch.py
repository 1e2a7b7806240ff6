"""Slots, as a ring buffer holds them, are read as the rows they stand for."""

from __future__ import annotations

import struct
import zlib
from typing import List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hg_shared.batch import SLOT_COLUMNS, SLOTS, Batch, SlotBatch
from hg_shared.errors import BadPayload
from hg_shared.records import HEAD

ROOM = 40
STRIDE = 8 + HEAD.size + ROOM

Rows = List[Tuple[int, int, bytes]]
rows = st.lists(
    st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=ROOM)),
    max_size=20,
)


def both(given_rows: Rows) -> tuple[SlotBatch, Batch]:
    slots, heads, captures = b"", b"", b""
    for start, tid, data in given_rows:
        head = HEAD.pack(start, 5, -2, 1, 2, 3, 4, 5, 2**64 - 1, tid, 1, 257, 0, 0, len(data))
        slots += b"\x88\0\0\0junk" + head + data.ljust(ROOM, b"\xee")
        heads += head
        captures += data
    return SlotBatch(3, 9, 77, STRIDE, slots), Batch(3, 9, 77, heads, captures)


@pytest.mark.parametrize("encoding", [SLOTS, SLOT_COLUMNS])
@given(given_rows=rows)
def test_slots_are_the_same_rows(encoding: int, given_rows: Rows) -> None:
    slots, batch = both(given_rows)
    assert slots.count == len(given_rows)
    assert Batch.decode(slots.encode(encoding)) == batch


@pytest.mark.parametrize("encoding", [SLOTS, SLOT_COLUMNS])
@given(given_rows=rows, cut=st.integers(1, 200))
def test_a_cut_batch_is_refused(encoding: int, given_rows: Rows, cut: int) -> None:
    payload = both(given_rows)[0].encode(encoding)
    with pytest.raises(BadPayload):
        Batch.decode(payload[: max(len(payload) - cut, 0)])


@pytest.mark.parametrize("stride", [0, 8, 95, 97, 2**32 - 1])
def test_impossible_slots_are_refused(stride: int) -> None:
    payload = bytearray(both([(1, 2, b"x")])[0].encode(SLOTS))
    struct.pack_into("<I", payload, 24, stride)
    with pytest.raises(BadPayload):
        Batch.decode(bytes(payload))


def test_captures_that_do_not_fit_their_slot_are_refused() -> None:
    payload = bytearray(both([(1, 2, b"x")])[0].encode(SLOTS))
    struct.pack_into("<I", payload, 28 + 8 + 84, ROOM + 1)
    with pytest.raises(BadPayload, match="captures of 41 bytes"):
        Batch.decode(bytes(payload))


def test_twelve_bytes_a_record_beyond_its_payload() -> None:
    numbers = iter(range(10**9))

    def noise(size: int) -> bytes:
        words = [zlib.crc32(struct.pack("<I", next(numbers))) for _ in range(size // 4)]
        return struct.pack(f"<{size // 4}I", *words)

    slots, time_ns, captured = b"", 10**12, 0
    count = 2000
    for number in range(count):
        jitter = zlib.crc32(struct.pack("<II", number, 1))
        time_ns += 400 + jitter % 500
        nr, fd, size, data = [
            (1, 3, 32, noise(32)),
            (257, 0xFFFFFF9C, 0, b"/etc/hostname"),
            (0, 5, 16, noise(16)),
            (3, 5, 0, b""),
        ][number % 4]
        capture = struct.pack("<BBHI", 1, 0, len(data), len(data)) + data if data else b""
        head = HEAD.pack(
            time_ns, 200 + jitter % 90, size, fd, 0x7FFC00001000, size, 0, 0, 0, 4711, 1, nr, 0, 0,
            len(capture),
        )  # fmt: skip
        slots += bytes(8) + head + capture.ljust(ROOM, b"\0")
        captured += len(data)
    sent = len(zlib.compress(SlotBatch(0, 0, 0, STRIDE, slots).encode(), 1))
    assert sent - captured < 12 * count
