"""Whatever a stream holds, rendering gives printable lines and never raises."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.rendering.strace.args.literals import escape, quote
from gatherer.rendering.strace.args.siginfo import siginfo_text
from gatherer.rendering.strace.args.sockets import control_text, sockaddr_text
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from hg_shared.records import UNKNOWN_LENGTH, Abi, Record, encode_capture
from hg_shared.syscalls import lookup
from tests.unit.gatherer.rendering.strace.packed import call_text, feed, split_text

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
SEEDS = st.integers(0, 2**32)
CALLS, PATHS = CallRenderer(), CallRenderer(8)
NUMBERS = (0, 1, 5, 600, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def any_captures(random: Random) -> bytes:
    """Returns captures of any argument and hop, cut somewhere."""
    parts = []
    for _ in range(random.randrange(7)):
        data = random.randbytes(random.randrange(200)) if random.random() < 0.8 else None
        length = random.choice([len(data or b""), random.randrange(2**32)])
        where = random.randrange(6), random.choice([0, 0, 1, random.randrange(40)])
        parts.append(encode_capture(*where, data, length, random.random() < 0.5))
    return b"".join([*parts, random.randbytes(random.randrange(12))])


def any_record(random: Random, kinds: Sequence[int]) -> Record:
    """Returns a record of one of these kinds with any numbers."""
    args = tuple(random.choice([*NUMBERS, random.getrandbits(64)]) for _ in range(6))
    rvals = [*range(-600, 20, 31), random.randrange(-(2**63), 2**63)]
    return Record(
        random.randrange(2**40), random.randrange(2**40), random.choice(rvals), args,  # type: ignore[arg-type]
        random.choice([7, 8, random.randrange(2**32)]), 1,
        random.choice([random.randrange(480), random.randrange(480), random.randrange(65536)]),
        random.choice(kinds), random.choice([0, 0, 1, 2, 3, 4, 255]), any_captures(random),
    )  # fmt: skip


def call_numbers(abi: int) -> Iterable[int]:
    """Returns calls that have each kind of argument in each direction; all of them in a soak."""
    if SOAK:
        return range(480)
    seen: set[object] = set()
    found = []
    for nr in range(480):
        syscall = lookup(abi, nr)
        parts = {(arg.kind, arg.direction) for arg in syscall.args} if syscall else {None}
        if syscall is not None and syscall.selector >= 0:
            forms = syscall.variants.values()
            parts |= {(arg.kind, arg.direction) for args, _ in forms for arg in args}
        parts = {part for part in parts if part not in seen}
        if parts or (syscall and syscall.returns not in seen):
            seen |= {*parts, syscall.returns if syscall else None}
            found.append(nr)
    return found


def is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


@given(seed=SEEDS)
def test_a_call_is_printable_and_its_parts_fit(seed: int) -> None:
    random = Random(seed)
    record = any_record(random, [0])
    renderer = CallRenderer(random.randrange(100))
    text = call_text(renderer, record)
    assert is_printable(text)
    first, rest, returned = split_text(renderer, record)
    assert f"{first}{rest} = {returned}" == text
    assert re.match(r"\w+\(", first)
    assert rest.endswith(")")
    assert renderer.undecoded == 0


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64, Abi.I386, Abi.X32, 255])
@pytest.mark.parametrize("size", [0, 9, 300] if SOAK else [9])
def test_both_back_ends_print_every_call_alike_whatever_was_captured(abi: int, size: int) -> None:
    random = Random(size)
    rows, decoded = CallRenderer(), CallRenderer()
    decoded.forms = decoded.decoding
    for nr in call_numbers(abi):
        data = random.randbytes(size)
        captured = b"".join(
            encode_capture(arg, hop, data, random.choice([size, size + 40]), at_entry)
            for arg in range(random.choice([0, 1, 6, 6, 6]))
            for hop in range(4)
            for at_entry in (False, True)
        )
        for rval in (-38, 5, random.choice([-512, 0, 2**40, -(2**40)])):
            args = tuple(random.choice([0, 1, 3, size, 2**32 - 1, 2**63]) for _ in range(6))
            record = Record(0, 0, rval, args, 1, 1, nr, 0, abi, captured)  # type: ignore[arg-type]
            first, rest, returned = split_text(decoded, record)
            assert is_printable(first + rest + returned)
            assert split_text(rows, record) == (first, rest, returned)
            assert call_text(rows, record) == f"{first}{rest} = {returned}"
            assert call_text(decoded, record) == f"{first}{rest} = {returned}"
    assert rows.undecoded == decoded.undecoded == 0


@given(seed=SEEDS)
def test_any_stream_gives_whole_printable_lines(seed: int) -> None:
    random = Random(seed)
    stream = [any_record(random, range(12)) for _ in range(random.randrange(13))]
    lines = ProcessLines(10**18, CALLS, pid=7, command="cat")
    out = []
    for at in range(random.randrange(5)):
        out.append(feed(lines, stream[at::4], 2**39 * at))
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
    text = call_text(PATHS, record).rpartition(" = ")[0]
    assert is_printable(text)
    shown, end = re.fullmatch(r'chdir\("(.*)"(|\.\.\.)\)', text).groups()  # type: ignore[union-attr]
    assert unescape(shown) == path[:4095]
    assert (end == "") == (not more and len(path) <= 4095)


def test_a_signal_number_outside_every_table_is_shown() -> None:
    assert siginfo_text(struct.pack("<iii4x", 99, 0, 5)) == "{si_signo=99, si_code=0x5}"
