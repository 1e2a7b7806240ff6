"""System calls compiled from their signatures: a record head and its captures to text.

For each form of a call three functions are compiled, one f-string each, so that the work of looking
up kinds is done once. The signature is walked once; what an argument in memory becomes is decided
by one of two back-ends. Where every text depends on the number or the captured bytes alone, the
texts of captures that were seen are remembered and nothing is decoded for them (rows). Otherwise
the captures are decoded and the kinds are given the arguments, the captures and the return value
(records).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from gatherer.rendering.strace.args import (
    files,
    ioctls,
    objects,
    pointers,
    readiness,
    sockets,
    strings,
    structs,
    vectors,
)
from gatherer.rendering.strace.args.flags import Cached
from gatherer.rendering.strace.args.literals import address, signed32
from gatherer.rendering.strace.args.memory import NOTHING, Place, Render, decode
from gatherer.rendering.strace.args.returns import Returned, plain_text, stands_alone
from gatherer.rendering.strace.args.scalars import value_formatter
from hg_shared.syscalls import AT_ENTRY, CHANGED, IN, IN_OUT, INTERRUPTED, OUT, Arg

Head = tuple[int, ...]
"""A record head as `hg_shared.records.HEAD` unpacks it."""
Kinds = Mapping[str, Callable[[Place], Render]]

TEXTS_MAX = 1024
"""Captures whose text one argument remembers."""
CAPTURE_MAX = 512
"""Bytes of the longest captures that are remembered."""

KINDS: Kinds = {
    **strings.KINDS,
    **pointers.KINDS,
    **readiness.KINDS,
    **vectors.KINDS,
    **structs.KINDS,
    **files.KINDS,
    **sockets.KINDS,
    **objects.KINDS,
    **ioctls.KINDS,
}
"""Factories of all kinds that need more than the argument's value."""
_ALONE = frozenset(
    (
        *structs.KINDS, *files.KINDS, "path", "str", "buf", "hexbuf", "cstr", "name16", "pipefds",
        "ints", "gids", "ints1", "uints1", "pids1", "uids1", "tid", "u64", "loff", "ulongs1",
        "offp", "loffp", "optlen", "sigset", "cpuset", "time_p", "timep",
    )
)  # fmt: skip
"""Kinds whose text needs the captures alone; without them it is the address."""
_SHOWN_WHEN_FAILED = frozenset(
    ("msghdr", "iovec_local", "socklen", "optlen", "offp", "loffp", "clone_args", "file_handle")
)
"""Kinds that the kernel writes and that print more than an address when a call failed."""
_SIGNED = frozenset(("int", "fd", "uint_fd", "wait_pid"))
_DECIMAL = frozenset(("size", "ulong"))
_SIGNED_LONG = frozenset(("long", "off", "off64"))
_SPREAD = frozenset(("hex", "hex32", "mmap_offset", "mmap2_offset"))
"""Kinds with too many different values to remember their texts."""
_ON_ENTRY = (IN, AT_ENTRY, CHANGED)


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a system call, and what it prints.

    Attributes:
        row: head, captures and width to `name(arguments) = value`, with the ` = ` no further left.
        entering: head and captures to what is known when the call is entered, without a closing
            parenthesis.
        resumed: head and captures to `<... name resumed>` with what `row` has behind `entering`,
            and the return value.
    """

    row: Callable[[Head, bytes, int], str]
    entering: Callable[[Head, bytes], str]
    resumed: Callable[[Head, bytes], tuple[str, str]]


@dataclass(frozen=True)
class Signature:
    """One form of a call.

    Attributes:
        name: of the call.
        args: its arguments.
        returns: kind of the return value.
        returned: prints the return value.
        abi: an `Abi`.
        limit: string size, bytes.
    """

    name: str
    args: tuple[Arg, ...]
    returns: str
    returned: Returned
    abi: int
    limit: int

    def stands_alone(self) -> bool:
        """Returns whether all texts depend on the numbers or the captured bytes alone."""
        return stands_alone(self.returned, self.returns) and not any(
            arg.kind in KINDS and arg.kind not in _ALONE for arg in self.args
        )


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


def compile_form(signature: Signature, kinds: Kinds, rows: bool) -> Form:
    """Compiles the functions of one form.

    Args:
        signature: of the form.
        kinds: factories of the kinds that need more than the argument's value.
        rows: remember the texts of captures; the signature has to stand alone.
    """
    names: dict[str, Any] = {
        "signed32": signed32, "decode": decode, "NOTHING": NOTHING,
        "errors": Errors(signature.returned), "returned": signature.returned,
        "values": Cached(lambda rval: signature.returned((), NOTHING, rval)),
    }  # fmt: skip
    parts, split = _parts(signature, kinds, rows, names)
    whole = f"{signature.name}({', '.join(parts)})"
    if split is None:
        entering, rest = whole[:-1], ")"
    else:
        entering = f"{signature.name}({', '.join(parts[:split])}{', ' if split else ''}"
        rest = f"{', '.join(parts[split:])})"
    value = "r if r >= 0 else errors[r]"
    if signature.returned is not plain_text:
        value = "values[r]" if rows else "returned(a, m, r)"
    memory = "" if rows else " a, m = h[3:9], decode(c) if c else NOTHING\n"
    ok = " ok = not -4096 < r < 0\n" if " if ok else " in whole else ""
    if rows:
        behind = f" t = f{rest!r}\n"
    else:
        # What a kind prints when it is entered may not be what it prints in the end.
        behind = f" r = 0\n e = f{entering!r}\n r = h[2]\n t = f{whole!r}\n"
        behind += " t = t[len(e):] if t.startswith(e) else ')'\n"
    source = (
        f"def row(h, c, w):\n r = h[2]\n{memory}{ok} t = f{whole!r}\n"
        f" if len(t) < w:\n  t = t.ljust(w)\n return f'{{t}} = {{{value}}}'\n"
        f"def entering(h, c):\n r = 0\n{memory} return f{entering!r}\n"
        f"def resumed(h, c):\n r = h[2]\n{memory}{ok}{behind}"
        f" return f'<... {signature.name} resumed>{{t}}', f'{{{value}}}'\n"
    )
    exec(_code(signature.name, source), names)  # noqa: S102
    return Form(names["row"], names["entering"], names["resumed"])


@lru_cache(maxsize=512)
def _code(name: str, source: str) -> CodeType:
    # The source is made of kinds and argument numbers only; nothing of a trace gets into it.
    return compile(source, f"<{name}>", "exec")


def _parts(
    signature: Signature, kinds: Kinds, rows: bool, names: dict[str, Any]
) -> tuple[list[str], int | None]:
    """Returns the placeholders of all arguments, and the first that is not known on entry."""
    parts: list[str] = []
    split: int | None = None
    for index, arg in enumerate(signature.args):
        if arg.kind == "unused":
            continue
        place = Place(index, arg.kind, arg.direction, arg.length, signature.abi, signature.limit)
        if split is None and (arg.direction not in _ON_ENTRY or arg.kind == "mmsghdr"):
            split = len(parts)
        factory = kinds.get(arg.kind)
        if factory is None:
            parts.append(_number(place, names))
        else:
            parts.append(_captured(place, factory(place), rows, names))
    return parts, split


def _number(place: Place, names: dict[str, Any]) -> str:
    """The placeholder of an argument that its value is enough for."""
    kind, value, bound = place.kind, f"h[{3 + place.index}]", f"f{place.index}"
    if kind in _SIGNED:
        return f"{{{value} if {value} < 0x80000000 else signed32({value})}}"
    if kind in _DECIMAL:
        return f"{{{value}}}"
    if kind == "uint":
        return f"{{{value} & 0xFFFFFFFF}}"
    if kind in _SIGNED_LONG:
        return f"{{{value} if {value} < 1 << 63 else {value} - (1 << 64)}}"
    if kind in ("ptr", "stack"):
        return f"{{{_pointer(value)}}}"
    formatter = value_formatter(kind, place.abi) or address
    if kind in _SPREAD:
        names[bound] = formatter
        return f"{{{bound}({value})}}"
    # A dictionary is asked faster than the function behind it.
    known = getattr(formatter, "__self__", None)
    names[bound] = known if isinstance(known, Cached) else Cached(formatter)
    return f"{{{bound}[{value}]}}"


def _captured(place: Place, render: Render, rows: bool, names: dict[str, Any]) -> str:
    """The placeholder of an argument that memory was captured for."""
    bound, pointer = f"f{place.index}", _pointer(f"h[{3 + place.index}]")
    if rows:
        names[bound] = Texts(render, place.key)
        text = f"({bound}[c] or {pointer})"
    else:
        names[bound] = render
        text = f"{bound}(a, m, r)"
    if place.kind not in _SHOWN_WHEN_FAILED:
        if place.direction in (OUT, IN_OUT):
            return f"{{{text} if ok else {pointer}}}"
        if place.direction == INTERRUPTED:
            return f"{{{pointer} if ok else {text}}}"
    return f"{{{text}}}"


def _pointer(value: str) -> str:
    return f'(hex({value}) if {value} else "NULL")'
