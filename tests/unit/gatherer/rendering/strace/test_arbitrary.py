"""Whatever a stream holds, rendering gives printable lines and never raises."""

from __future__ import annotations

import os
import re
import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.rendering.strace.args.siginfo import siginfo_text
from gatherer.rendering.strace.args.sockets import control_text, sockaddr_text
from gatherer.rendering.strace.args.text import escape, quote
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from hg_shared.records import UNKNOWN_LENGTH, Abi, Record, encode_capture
from tests.unit.gatherer.rendering.strace.packed import call_text, feed, split_text

U64 = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 600), st.sampled_from([2**31, 2**32 - 1, 2**63])
)
RVAL = st.one_of(st.integers(-4096, 4096), st.integers(-(2**63), 2**63 - 1))

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


@st.composite
def captures(draw: st.DrawFn) -> bytes:
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        data = draw(st.one_of(st.none(), st.binary(max_size=200)))
        length = draw(st.one_of(st.just(len(data or b"")), st.integers(0, 2**32 - 1)))
        arg, hop = draw(st.integers(0, 5)), draw(st.integers(0, 40))
        parts.append(encode_capture(arg, hop, data, length, draw(st.booleans())))
    parts.append(draw(st.binary(max_size=12)))
    return b"".join(parts)


@st.composite
def records(draw: st.DrawFn, kinds: st.SearchStrategy[int]) -> Record:
    return Record(
        draw(st.integers(0, 2**40)),
        draw(st.integers(0, 2**40)),
        draw(RVAL),
        draw(st.tuples(U64, U64, U64, U64, U64, U64)),
        draw(st.integers(0, 2**32 - 1)),
        1,
        draw(st.one_of(st.integers(0, 480), st.integers(0, 65535))),
        draw(kinds),
        draw(st.sampled_from([0, 1, 2, 3, 4, 255])),
        draw(captures()),
    )


def is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


@given(record=records(st.just(0)), limit=st.integers(0, 100))
def test_a_call_is_printable_and_its_parts_fit(record: Record, limit: int) -> None:
    renderer = CallRenderer(limit)
    text = call_text(renderer, record)
    assert is_printable(text)
    first, rest, returned = split_text(renderer, record)
    assert f"{first}{rest} = {returned}" == text
    assert re.match(r"\w+\(", first)
    assert rest.endswith(")")
    assert renderer.undecoded == 0


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64, Abi.I386])
@pytest.mark.parametrize("size", [0, 9, 300] if SOAK else [9])
def test_every_call_takes_captures_of_any_size(abi: Abi, size: int) -> None:
    random = Random(size)
    renderer = CallRenderer()
    for nr in range(480):
        data = random.randbytes(size)
        captured = b"".join(
            encode_capture(arg, hop, data, size, at_entry)
            for arg in range(6)
            for hop in range(5)
            for at_entry in (False, True)
        )
        for rval in (-38, 5):
            args = tuple(random.choice([0, 1, size, 2**32 - 1, 2**63]) for _ in range(6))
            record = Record(0, 0, rval, args, 1, 1, nr, 0, abi, captured)  # type: ignore[arg-type]
            first, rest, returned = split_text(renderer, record)
            assert is_printable(first + rest + returned)
            assert call_text(renderer, record) == f"{first}{rest} = {returned}"
    assert renderer.undecoded == 0


@given(
    stream=st.lists(records(st.integers(0, 12)), max_size=12),
    cuts=st.lists(st.integers(0, 2**41), max_size=4),
)
def test_any_stream_gives_whole_printable_lines(stream: list[Record], cuts: list[int]) -> None:
    lines = ProcessLines(10**18, pid=7, command="cat")
    out = []
    for at, cut in enumerate(sorted(cuts)):
        out.append(feed(lines, stream[at::4], cut))
    out.append(feed(lines, stream, 2**41))
    out.append(lines.finish())
    text = b"".join(out).decode("ascii")
    assert text == "" or text.endswith("\n")
    assert lines.lines == text.count("\n")
    for line in text.splitlines():
        assert is_printable(line)
        assert re.match(r"\d+ +\d\d:\d\d:\d\d\.\d{6} \S", line)


@given(st.binary(max_size=200))
def test_structures_of_any_bytes_are_printable(data: bytes) -> None:
    for text in (
        escape(data),
        siginfo_text(data),
        sockaddr_text(data) or "",
        control_text(data, len(data), 8) or "",
        control_text(data, len(data), 4) or "",
    ):
        assert is_printable(text)


def unescape(text: str) -> bytes:
    letters = {"n": 10, "t": 9, "r": 13, "v": 11, "f": 12, '"': 34, "\\": 92}
    out = bytearray()
    for octal, letter, plain in re.findall(r"\\([0-7]{1,3})|\\(.)|(.)", text):
        out.append(int(octal, 8) if octal else letters[letter] if letter else ord(plain))
    return bytes(out)


@given(st.binary(max_size=80))
def test_quoting_loses_nothing(data: bytes) -> None:
    assert unescape(quote(data)[1:-1]) == data


@given(data=st.binary(max_size=200), repeated=st.integers(1, 40), more=st.booleans())
def test_paths_of_any_bytes_and_length_are_shown_whole_or_cut(
    data: bytes, repeated: int, more: bool
) -> None:
    path = (data.replace(b"\0", b"") * repeated)[:4096]
    length = UNKNOWN_LENGTH if more else len(path)
    held = encode_capture(0, 0, path, length)
    record = Record(0, 0, -36, (1, 0, 0, 0, 0, 0), 1, 1, 80, 0, 0, held)
    text = call_text(CallRenderer(8), record).rpartition(" = ")[0]
    assert is_printable(text)
    shown, end = re.fullmatch(r'chdir\("(.*)"(|\.\.\.)\)', text).groups()  # type: ignore[union-attr]
    assert unescape(shown) == path[:4095]
    assert (end == "") == (not more and len(path) <= 4095)


def test_a_signal_number_outside_every_table_is_shown() -> None:
    assert siginfo_text(struct.pack("<iii4x", 99, 0, 5)) == "{si_signo=99, si_code=0x5}"
