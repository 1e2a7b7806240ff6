"""Captured memory: how it is held, and the texts that several argument kinds share.

A factory takes a `Place` (which argument of which call) and returns a function of the call's
arguments, its captures and its return value. Captures are a dictionary whose keys are made by
`key`; a pointer whose memory was not captured, or not whole, prints as its address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct

from gatherer.rendering.strace.args.literals import address, quote
from hg_shared.records import CAPTURE, UNREADABLE, Abi

Args = Sequence[int]
Memory = dict[int, tuple[int, bytes]]
Render = Callable[[Args, Memory, int], str]
NOTHING: Memory = {}
ENTRY = 0x8000
WORD_PAIRS = {4: Struct("<II"), 8: Struct("<QQ")}
U64 = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True)
class Place:
    """An argument of a call.

    Attributes:
        index: number of the argument.
        kind: its kind.
        direction: its direction, see hg_shared.syscalls.
        length: where its length stands, see hg_shared.syscalls.
        abi: an `Abi`.
        limit: string size, bytes.
    """

    index: int
    kind: str
    direction: str
    length: str
    abi: int
    limit: int

    @property
    def word(self) -> int:
        """Bytes of a pointer."""
        return 4 if self.abi in (Abi.I386, Abi.ARM, Abi.X32) else 8

    @property
    def key(self) -> int:
        """Key of the capture that is printed."""
        return key(self.index, 0, self.direction in ("!", "+"))


Text = Callable[[Place, int, bytes, Args, Memory, int], "str | None"]
"""Place, true length, captured bytes, arguments, captures and return value to text; None where it
is an address after all."""


def captured(least: int = 0) -> Callable[[Text], Callable[[Place], Render]]:
    """Returns the decorator that makes the factory of a pointer from the text of its memory.

    Where nothing was captured, or less than is needed, the argument prints as an address.

    Args:
        least: bytes that are needed.
    """

    def decorate(text: Text) -> Callable[[Place], Render]:
        def factory(place: Place) -> Render:
            index, wanted = place.index, place.key

            def render(args: Args, memory: Memory, rval: int) -> str:
                found = memory.get(wanted)
                if found is not None:
                    length, data = found
                    if len(data) >= least:
                        shown = text(place, length, data, args, memory, rval)
                        if shown is not None:
                            return shown
                return address(args[index])

            return render

        return factory

    return decorate


def key(arg: int, hop: int, at_entry: bool = False) -> int:
    """Returns a capture's key."""
    return (arg << 8 | ENTRY | hop) if at_entry else (arg << 8 | hop)


def decode(captures: bytes) -> Memory:
    """Returns the captures of one record by key; what could not be read is left out.

    Args:
        captures: a record's captures.
    """
    end = len(captures)
    unpack = CAPTURE.unpack_from
    if end >= 8:
        first, hop, got, length = unpack(captures)
        if got + 8 == end:
            return {first << 8 | hop: (length, captures[8:])}
    memory: Memory = {}
    at = 0
    while at + 8 <= end:
        first, hop, got, length = unpack(captures, at)
        at += 8
        if got != UNREADABLE:
            memory[first << 8 | hop] = (length, captures[at : at + got])
            at += got
    return memory


def buffer_text(length: int, data: bytes, limit: int) -> str | None:
    """Returns a buffer in quotes, with `...` behind it when it is longer than the limit.

    Args:
        length: its true length.
        data: what was captured.
        limit: string size.

    Returns:
        None when less was captured than is to be shown.
    """
    if length > limit:
        return f"{quote(data[:limit])}..." if len(data) >= limit else None
    return quote(data[:length]) if len(data) >= length else None


def string_text(length: int, data: bytes, limit: int) -> str:
    """Returns a NUL-terminated string in quotes, with `...` when it is longer than the limit."""
    if length > limit or length > len(data):
        return f"{quote(data[:limit])}..."
    return quote(data)


def array_text(parts: list[str], count: int, limit: int, pointer: int, size: int) -> str:
    """Returns an array of which the first elements are known.

    Args:
        parts: their texts.
        count: elements of the whole array.
        limit: elements that are shown at most.
        pointer: its address; where its memory ends is named when that is too early.
        size: bytes of an element.
    """
    if len(parts) < min(count, limit):
        if not parts:
            return address(pointer)
        parts.append(f"... /* {address(pointer + len(parts) * size & U64)} */")
    elif count > len(parts):
        parts.append("...")
    return f"[{', '.join(parts)}]"


def overflows(pointer: int, count: int, size: int) -> bool:
    """Returns whether an array goes beyond the last address, so that it is not looked at."""
    return pointer + count * size > U64


def whole(data: bytes, size: int) -> bytes:
    """Returns as many whole elements of a size as there are."""
    return data[: len(data) // size * size]
