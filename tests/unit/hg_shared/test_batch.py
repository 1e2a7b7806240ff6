"""Batches: both encodings, and lies in their headers."""

from __future__ import annotations

import struct
import zlib
from typing import List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hg_shared.batch import BATCH, COLUMNS, ROWS, Batch
from hg_shared.errors import BadPayload
from hg_shared.records import HEAD, Kind

U64 = st.integers(0, 2**64 - 1)


def batch_of(rows: List[Tuple[int, bytes]], source: int = 3, first: int = 7) -> Batch:
    heads = b"".join(
        HEAD.pack(at, 5, -1, at, 2, 3, 4, 5, 6, 9, 1, 0, Kind.SYSCALL, 0, len(data))
        for at, data in rows
    )
    return Batch(source, first, 123, heads, b"".join(data for _, data in rows))


@given(
    st.lists(st.tuples(U64, st.binary(max_size=20)), max_size=9),
    st.integers(0, 255),
    U64,
    st.sampled_from([ROWS, COLUMNS]),
)
def test_batches_come_back_in_both_encodings(
    rows: List[Tuple[int, bytes]], source: int, first: int, encoding: int
) -> None:
    batch = batch_of(rows, source, first)
    again = Batch.decode(batch.encode(encoding))
    assert again == batch
    assert again.count == len(rows)
    assert [(r.start, r.captures) for r in again.records()] == rows


def test_the_header_is_the_bytes_of_the_table() -> None:
    payload = batch_of([(1, b"ab")]).encode(ROWS)
    assert payload[:24] == bytes((0, 3, 0, 0)) + struct.pack("<IQQ", 1, 7, 123)
    assert len(payload) == 24 + 88 + 2


def test_columns_hold_the_same_bytes_and_compress_better() -> None:
    batch = batch_of([(10**15 + 1000 * i, b"") for i in range(500)])
    rows, columns = batch.encode(ROWS), batch.encode(COLUMNS)
    assert sorted(rows[24:]) == sorted(columns[24:])
    assert len(zlib.compress(columns, 1)) * 3 < len(zlib.compress(rows, 1)) * 2


@pytest.mark.parametrize("encoding", [ROWS, COLUMNS])
def test_a_batch_without_records_moves_the_watermark(encoding: int) -> None:
    empty = Batch(0, 9, 55, b"", b"")
    assert Batch.decode(empty.encode(encoding)) == empty


@pytest.mark.parametrize("size", range(24))
def test_a_cut_header_is_a_bad_payload(size: int) -> None:
    with pytest.raises(BadPayload, match="has no header"):
        Batch.decode(batch_of([(1, b"x")]).encode()[:size])


@pytest.mark.parametrize("count", [2, 3, 2**32 - 1])
def test_a_count_that_is_too_high_is_a_bad_payload(count: int) -> None:
    body = batch_of([(1, b"x")]).encode()[24:]
    with pytest.raises(BadPayload, match=f"says {count} records"):
        Batch.decode(BATCH.pack(COLUMNS, 0, 0, count, 0, 0) + body)


def test_a_count_that_is_too_low_leaves_captures_over() -> None:
    body = batch_of([(1, b"x"), (2, b"y")]).encode(ROWS)[24:]
    with pytest.raises(BadPayload, match="captures of 1 bytes announced, 90 there"):
        Batch.decode(BATCH.pack(ROWS, 0, 0, 1, 0, 0) + body)


@pytest.mark.parametrize("change", [b"", b"abcd"])
def test_captures_must_add_up(change: bytes) -> None:
    payload = batch_of([(1, b"abc")]).encode()
    with pytest.raises(BadPayload, match="captures of 3 bytes announced"):
        Batch.decode(payload[:-3] + change)


def test_an_unknown_encoding_is_a_bad_payload() -> None:
    with pytest.raises(BadPayload, match="unknown encoding 9"):
        Batch.decode(b"\x09" + batch_of([(1, b"")]).encode()[1:])


@given(st.binary(max_size=300))
def test_garbage_is_a_bad_payload_or_a_batch(data: bytes) -> None:
    try:
        batch = Batch.decode(data)
    except BadPayload:
        return
    assert len(list(batch.records())) == batch.count
