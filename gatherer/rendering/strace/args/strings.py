"""Kinds whose text is what memory holds: strings and buffers. See `args.memory`."""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args.memory import (
    U64,
    Args,
    Memory,
    Place,
    Render,
    buffer_text,
    key,
    string_text,
)
from gatherer.rendering.strace.args.text import address, escape, quote, quote_hex
from hg_shared.records import UNKNOWN_LENGTH

STRINGS_MAX = 250
"""Strings of one argument that are captured."""
_PATH_SHOWN = 4095
"""Bytes of the longest path that is shown whole, PATH_MAX without its NUL."""
_XATTR_MAX = 65536


def path(place: Place) -> Render:
    """A path: never cut by the string size."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        length, data = found
        if length <= min(len(data), _PATH_SHOWN):
            return f'"{escape(data)}"'
        return f'"{escape(data[:_PATH_SHOWN])}"...'

    return render


def string(place: Place) -> Render:
    """A NUL-terminated string, cut at the string size."""
    if place.length:
        return buffer(place)
    index, wanted, limit = place.index, place.key, place.limit

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        return address(args[index]) if found is None else string_text(*found, limit)

    return render


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


def buffer(place: Place) -> Render:
    """Bytes of a known length, cut at the string size."""
    index, wanted, limit = place.index, place.key, place.limit

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        length, data = found
        if length <= limit and len(data) == length:
            return f'"{escape(data)}"'
        text = buffer_text(length, data, limit)
        return address(args[index]) if text is None else text

    return render


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


def hex_buffer(place: Place) -> Render:
    """Bytes of a known length, all in hexadecimal."""
    index, wanted, limit = place.index, place.key, place.limit

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        length, data = found
        return quote_hex(data[:limit]) + ("..." if length > limit else "")

    return render


def c_buffer(place: Place) -> Render:
    """A path written by the kernel, its NUL counted in its length (getcwd)."""
    index, wanted, limit = place.index, place.key, place.limit

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        length, data = found
        text = quote(data.partition(b"\0")[0][:limit])
        return f"{text}..." if length - 1 > limit else text

    return render


def strings(place: Place) -> Render:
    """Argv: its pointers are captured with it, so that one to nothing can be shown."""
    index, limit, word = place.index, place.limit, place.word
    at_entry = place.direction == "!"
    head = place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(head)
        if found is None:
            return address(args[index])
        count, pointers = found
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

    return render


def string_count(place: Place) -> Render:
    """envp, abbreviated."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        count, more = found[0], ""
        if count == UNKNOWN_LENGTH and len(found[1]) == 4:
            count, more = int.from_bytes(found[1], "little"), ", unterminated"
        return f"{address(args[index])} /* {count} var{'' if count == 1 else 's'}{more} */"

    return render


def entries(place: Place) -> Render:
    """Directory entries, abbreviated to their count."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        count = found[0]
        return f"{address(args[index])} /* {count} entr{'y' if count == 1 else 'ies'} */"

    return render


def fixed_name(place: Place) -> Render:
    """char[16] of a thread name."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        name, end, _ = found[1].partition(b"\0")
        return quote(name) if end else f"{quote(name[:15])}..."

    return render


def message_buffer(place: Place) -> Render:
    """Struct msgbuf: type and text."""
    index, wanted, limit, word = place.index, place.key, place.limit, place.word

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None or len(found[1]) < word:
            return address(args[index])
        kind = int.from_bytes(found[1][:word], "little", signed=True)
        text = buffer_text(max(found[0] - word, 0), found[1][word:], limit)
        return f"{{mtype={kind}, mtext={text or address(args[index])}}}"

    return render


def key_buffer(place: Place) -> Render:
    """What keyctl wrote: as much of it as fits, which may be less than there is."""
    index, wanted, limit = place.index, place.key, place.limit

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        room = args[index + 1]
        return buffer_text(min(found[0], room), found[1], limit) or address(args[index])

    return render


def bare_character(place: Place) -> Render:
    """A single byte, printed as a string."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        return address(args[index]) if found is None else quote(found[1][:1])

    return render


def character(place: Place) -> Render:
    """A single byte."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        return address(args[index]) if found is None else f"[{quote(found[1][:1])}]"

    return render


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
