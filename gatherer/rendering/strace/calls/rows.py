"""System calls from their rows: a record head and its captures to all of a line behind the time.

Most calls are one line and hold no memory but strings and structures whose text depends on nothing
but the captured bytes. For each number of these a function is compiled that takes the head as it
was unpacked, with no value in between, and remembers the text of captures it has seen. What it
prints is what `calls.call` prints; a call that it cannot take is rendered there.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any

from gatherer.rendering.strace.args import (
    files,
    ioctls,
    objects,
    readiness,
    sockets,
    structs,
    vectors,
)
from gatherer.rendering.strace.args.flags import Cached
from gatherer.rendering.strace.args.memory import NOTHING, Place, Render, decode
from gatherer.rendering.strace.args.pointers import KINDS as POINTER_KINDS
from gatherer.rendering.strace.args.returns import Returned, plain_text, return_text, stands_alone
from gatherer.rendering.strace.args.strings import KINDS as STRING_KINDS
from gatherer.rendering.strace.args.text import signed32
from gatherer.rendering.strace.args.values import value_formatter
from hg_shared.syscalls import IN_OUT, INTERRUPTED, OUT, Arg, Syscall, lookup

ROW = Struct("<QQq6QI4xHBBI")
"""A record head without the process: start, duration, rval, six arguments, tid, nr, kind, abi and
length of the captures."""
Head = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int]
Row = Callable[[Head, bytes, int], str]
"""Head, captures and width to `name(arguments) = value`, with the ` = ` no further left."""

TEXTS_MAX = 1024
"""Captures whose text one argument remembers."""
CAPTURE_MAX = 512
"""Bytes of the longest captures that are remembered."""

_ALONE = {
    **structs.KINDS,
    **files.KINDS,
    **{kind: STRING_KINDS[kind] for kind in ("path", "str", "buf", "hexbuf", "cstr", "name16")},
    **{
        kind: POINTER_KINDS[kind]
        for kind in (
            "pipefds", "ints", "gids", "ints1", "uints1", "pids1", "uids1", "tid", "u64", "loff",
            "ulongs1", "offp", "loffp", "optlen", "sigset", "cpuset", "time_p", "timep",
        )
    },
}  # fmt: skip
"""Kinds whose text needs the captures alone; without them it is the address."""
_GENERAL = frozenset(
    kind
    for kinds in (
        STRING_KINDS, POINTER_KINDS, readiness.KINDS, vectors.KINDS, sockets.KINDS, objects.KINDS,
        ioctls.KINDS,
    )
    for kind in kinds
)  # fmt: skip
"""Kinds that need more: other arguments, the return value, several captures."""
_ALWAYS = ("optlen", "offp", "loffp", "clone_args")
_SPREAD = frozenset(
    "size ulong long off off64 hex hex32 ptr stack mmap_offset mmap2_offset uint".split()
)
"""Kinds with too many different values to remember their texts."""


class _NoCapture(Exception):
    """A renderer asks for the address: there is no capture to print."""


class _NoArgs:
    def __getitem__(self, index: int) -> int:
        raise _NoCapture


_NO_ARGS: Any = _NoArgs()


class Texts(dict[bytes, str]):
    """The text of one argument by the captures of its record; empty when it is an address.

    Args:
        render: renders the argument.
        key: of the capture it is made of.
    """

    def __init__(self, render: Render, key: int) -> None:
        super().__init__()
        self._render = render
        self._key = key

    def __missing__(self, captures: bytes) -> str:
        memory = decode(captures) if captures else NOTHING
        try:
            text = self._render(_NO_ARGS, memory, 0)
        except _NoCapture:
            held = memory.get(self._key)
            if held is not None and held[1]:
                raise  # an array that ends early: its address is part of the text
            text = ""
        if len(captures) <= CAPTURE_MAX:
            if len(self) >= TEXTS_MAX:
                self.clear()
            self[captures] = text
        return text


class Errors(dict[int, str]):
    """The text of negative return values.

    Args:
        text: of any return value.
    """

    def __init__(self, text: Returned) -> None:
        super().__init__()
        self._text = text

    def __missing__(self, rval: int) -> str:
        text = self._text((), NOTHING, rval)
        if rval >= -4096:
            self[rval] = text
        return text


class Rows(dict[int, Row]):
    """The functions of one ABI by number, compiled when first asked for.

    Args:
        abi: an `Abi`.
        limit: string size, bytes.
        general: renders what needs more than its row.

    Attributes:
        general: as given.
    """

    def __init__(self, abi: int, limit: int, general: Row) -> None:
        super().__init__()
        self.general = general
        self._abi = abi
        self._limit = limit

    def __missing__(self, nr: int) -> Row:
        row = self[nr] = self._compile(lookup(self._abi, nr)) or self.general
        return row

    def _compile(self, syscall: Syscall | None) -> Row | None:
        if syscall is None or syscall.name in ("clone", "clone3"):
            return None
        default = _compile(syscall, syscall.args, syscall.returns, self._abi, self._limit)
        if syscall.selector < 0:
            return default
        forms = {
            value: _compile(syscall, args, returns, self._abi, self._limit) or self.general
            for value, (args, returns) in syscall.variants.items()
        }
        return _choice(3 + syscall.selector, syscall.mask, forms, default or self.general)


def _choice(selector: int, mask: int, forms: dict[int, Row], default: Row) -> Row:
    def row(head: Head, captures: bytes, width: int) -> str:
        return forms.get(head[selector] & mask, default)(head, captures, width)

    return row


def _compile(
    syscall: Syscall, args: tuple[Arg, ...], returns: str, abi: int, limit: int
) -> Row | None:
    """Compiles one form of one call; None when it needs more than its row."""
    name = syscall.name
    returned = return_text(syscall, returns, abi, limit)
    if not stands_alone(returned, returns):
        return None
    plain = returned is plain_text
    names: dict[str, Any] = {"signed32": signed32, "E": Errors(returned), "returned": returned}
    parts = []
    for index, arg in enumerate(args):
        if arg.kind == "unused":
            continue
        text = _placeholder(Place(index, arg.kind, arg.direction, arg.length, abi, limit), names)
        if text is None:
            return None
        parts.append(text)
    value = "r if r >= 0 else E[r]" if plain else "returned((), {}, r)"
    whole = f"{name}({', '.join(parts)})"
    source = (
        "def row(h, c, w):\n r = h[2]\n ok = not -4096 < r < 0\n"
        f" t = f{whole!r}\n"
        f" if len(t) < w:\n  t = t.ljust(w)\n return f'{{t}} = {{{value}}}'\n"
    )
    if " if ok else " not in whole:
        source = source.replace(" ok = not -4096 < r < 0\n", "")
    # The source is made of kinds and argument numbers only; nothing of a trace gets into it.
    exec(compile(source, f"<row of {name}>", "exec"), names)  # noqa: S102
    row: Row = names["row"]
    return row


def _placeholder(place: Place, names: dict[str, Any]) -> str | None:
    kind, index = place.kind, place.index
    value = f"h[{3 + index}]"
    pointer = f'(hex({value}) if {value} else "NULL")'
    if kind in ("int", "fd", "uint_fd", "wait_pid"):
        return f"{{{value} if {value} < 0x80000000 else signed32({value})}}"
    if kind in ("size", "ulong"):
        return f"{{{value}}}"
    if kind in ("ptr", "stack"):
        return f"{{{pointer}}}"
    factory = _ALONE.get(kind)
    bound = f"f{index}"
    if factory is not None:
        names[bound] = Texts(factory(place), place.key)
        text = f"({bound}[c] or {pointer})"
        shown_on_error = place.direction not in (OUT, IN_OUT) or (
            place.direction == IN_OUT and kind in _ALWAYS
        )
        if place.direction == INTERRUPTED:
            return f"{{{pointer} if ok else {text}}}"
        return f"{{{text}}}" if shown_on_error else f"{{{text} if ok else {pointer}}}"
    if kind in _GENERAL:
        return None
    formatter = value_formatter(kind, place.abi)
    if formatter is None:
        return None
    if kind in _SPREAD:
        names[bound] = formatter
        return f"{{{bound}({value})}}"
    # A dictionary is asked faster than the function behind it.
    known = getattr(formatter, "__self__", None)
    names[bound] = known if isinstance(known, Cached) else Cached(formatter)
    return f"{{{bound}[{value}]}}"
