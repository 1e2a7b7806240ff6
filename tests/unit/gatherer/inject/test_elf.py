"""ELF files: a real one of this machine, made-up ones, and what is none."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.inject.elf import ElfFile, parse_elf, stripped

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SEGMENT = struct.Struct("<IIQQQQQQ")
STRINGS = b"\0libc.so.6\0libm.so.6\0libx.so.1\0"


def made(machine: int = 62, soname: int = 21, sections: bytes = b"sections") -> bytes:
    """Returns a library that needs libc and libm, mapped 0x1000 above its place in the file."""
    at = HEADER.size + 3 * SEGMENT.size
    interpreter = b"/lib/ld.so\0"
    strings_at = at + len(interpreter)
    dynamic_at = strings_at + len(STRINGS)
    entries = [(1, 1), (1, 11), (14, soname), (5, 0x1000 + strings_at), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    end = dynamic_at + len(dynamic)
    segments = [
        (1, 5, 0, 0x1000, 0x1000, end, end, 4096),
        (2, 6, dynamic_at, 0x1000 + dynamic_at, 0, len(dynamic), len(dynamic), 8),
        (3, 4, at, 0x1000 + at, 0, len(interpreter), len(interpreter), 1),
    ]
    header = HEADER.pack(
        b"\x7fELF\x02\x01\x01", 3, machine, 1, 0, HEADER.size, end, 0, HEADER.size,
        SEGMENT.size, 3, 64, 1, 0,
    )  # fmt: skip
    body = b"".join(SEGMENT.pack(*segment) for segment in segments)
    return header + body + interpreter + STRINGS + dynamic + sections


def test_a_made_up_library() -> None:
    expected = ElfFile("x86_64", "/lib/ld.so", "libx.so.1", ("libc.so.6", "libm.so.6"))
    assert parse_elf(made()) == expected
    assert parse_elf(made(machine=183)).machine == "aarch64"


def test_sections_are_dropped_and_all_else_stays() -> None:
    data = made(sections=b"x" * 1000)
    small = stripped(data)
    assert len(small) == len(data) - 1000
    assert parse_elf(small) == parse_elf(data)
    assert stripped(small) == small


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no ELF files")
def test_the_interpreter_that_runs_this() -> None:
    data = Path(sys.executable).resolve().read_bytes()
    found = parse_elf(data)
    assert Path(found.interpreter).is_file()
    assert any(name.startswith("libc.") for name in found.needed)
    assert len(stripped(data)) <= len(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "broken"),
        (b"#!/bin/sh\n" * 20, "no 64-bit"),
        (b"\x7fELF\x01\x01" + bytes(100), "no 64-bit"),
        (made(machine=22), "machine 22"),
    ],
)
def test_what_cannot_be_bundled(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_elf(data)


@given(st.data())
def test_damaged_files_are_refused_or_read(data: st.DataObject) -> None:
    whole = bytearray(made())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        parse_elf(cut)
    except ValueError:
        pass
