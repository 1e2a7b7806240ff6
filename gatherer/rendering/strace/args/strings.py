"""Kinds whose text is what memory holds: strings and buffers. See `args.memory`."""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args.literals import address, escape, quote, quote_hex
from gatherer.rendering.strace.args.memory import (
    U64,
    Args,
    Memory,
    Place,
    Render,
    buffer_text,
    captured,
    key,
    string_text,
)
from hg_shared.records import UNKNOWN_LENGTH

STRINGS_MAX = 250
"""Strings of one argument that are captured."""
_PATH_SHOWN = 4095
"""Bytes of the longest path that is shown whole, PATH_MAX without its NUL."""
_XATTR_MAX = 65536


@captured()
def path(_place: Place, length: int, data: bytes, *_: object) -> str:
    """A path: never cut by the string size."""
    if length <= min(len(data), _PATH_SHOWN):
        return f'"{escape(data)}"'
    return f'"{escape(data[:_PATH_SHOWN])}"...'


def string(place: Place) -> Render:
    """A NUL-terminated string, cut at the string size."""
    return buffer(place) if place.length else _ended_string(place)


@captured()
def _ended_string(place: Place, length: int, data: bytes, *_: object) -> str:
    return string_text(length, data, place.limit)


_MOUNT_CHANGES = 0x1000 | 0x2000 | 0x20000 | 0x40000 | 0x80000 | 0x100000
_MS_REMOUNT = 0x20


def mount_string(place: Place) -> Render:
    """Type and data of a mount: which of its operations look at them depends on the flags."""
    render, index = string(place), place.index
    is_type = place.kind == "mount_type"

    def used(args: Args, memory: Memory, rval: int) -> str:
        flags = args[3]
        ignored = is_type if flags & _MS_REMOUNT else flags & _MOUNT_CHANGES
        return address(args[index]) if ignored else render(args, memory, rval)

    return used


@captured()
def buffer(place: Place, length: int, data: bytes, *_: object) -> str | None:
    """Bytes of a known length, cut at the string size."""
    if length <= place.limit and len(data) == length:
        return f'"{escape(data)}"'
    return buffer_text(length, data, place.limit)


def attribute(place: Place) -> Render:
    """An extended attribute; what was only asked for its size, or is too large, is an address."""
    render = buffer(place)
    index = place.index

    def sized(args: Args, memory: Memory, rval: int) -> str:
        size = args[index + 1]
        return render(args, memory, rval) if 0 < size <= _XATTR_MAX else address(args[index])

    return sized


def attribute_value(place: Place) -> Render:
    """The value of an extended attribute: a NUL at its end is not shown."""
    render, index, wanted = attribute(place), place.index, place.key

    def ended(args: Args, memory: Memory, rval: int) -> str:
        found = memory.get(wanted)
        if found is not None and 0 < found[0] <= min(place.limit, len(found[1])):
            data = found[1][: found[0]]
            if args[index + 1] and data[-1] == 0:
                return quote(data[:-1])
        return render(args, memory, rval)

    return ended


@captured()
def hex_buffer(place: Place, length: int, data: bytes, *_: object) -> str:
    """Bytes of a known length, all in hexadecimal."""
    return quote_hex(data[: place.limit]) + ("..." if length > place.limit else "")


@captured()
def c_buffer(place: Place, length: int, data: bytes, *_: object) -> str:
    """A path written by the kernel, its NUL counted in its length (getcwd)."""
    text = quote(data.partition(b"\0")[0][: place.limit])
    return f"{text}..." if length - 1 > place.limit else text


@captured()
def strings(
    place: Place, count: int, pointers: bytes, args: Args, memory: Memory, *_: object
) -> str:
    """Argv: its pointers are captured with it, so that one to nothing can be shown."""
    index, limit, word = place.index, place.limit, place.word
    at_entry = place.direction == "!"
    parts = []
    for i in range(min(count, limit, STRINGS_MAX)):
        element = memory.get(key(index, 1 + i, at_entry))
        pointer = pointers[i * word : i * word + word]
        if element is not None:
            parts.append(string_text(*element, limit))
        elif pointer:
            parts.append(address(int.from_bytes(pointer, "little")))
        else:
            break
    if count == UNKNOWN_LENGTH and pointers and len(parts) < limit:
        end = args[index] + len(parts) * word
        return f"[{', '.join(parts)}, ... /* {address(end & U64)} */]"
    if count > len(parts):
        parts.append("...")
    return f"[{', '.join(parts)}]"


@captured()
def string_count(place: Place, length: int, data: bytes, args: Args, *_: object) -> str:
    """envp, abbreviated."""
    count, more = length, ""
    if count == UNKNOWN_LENGTH and len(data) == 4:
        count, more = int.from_bytes(data, "little"), ", unterminated"
    return f"{address(args[place.index])} /* {count} var{'' if count == 1 else 's'}{more} */"


@captured()
def entries(place: Place, length: int, _data: bytes, args: Args, *_: object) -> str:
    """Directory entries, abbreviated to their count."""
    return f"{address(args[place.index])} /* {length} entr{'y' if length == 1 else 'ies'} */"


@captured()
def fixed_name(_place: Place, _length: int, data: bytes, *_: object) -> str:
    """char[16] of a thread name."""
    name, end, _rest = data.partition(b"\0")
    return quote(name) if end else f"{quote(name[:15])}..."


@captured()
def message_buffer(place: Place, length: int, data: bytes, args: Args, *_: object) -> str | None:
    """Struct msgbuf: type and text."""
    if len(data) < place.word:
        return None
    kind = int.from_bytes(data[: place.word], "little", signed=True)
    text = buffer_text(max(length - place.word, 0), data[place.word :], place.limit)
    return f"{{mtype={kind}, mtext={text or address(args[place.index])}}}"


@captured()
def key_buffer(place: Place, length: int, data: bytes, args: Args, *_: object) -> str | None:
    """The buffer that keyctl wrote: as much of it as fits, which may be less than there is."""
    return buffer_text(min(length, args[place.index + 1]), data, place.limit)


@captured()
def bare_character(_place: Place, _length: int, data: bytes, *_: object) -> str:
    """A single byte, printed as a string."""
    return quote(data[:1])


@captured()
def character(_place: Place, _length: int, data: bytes, *_: object) -> str:
    """A single byte."""
    return f"[{quote(data[:1])}]"


KINDS: dict[str, Callable[[Place], Render]] = {
    "path": path,
    "str": string,
    "mount_type": mount_string,
    "mount_data": mount_string,
    "buf": buffer,
    "strbuf": attribute,
    "attribute": attribute_value,
    "hexbuf": hex_buffer,
    "cstr": c_buffer,
    "strings": strings,
    "envp": string_count,
    "keybuf": key_buffer,
    "bare_char": bare_character,
    "char1": character,
    "dents": entries,
    "dents64": entries,
    "name16": fixed_name,
    "msgbuf": message_buffer,
}
