"""The dynamic section of a 64-bit little-endian ELF file: how it is loaded (elf(5)). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MACHINES = {62: "x86_64", 183: "aarch64"}

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_LOAD, _DYNAMIC_SEGMENT, _INTERPRETER = 1, 2, 3
_NEEDED, _STRING_TABLE, _SONAME = 1, 5, 14


@dataclass(frozen=True)
class ElfFile:
    """A program or shared library.

    Attributes:
        machine: as uname(2) names it.
        interpreter: path of the dynamic loader (PT_INTERP), empty in a library.
        soname: name by which others need it (DT_SONAME), empty in a program.
        needed: sonames of what it needs (DT_NEEDED).
    """

    machine: str
    interpreter: str
    soname: str
    needed: tuple[str, ...]


def parse_elf(data: bytes) -> ElfFile:
    """Reads a file.

    Raises:
        ValueError: it is no 64-bit little-endian ELF file of a machine hunter runs on, or broken.
    """
    try:
        return _parse(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"a broken ELF file: {error}") from error


def stripped(data: bytes) -> bytes:
    """Returns the file without what no loader looks at: symbols, debugging data, section headers.

    Raises:
        ValueError: as `parse_elf` does.
    """
    parse_elf(data)
    header = list(_HEADER.unpack_from(data))
    offset, size, count = header[5], header[9], header[10]
    end = offset + size * count
    for index in range(count):
        _, _, start, _, _, length, *_ = _SEGMENT.unpack_from(data, offset + size * index)
        end = max(end, start + length)
    header[6] = header[11] = header[12] = header[13] = 0
    return _HEADER.pack(*header) + data[_HEADER.size : end]


def _parse(data: bytes) -> ElfFile:
    ident, _, machine, _, _, offset, *_, size, count, _, _, _ = _HEADER.unpack_from(data)
    if ident[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    if machine not in MACHINES:
        raise ValueError(f"an ELF file of machine {machine}")
    if size < _SEGMENT.size:
        raise ValueError("an ELF file with too short program headers")
    segments = [_SEGMENT.unpack_from(data, offset + size * index) for index in range(count)]
    interpreter, dynamic = "", b""
    for kind, _, start, _, _, length, *_ in segments:
        if kind == _INTERPRETER:
            interpreter = data[start : start + length].rstrip(b"\0").decode()
        elif kind == _DYNAMIC_SEGMENT:
            dynamic = data[start : start + length - length % _DYNAMIC.size]
    entries = list(_DYNAMIC.iter_unpack(dynamic))
    table = next((value for tag, value in entries if tag == _STRING_TABLE), None)
    at = None if table is None else _file_offset(segments, table)

    def text(value: int) -> str:
        if at is None:
            raise ValueError("an ELF file without a string table")
        return data[at + value : data.index(b"\0", at + value)].decode()

    sonames = [text(value) for tag, value in entries if tag == _SONAME]
    return ElfFile(
        MACHINES[machine],
        interpreter,
        sonames[0] if sonames else "",
        tuple(text(value) for tag, value in entries if tag == _NEEDED),
    )


def _file_offset(segments: list[tuple[int, ...]], address: int) -> int:
    for kind, _, start, virtual, _, length, *_ in segments:
        if kind == _LOAD and virtual <= address < virtual + length:
            return start + address - virtual
    raise ValueError("an ELF file whose string table is nowhere")
