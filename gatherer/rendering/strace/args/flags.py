"""Flags and enumerations by name, file modes and signal sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gatherer.rendering.strace.args.literals import hexadecimal
from hg_shared.abi_flags import Table, flag_table
from hg_shared.linux_abi import signal_name
from hg_shared.records import Abi

Format = Callable[[int], str]
U32 = 0xFFFFFFFF
CACHE_MAX = 512
"""Values whose text one formatter remembers."""


class Cached(dict[int, str]):
    """A formatter that remembers: indexing it calls the function for a value not seen before."""

    def __init__(self, function: Format) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, value: int) -> str:
        text = self._function(value)
        if len(self) < CACHE_MAX:
            self[value] = text
        return text


def flag_text(value: int, names: Iterable[tuple[int, str]], default: str = "") -> str:
    """Returns flags joined with `|`, unknown bits in hexadecimal.

    Args:
        value: the flags.
        names: value and name of each flag, in printing order.
        default: comment when none of the bits has a name.
    """
    parts = []
    rest = value
    for bit, name in names:
        if rest == bit or (bit and rest & bit == bit):
            parts.append(name)
            rest &= ~bit
            if not rest:
                break
    if not parts:
        if not value:
            return "0"
        return f"{value:#x} /* {default} */" if default else hex(value)
    if rest:
        parts.append(hex(rest))
    return "|".join(parts)


def table_format(table: Table, mask: int = U32) -> Format:
    """Returns the formatter of one table.

    Args:
        table: names of flags or of an enumeration.
        mask: bits of the argument that the kernel looks at.
    """
    names, default = table.names, table.default
    if table.flags:
        return lambda value: flag_text(value & mask, names, default)
    by_value = dict(reversed(names))
    comment = f" /* {default} */" if default else ""

    def enumeration(value: int) -> str:
        value &= mask
        name = by_value.get(value)
        return name if name is not None else hexadecimal(value) + comment

    return enumeration


def named(table: str, abi: int = Abi.X86_64, mask: int = U32) -> Format:
    """Returns the formatter of a table by name; it must exist.

    Args:
        table: a table of hg_shared.abi_flags.
        abi: an `Abi`.
        mask: bits of the argument that the kernel looks at.
    """
    found = flag_table(table, abi)
    if found is None:
        raise KeyError(table)
    return Cached(table_format(found, mask)).__getitem__


def mode_text(value: int) -> str:
    """Returns permission bits in octal, at least three characters."""
    return f"0{value & U32:o}".zfill(3) if value & U32 else "000"


_FILE_TYPES = {
    0o140000: "S_IFSOCK",
    0o120000: "S_IFLNK",
    0o100000: "S_IFREG",
    0o060000: "S_IFBLK",
    0o040000: "S_IFDIR",
    0o020000: "S_IFCHR",
    0o010000: "S_IFIFO",
}


def file_mode(value: int) -> str:
    """Returns a st_mode: file type, set-id and sticky bits by name, permissions in octal."""
    value &= 0xFFFF
    kind = _FILE_TYPES.get(value & 0o170000)
    parts = []
    if kind is not None:
        parts.append(kind)
    elif value & 0o170000:
        parts.append(f"0{value & 0o170000:o}")
    for bit, name in ((0o4000, "S_ISUID"), (0o2000, "S_ISGID"), (0o1000, "S_ISVTX")):
        if value & bit:
            parts.append(name)
    parts.append(mode_text(value & 0o777))
    return "|".join(parts)


def _sigset_text(bits: int, count: int) -> str:
    inverted = bin(bits).count("1") >= count * 2 // 3
    if inverted:
        bits ^= (1 << count) - 1
    names = [signal_name(number + 1)[3:] for number in range(count) if bits >> number & 1]
    return ("~[" if inverted else "[") + " ".join(names) + "]"


def sigset_text(data: bytes) -> str:
    """Returns a sigset_t as `[INT TERM]`, or `~[…]` when two thirds of the signals are in it."""
    return _sigset_text(int.from_bytes(data[:8], "little"), min(len(data), 8) * 8)
