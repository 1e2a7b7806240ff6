"""A heap profile of an agent: what it is, checked before it is kept. Pure.

Go's is a gzipped protobuf, https://github.com/google/pprof/blob/main/proto/profile.proto;
gperftools' is text that begins with `heap profile:`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from gatherer.errors import ScrapeError

MAX_SIZE = 512 << 20
"""Bytes of an unpacked profile that are looked at."""
_CHUNK = 1 << 20
_SAMPLE_TYPE, _SAMPLE, _STRING_TABLE = 1, 2, 6
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_REMEDY = "take it again; see the agent's log if it stays"


@dataclass(frozen=True)
class Profile:
    """The contents of a profile.

    Attributes:
        samples: stacks.
        types: what is counted for each, such as `inuse_space`.
    """

    samples: int
    types: tuple[str, ...]


def read_profile(data: bytes) -> Profile:
    """Reads a gzipped pprof protobuf, as far as it takes to know that it is one.

    Raises:
        ScrapeError: it is not gzip, not whole, or not a profile.
    """
    if data[:2] != b"\x1f\x8b":
        raise ScrapeError("the heap profile is not gzip", "check port and path of the agent")
    message = _unpack(data)
    samples = 0
    kinds: list[int] = []
    strings: list[bytes] = []
    try:
        for number, value in _fields(message):
            if number == _SAMPLE:
                samples += 1
            elif number == _SAMPLE_TYPE and isinstance(value, memoryview):
                kinds += [
                    kind for field, kind in _fields(value) if field == 1 and isinstance(kind, int)
                ]
            elif number == _STRING_TABLE and isinstance(value, memoryview) and len(strings) < 4096:
                strings.append(bytes(value[:64]))
    except (IndexError, ValueError) as error:
        raise ScrapeError("the heap profile is no pprof protobuf", _REMEDY) from error
    if not kinds:
        raise ScrapeError("the heap profile has no sample types", _REMEDY)
    names = tuple(
        strings[kind].decode("utf-8", "replace") if kind < len(strings) else "?" for kind in kinds
    )
    return Profile(samples, names)


def is_gperftools(data: bytes) -> bool:
    """Whether it is the text form of gperftools' heap profiler, whole."""
    return data.startswith(b"heap profile:") and b"MAPPED_LIBRARIES:" in data


def _unpack(data: bytes) -> memoryview:
    unpacker = zlib.decompressobj(wbits=31)
    message = bytearray()
    rest = data
    try:
        while rest and not unpacker.eof:
            message += unpacker.decompress(rest, _CHUNK)
            rest = unpacker.unconsumed_tail
            if len(message) > MAX_SIZE:
                raise ScrapeError(
                    f"the heap profile unpacks to more than {MAX_SIZE >> 20} MiB", _REMEDY
                )
    except zlib.error as error:
        raise ScrapeError("the heap profile is damaged: it does not unpack", _REMEDY) from error
    if not unpacker.eof:
        raise ScrapeError("the heap profile is cut short", _REMEDY)
    return memoryview(bytes(message))


def _fields(message: memoryview) -> list[tuple[int, int | memoryview]]:
    """Returns the fields of a protobuf message, numbers as int, the rest as bytes."""
    found: list[tuple[int, int | memoryview]] = []
    position = 0
    value: int | memoryview
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
            value = int.from_bytes(message[position : position + size], "little")
            position += size
        elif kind == _LENGTH:
            length, position = _varint(message, position)
            value = message[position : position + length]
            position += length
        else:
            raise ValueError("a field of an unknown kind")
        if not key >> 3 or position > len(message):
            raise ValueError("a field that is not whole")
        found.append((key >> 3, value))
    return found


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number that is too long")
