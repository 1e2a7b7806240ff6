"""Frames: every way a stream can be cut or damaged."""

from __future__ import annotations

import zlib
from typing import Callable, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hg_shared.errors import (
    BadChecksum,
    BadMagic,
    BadPayload,
    PayloadTooBig,
    TruncatedStream,
    WireError,
)
from hg_shared.framing import (
    CRC,
    FLAG_ZLIB,
    HEADER,
    HEADER_SIZE,
    MAGIC,
    MAX_PAYLOAD,
    Frame,
    FrameDecoder,
    compressed,
)

Outcome = Tuple[List[Frame], List[WireError], int]
Decode = Callable[[List[bytes]], Outcome]


def decode(pieces: List[bytes]) -> Outcome:
    decoder = FrameDecoder(max_payload=4096)
    frames: List[Frame] = []
    for piece in pieces:
        decoder.receive_data(piece)
        frames += decoder.frames_received()
    decoder.receive_eof()
    assert decoder.frames_received() == []
    return frames, decoder.errors, decoder.position


def feed_all_ways(decode: Decode, data: bytes) -> Outcome:
    """Decodes whole, byte by byte and at every cut; all must agree. Returns what they agree on."""
    frames, errors, position = decode([data])
    ways = [[data[at : at + 1] for at in range(len(data))]]
    ways += [[data[:cut], data[cut:]] for cut in range(len(data) + 1)]
    for pieces in ways:
        other = decode(pieces)
        assert other[0] == frames
        assert [str(error) for error in other[1]] == [str(error) for error in errors]
        assert other[2] == position
    for more in (b"\0", b"H", b"garbage", MAGIC):
        assert decode([data, more])[0] == frames
    return frames, errors, position


FRAMES = [Frame(1, 1, b"hello"), Frame(2, 2, b""), Frame(200, 0, b"HG" * 30, 0), Frame(3, 3, b"x")]
STREAM = b"".join(frame.encode() for frame in FRAMES)


def test_whole_frames_come_out_however_the_stream_is_cut() -> None:
    frames, errors, position = feed_all_ways(decode, STREAM)
    assert frames == FRAMES
    assert errors == []
    assert position == len(STREAM)


def test_a_frame_is_the_bytes_of_the_table() -> None:
    assert Frame(2, 7, b"ab", 1).encode() == (
        b"HG\x02\x01" + b"\x02\0\0\0" + b"\x07\0\0\0\0\0\0\0" + b"Ss\xa0U" + b"ab"
    )


def test_a_received_frame_keeps_its_bytes() -> None:
    frames = decode([STREAM[:30], STREAM[30:]])[0]
    assert b"".join(frame.wire for frame in frames) == STREAM
    assert all(frame.encode() is frame.wire for frame in frames)


@pytest.mark.parametrize("at", range(HEADER_SIZE + 5))
def test_damage_in_any_byte_costs_one_frame_only(at: int) -> None:
    head = FRAMES[0].encode()
    damaged = bytearray(head + FRAMES[1].encode() + FRAMES[3].encode() * 300)
    damaged[at] ^= 0x40
    frames, errors, _ = decode([bytes(damaged)])
    # A length made bigger swallows what follows until as much has come, then gives it back.
    assert frames == [FRAMES[1]] + [FRAMES[3]] * 300
    assert errors
    assert isinstance(errors[-1], BadMagic)
    assert errors[-1].skipped == len(head)


def test_every_cut_of_damage_in_the_checksum_is_the_same() -> None:
    first = bytearray(FRAMES[0].encode())
    first[HEADER_SIZE - 1] ^= 1
    frames, errors, position = feed_all_ways(decode, bytes(first) + STREAM)
    assert frames == FRAMES
    assert [type(error) for error in errors] == [BadChecksum, BadMagic]
    assert position == len(first) + len(STREAM)


@pytest.mark.parametrize("garbage", [b"\0", b"H", b"HH", b"HG", b"login: root\r\n", b"HGHGHG" * 9])
def test_garbage_before_and_between_frames_is_passed_over_and_counted(garbage: bytes) -> None:
    data = garbage + FRAMES[0].encode() + garbage + STREAM
    frames, errors, position = decode([data])
    assert frames == [FRAMES[0], *FRAMES]
    skipped = [error.skipped for error in errors if isinstance(error, BadMagic)]
    assert skipped == [len(garbage)] * 2
    assert position == len(data)


def test_only_garbage_is_no_frame() -> None:
    for way in ([b"x" * 50], [b"x"] * 50):
        frames, errors, position = decode(way)
        assert frames == []
        # What is kept back as too short for a header counts as an unfinished frame.
        lengths = [e.skipped if isinstance(e, BadMagic) else e.pending for e in errors]
        assert sum(lengths) == 50
        assert lengths[0] == position


@pytest.mark.parametrize("size", range(1, len(STREAM) - 1))
def test_an_end_inside_a_frame_is_told(size: int) -> None:
    data = STREAM[:size]
    ends = {0}
    for frame in FRAMES:
        ends.add(max(ends) + len(frame.encode()))
    frames, errors, position = decode([data])
    assert position == max(end for end in ends if end <= size)
    assert len(frames) == sorted(ends).index(position)
    if size in ends:
        assert errors == []
    else:
        (error,) = errors
        assert isinstance(error, TruncatedStream)
        assert error.pending == size - position


def test_a_claim_of_more_than_the_limit_is_not_waited_for() -> None:
    header = HEADER.pack(MAGIC, 1, 0, 4097, 1)
    huge = header + CRC.pack(zlib.crc32(header))
    frames, errors, _ = feed_all_ways(decode, huge + FRAMES[0].encode())
    assert frames == [FRAMES[0]]
    assert [type(error) for error in errors] == [PayloadTooBig, BadMagic]
    assert decode([Frame(1, 1, b"a" * 4096).encode()])[0] == [Frame(1, 1, b"a" * 4096)]


def test_data_after_the_end_is_a_mistake_of_the_caller() -> None:
    decoder = FrameDecoder()
    decoder.receive_eof()
    decoder.receive_eof()
    assert decoder.errors == []
    with pytest.raises(EOFError, match="after the end"):
        decoder.receive_data(b"x")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_garbage_never_raises_and_all_cuts_agree(data: bytes, cuts: List[int]) -> None:
    marks = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in zip(marks, marks[1:])]
    whole, cut = decode([data]), decode(pieces)
    assert whole[0] == cut[0]
    # What may still become a header is not passed over before it is known to be none.
    assert abs(whole[2] - cut[2]) < HEADER_SIZE


@given(
    st.lists(
        st.builds(Frame, st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=80)),
        max_size=5,
    ),
    st.binary(max_size=20).filter(lambda noise: b"H" not in noise),
)
def test_frames_survive_noise_between_them(frames: List[Frame], noise: bytes) -> None:
    data = noise.join(frame.encode() for frame in frames) + b"\0" * HEADER_SIZE
    assert decode([data])[0] == frames


def test_compression_is_used_only_where_it_helps() -> None:
    small, flat, wide = b"a" * 100, b"a" * 5000, bytes(range(256))
    assert compressed(2, 1, small).flags == 0
    assert compressed(2, 1, flat).flags == FLAG_ZLIB
    assert compressed(2, 1, wide).flags == 0
    assert compressed(2, 1, flat, level=0) == Frame(2, 1, flat)
    for body in (small, flat, wide, b""):
        assert compressed(2, 1, body).body() == body


def test_a_zlib_body_must_be_one_whole_stream() -> None:
    whole = zlib.compress(b"hello" * 50)
    for payload in (whole[:-1], whole + b"x", b"", b"no zlib", whole[:3] + b"\xff" + whole[4:]):
        with pytest.raises(BadPayload, match="frame 9"):
            Frame(2, 9, payload, FLAG_ZLIB).body()


def test_a_zlib_body_is_bounded() -> None:
    at_limit = zlib.compress(bytes(MAX_PAYLOAD))
    assert len(Frame(2, 1, at_limit, FLAG_ZLIB).body()) == MAX_PAYLOAD
    bomb = zlib.compress(bytes(MAX_PAYLOAD + 1))
    with pytest.raises(PayloadTooBig, match="more than 4194304 bytes"):
        Frame(2, 1, bomb, FLAG_ZLIB).body()
