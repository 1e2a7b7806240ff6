"""Heap profiles: samples counted; what is damaged, cut or none is refused."""

from __future__ import annotations

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.agents.kinds import pprof
from gatherer.agents.kinds.pprof import Profile, is_gperftools, read_profile
from gatherer.errors import ScrapeError


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def message(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def heap(samples: int) -> bytes:
    """A Profile as runtime/pprof writes it, with a period, mappings and a time."""
    strings = ["", "inuse_objects", "count", "inuse_space", "bytes"]
    types = [(1, 2), (3, 4)]
    out = b"".join(
        message(1, varint(1 << 3) + varint(kind) + varint(2 << 3) + varint(unit))
        for kind, unit in types
    )
    for number in range(samples):
        out += message(2, message(1, varint(number + 1)) + message(2, varint(1) + varint(4096)))
    out += message(3, varint(1 << 3) + varint(1))
    out += b"".join(message(6, text.encode()) for text in strings)
    out += varint(9 << 3) + varint(1_790_000_000_000_000_000)
    return out + varint(12 << 3) + varint(524288)


@pytest.mark.parametrize("samples", [0, 1, 500])
def test_samples_are_counted(samples: int) -> None:
    profile = read_profile(gzip.compress(heap(samples)))
    assert profile == Profile(samples, ("inuse_objects", "inuse_space"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not gzip"),
        (b"<html>", "not gzip"),
        (gzip.compress(heap(9))[:-9], "cut short"),
        (gzip.compress(heap(9))[:30], "cut short"),
        (b"\x1f\x8b" + b"\x00" * 40, "does not unpack"),
        (gzip.compress(b"\xff" * 40), "no pprof protobuf"),
        (gzip.compress(message(2, b"")), "no sample types"),
        (gzip.compress(b""), "no sample types"),
    ],
)
def test_what_is_no_profile(data: bytes, words: str) -> None:
    with pytest.raises(ScrapeError, match=words):
        read_profile(data)


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pprof, "MAX_SIZE", 4 << 20)
    with pytest.raises(ScrapeError, match="unpacks to more than 4 MiB"):
        read_profile(gzip.compress(bytes(16 << 20)))


@given(st.binary(max_size=200))
def test_any_message_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(ScrapeError):
        read_profile(gzip.compress(data, 1))


def test_the_text_of_gperftools() -> None:
    assert is_gperftools(b"heap profile: 1: 2 [ 1: 2] @ heapprofile\n\nMAPPED_LIBRARIES:\n")
    assert not is_gperftools(b"heap profile: 1: 2 [ 1: 2] @ heapprofile\n")
    assert not is_gperftools(b"")
