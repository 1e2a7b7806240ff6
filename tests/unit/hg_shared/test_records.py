"""Record heads and captures."""

from __future__ import annotations

from typing import List, Optional, Tuple

from hypothesis import given
from hypothesis import strategies as st

from hg_shared.records import (
    HEAD,
    HEAD_SIZE,
    LOSS_TEXT,
    MAX_CAPTURE,
    UNKNOWN_LENGTH,
    Abi,
    Kind,
    LossCause,
    encode_capture,
    iter_records,
)
from tests.captures import Capture, decode_captures


def test_a_head_is_the_bytes_of_the_table() -> None:
    head = HEAD.pack(1, 2, -3, 4, 5, 6, 7, 8, 9, 10, 11, 12, Kind.EXITED, Abi.I386, 13)
    assert HEAD_SIZE == len(head) == 88
    words = [head[at : at + 8] for at in range(0, 72, 8)]
    assert words == [n.to_bytes(8, "little", signed=True) for n in (1, 2, -3, 4, 5, 6, 7, 8, 9)]
    assert head[72:] == b"\x0a\0\0\0" + b"\x0b\0\0\0" + b"\x0c\0" + b"\x04\x02" + b"\x0d\0\0\0"


def test_a_capture_is_the_bytes_of_the_table() -> None:
    assert encode_capture(1, 2, b"ab", 9) == b"\x01\x02" + b"\x02\0" + b"\x09\0\0\0" + b"ab"
    assert encode_capture(5, 0, None, 7, at_entry=True) == b"\x85\0\xff\xff\x07\0\0\0"
    assert encode_capture(0, 0, b"", UNKNOWN_LENGTH) == b"\0\0\0\0\xff\xff\xff\xff"


def test_the_longest_capture_is_not_mistaken_for_an_unreadable_one() -> None:
    data = b"z" * MAX_CAPTURE
    assert decode_captures(encode_capture(0, 0, data, MAX_CAPTURE)) == [
        Capture(0, 0, False, MAX_CAPTURE, data)
    ]


CAPTURES = st.lists(
    st.builds(
        Capture,
        st.integers(0, 5),
        st.integers(0, 255),
        st.booleans(),
        st.integers(0, UNKNOWN_LENGTH),
        st.none() | st.binary(max_size=40),
    ),
    max_size=6,
)


def encode(captures: List[Capture]) -> bytes:
    return b"".join(encode_capture(c.arg, c.hop, c.data, c.length, c.at_entry) for c in captures)


@given(CAPTURES)
def test_captures_come_back(captures: List[Capture]) -> None:
    assert decode_captures(encode(captures)) == captures


@given(CAPTURES, st.integers(0, 200))
def test_a_cut_tail_is_dropped_and_what_is_before_it_kept(
    captures: List[Capture], cut: int
) -> None:
    got = decode_captures(encode(captures)[:cut])
    assert len(got) <= len(captures)
    assert got[:-1] == captures[: max(len(got) - 1, 0)]
    if got and got[-1] != captures[len(got) - 1]:
        whole: Optional[bytes] = captures[len(got) - 1].data
        assert whole is not None
        assert got[-1].data is not None
        assert whole.startswith(got[-1].data)


@given(st.binary(max_size=200))
def test_garbage_in_captures_never_raises(data: bytes) -> None:
    for capture in decode_captures(data):
        assert 0 <= capture.arg < 128


def test_records_take_their_captures_in_order() -> None:
    lengths: Tuple[int, ...] = (3, 0, 2)
    heads = b"".join(
        HEAD.pack(i, 0, -i, i, 0, 0, 0, 0, 2**64 - 1, 100 + i, 1, i, Kind.SYSCALL, 0, length)
        for i, length in enumerate(lengths)
    )
    records = list(iter_records(heads, b"abcde"))
    assert [r.captures for r in records] == [b"abc", b"", b"de"]
    assert [r.tid for r in records] == [100, 101, 102]
    assert records[2].rval == -2
    assert records[2].args == (2, 0, 0, 0, 0, 2**64 - 1)


def test_every_cause_of_a_loss_has_a_text() -> None:
    assert set(LOSS_TEXT) == set(LossCause)
