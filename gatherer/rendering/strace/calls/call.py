"""System calls: a record to the text before and behind its ` = `.

For every number a function is compiled from the call's signature when it is first met, so that the
work of looking up kinds is done once and a line costs one f-string.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
from gatherer.rendering.strace.args.descriptors import Descriptors
from gatherer.rendering.strace.args.memory import NOTHING, Args, Memory, Place, Render, decode, key
from gatherer.rendering.strace.args.returns import Returned, plain_text, return_text
from gatherer.rendering.strace.args.text import address, hexadecimal, signed32
from gatherer.rendering.strace.args.values import clone_flags_text, value_formatter
from gatherer.rendering.strace.calls.rows import Head, Rows
from hg_shared.records import BIG_NUMBER, NUMBER_HOP, Record
from hg_shared.syscalls import AT_ENTRY, CHANGED, IN, IN_OUT, INTERRUPTED, OUT, Arg, Syscall, lookup

Entering = Callable[[Args, Memory], str]

U64 = 0xFFFFFFFFFFFFFFFF
NO_RETURN = frozenset(("exit", "exit_group"))

_KINDS = {
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
Kinds = Mapping[str, Callable[[Place], Render]]
_ON_ENTRY = (IN, AT_ENTRY, CHANGED)
_SIGNED = frozenset(("int", "fd", "uint_fd", "wait_pid"))
_SHOWN_WHEN_FAILED = frozenset(
    ("msghdr", "iovec_local", "socklen", "optlen", "offp", "loffp", "clone_args", "file_handle")
)
"""Kinds that the kernel writes and that print more than an address when a call failed."""
_DECIMAL = frozenset(("size", "ulong"))


class Call(NamedTuple):
    """What one system call prints.

    Attributes:
        name: its name.
        entering: gives what is known when it is entered, without a closing parenthesis.
        whole: gives all of it, `name(arguments)`; starts with what `entering` gives.
        returned: gives its return value.
    """

    name: str
    entering: Entering
    whole: Returned
    returned: Returned


class _Choice(NamedTuple):
    selector: int
    mask: int
    calls: dict[int, Call]
    default: Call


class CallRenderer:
    """Renders the calls of any process; one serves many.

    Args:
        string_size: bytes of a string that are shown, strace's -s.
        descriptors: shows what descriptors refer to, strace's -yy; None to leave it out. Rows then
            cannot be rendered: what a descriptor refers to depends on the calls before.

    Attributes:
        descriptors: as given.
        undecoded: calls that were printed raw because their memory could not be made sense of.
    """

    def __init__(self, string_size: int = 32, descriptors: Descriptors | None = None) -> None:
        self.descriptors = descriptors
        self._kinds = descriptors.kinds(_KINDS) if descriptors is not None else None
        self.undecoded = 0
        self._limit = string_size
        self._calls: dict[int, Call | _Choice] = {}
        self._rows: dict[int, Rows] = {}

    def rows(self, abi: int) -> Rows:
        """Returns the functions that render whole rows of an ABI.

        Args:
            abi: an `Abi`.
        """
        rows = self._rows.get(abi)
        if rows is None:
            rows = self._rows[abi] = Rows(abi, self._limit, self._row)
        return rows

    def _row(self, head: Head, captures: bytes, width: int) -> str:
        args = (head[3], head[4], head[5], head[6], head[7], head[8])
        text, returned = self.call(
            Record(head[0], head[1], head[2], args, head[9], 0, head[10], 0, head[12], captures)
        )
        return f"{text.ljust(width)} = {returned}"

    def call(self, record: Record) -> tuple[str, str]:
        """Returns `name(arguments)` and the text of the return value.

        Args:
            record: a SYSCALL record.
        """
        found = self.find(record)
        memory = decode(record.captures) if record.captures else NOTHING
        args, rval = record.args, record.rval
        try:
            return found.whole(args, memory, rval), found.returned(args, memory, rval)
        except Exception:
            # One call a decoder cannot take must not cost the log of a process.
            return self._raw(found, record)

    def _raw(self, call: Call, record: Record) -> tuple[str, str]:
        self.undecoded += 1
        args = ", ".join(map(hexadecimal, record.args))
        return f"{call.name}({args})", plain_text(record.args, NOTHING, record.rval)

    def split(self, record: Record) -> tuple[str, str, str]:
        """Returns the text up to ` <unfinished ...>`, the rest of it, and the return value.

        Args:
            record: a SYSCALL record of a call that prints on two lines.
        """
        found = self.find(record)
        memory = decode(record.captures) if record.captures else NOTHING
        args, rval = record.args, record.rval
        try:
            first = found.entering(args, memory)
            whole = found.whole(args, memory, rval)
            rest = whole[len(first) :] if whole.startswith(first) else ")"
            return first, rest, found.returned(args, memory, rval)
        except Exception:
            text, returned = self._raw(found, record)
            return text[:-1], ")", returned

    def entering(self, record: Record) -> str:
        """Returns the text up to ` <unfinished ...>` of a call that has not returned.

        Args:
            record: an IN_FLIGHT record, or a SYSCALL record.
        """
        found = self.find(record)
        memory = decode(record.captures) if record.captures else NOTHING
        try:
            return found.entering(record.args, memory)
        except Exception:
            return self._raw(found, record)[0][:-1]

    def name(self, record: Record) -> str:
        """Returns the call's name."""
        return self.find(record).name

    def find(self, record: Record) -> Call:
        """Returns what the record's call prints."""
        number = record.abi << 16 | record.nr
        if record.nr == BIG_NUMBER:
            return _big(record, self._limit)
        found = self._calls.get(number)
        if found is None:
            found = _compile(record.abi, record.nr, self._limit, self.descriptors, self._kinds)
            self._calls[number] = found
        if type(found) is _Choice:
            value = record.args[found.selector] & found.mask
            return found.calls.get(value, found.default)
        return found  # type: ignore[return-value]


def _compile(
    abi: int,
    nr: int,
    limit: int,
    descriptors: Descriptors | None = None,
    kinds: Kinds | None = None,
) -> Call | _Choice:
    syscall = lookup(abi, nr)
    if syscall is None:
        return _unknown(nr, abi, limit)
    if syscall.name == "clone":
        return _clone(syscall)
    if syscall.name == "clone3":
        return _clone3()

    def call(args: tuple[Arg, ...], returns: str) -> Call:
        made = _call(syscall, args, returns, abi, limit, kinds or _KINDS)
        if descriptors is None:
            return made
        return made._replace(returned=descriptors.returned(made.returned, returns))

    default = call(syscall.args, syscall.returns)
    if syscall.selector < 0:
        return default
    calls = {value: call(args, returns) for value, (args, returns) in syscall.variants.items()}
    return _Choice(syscall.selector, syscall.mask, calls, default)


def _unknown(number: int, abi: int, limit: int) -> Call:
    unknown = Syscall(f"syscall_{number:#x}", (Arg("hex", IN, ""),) * 6, "int")
    return _call(unknown, unknown.args, "int", abi, limit)


def _big(record: Record, limit: int) -> Call:
    """A number that no table reaches and a head cannot hold; a capture has it."""
    held = decode(record.captures).get(key(0, NUMBER_HOP, True))
    number = int.from_bytes(held[1], "little") if held else BIG_NUMBER
    return _unknown(number, record.abi, limit)


def _call(
    syscall: Syscall,
    args: tuple[Arg, ...],
    returns: str,
    abi: int,
    limit: int,
    kinds: Kinds = _KINDS,
) -> Call:
    """Compiles one form of one call.

    The two functions are one f-string each, built of placeholders for every argument; numbers are
    printed in place, everything else by a function bound under a name of its own.
    """
    names: dict[str, Any] = {"address": address, "signed32": signed32}
    parts: list[str] = []
    split: int | None = None
    for index, arg in enumerate(args):
        if arg.kind == "unused":
            continue
        value = f"a[{index}]"
        if arg.kind in _SIGNED and arg.kind not in kinds:
            text = f"{{{value} if {value} < 0x80000000 else signed32({value})}}"
        elif arg.kind in _DECIMAL:
            text = f"{{{value}}}"
        elif arg.kind == "ptr":
            text = f"{{address({value})}}"
        else:
            place = Place(index, arg.kind, arg.direction, arg.length, abi, limit)
            text = _placeholder(place, names, kinds)
        if split is None and (arg.direction not in _ON_ENTRY or arg.kind == "mmsghdr"):
            split = len(parts)
        parts.append(text)
    whole = f"{syscall.name}({', '.join(parts)})"
    if split is None:
        first = whole[:-1]
    else:
        first = f"{syscall.name}({', '.join(parts[:split])}{', ' if split else ''}"
    source = (
        f"def entering(a, m, r=0, ok=True):\n return f{first!r}\n"
        f"def whole(a, m, r):\n ok = not -4096 < r < 0\n return f{whole!r}\n"
    )
    # The source is made of kinds and argument numbers only; nothing of a trace gets into it.
    exec(compile(source, f"<{syscall.name}>", "exec"), names)  # noqa: S102
    return Call(
        syscall.name, names["entering"], names["whole"], return_text(syscall, returns, abi, limit)
    )


def _placeholder(place: Place, names: dict[str, Any], kinds: Kinds) -> str:
    value = f"a[{place.index}]"
    bound = f"f{place.index}"
    factory = kinds.get(place.kind)
    if factory is None:
        names[bound] = value_formatter(place.kind, place.abi) or address
        return f"{{{bound}({value})}}"
    names[bound] = factory(place)
    text = f"{bound}(a, m, r)"
    if place.kind in _SHOWN_WHEN_FAILED:
        return f"{{{text}}}"
    if place.direction == OUT:
        return f"{{{text} if ok else address({value})}}"
    if place.direction == INTERRUPTED:
        return f"{{address({value}) if ok else {text}}}"
    if place.direction == IN_OUT:
        return f"{{{text} if ok else address({value})}}"
    return f"{{{text}}}"


_SETTIDS = 0x00100000 | 0x1000
_CHILD_TIDS = 0x01000000 | 0x00200000
_SETTLS = 0x80000


def _clone(syscall: Syscall) -> Call:
    """Clone prints its arguments in an order of its own and only those its flags ask for."""
    parent_at = 2
    tls_at, child_at = (4, 3) if syscall.args[3].kind == "tid" else (3, 4)

    def entering(args: Args, _memory: Memory) -> str:
        return f"clone(child_stack={address(args[1])}, flags={clone_flags_text(args[0])}"

    def whole(args: Args, memory: Memory, rval: int) -> str:
        text = entering(args, memory)
        flags = args[0]
        if flags & _SETTIDS:
            held = memory.get(key(parent_at, 0))
            if held is not None and len(held[1]) >= 4 and rval > 0:
                parent = f"[{int.from_bytes(held[1][:4], 'little', signed=True)}]"
            else:
                parent = address(args[parent_at])
            text += f", parent_tid={parent}"
        if flags & _SETTLS:
            text += f", tls={address(args[tls_at])}"
        if flags & _CHILD_TIDS:
            text += f", child_tidptr={address(args[child_at])}"
        return f"{text})"

    return Call("clone", entering, whole, plain_text)


def _int_at(found: tuple[int, bytes] | None, otherwise: int) -> int:
    if found is None or len(found[1]) < 4:
        return otherwise
    return int.from_bytes(found[1][:4], "little", signed=True)


def _clone3() -> Call:
    """clone3 prints what it was given, and behind it what it gave back."""
    pidfd_key, parent_key = key(0, 2), key(0, 4)

    def entering(args: Args, memory: Memory) -> str:
        found = memory.get(key(0, 0, True)) or memory.get(key(0, 0))
        if found is None or len(found[1]) < 64:
            return f"clone3({address(args[0])}"
        return f"clone3({structs.clone_args_text(found[1].ljust(88, bytes(1)))}"

    def whole(args: Args, memory: Memory, rval: int) -> str:
        text = entering(args, memory)
        found = memory.get(key(0, 0))
        if found is not None and rval > 0:
            flags = int.from_bytes(found[1][:8], "little")
            given = []
            if flags & 0x1000 and pidfd_key in memory:
                given.append(f"pidfd=[{_int_at(memory[pidfd_key], -1)}]")
            if flags & 0x100000:
                given.append(f"parent_tid=[{_int_at(memory.get(parent_key), rval)}]")
            if given:
                text += f" => {{{', '.join(given)}}}"
        return f"{text}, {args[1]})"

    return Call("clone3", entering, whole, plain_text)
