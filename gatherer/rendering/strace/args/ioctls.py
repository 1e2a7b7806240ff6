"""ioctl(2) commands by name, and the arguments that nothing else is known about."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from gatherer.rendering.strace.args.literals import address, hexadecimal
from gatherer.rendering.strace.args.memory import Args, Memory, Place, Render

_DIRECTIONS = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")
_names: dict[int, str] = {}
_pointers: set[int] = set()


def _read_names() -> None:
    number = 0
    for word in import_module("gatherer.rendering.strace.args.ioctl_names").NAMES.split():
        if word[0] == "=":
            number = int(word[1:], 16)
            continue
        if word[-1] == "*":
            _pointers.add(number)
        _names[number] = word.rstrip("*").replace("~", " or ")
        number += 1


def ioctl_text(value: int) -> str:
    """Returns a command by name, or taken apart as `_IOC(direction, type, number, size)`.

    Args:
        value: the argument; the kernel looks at 32 bits of it.
    """
    if not _names:
        _read_names()
    value &= 0xFFFFFFFF
    name = _names.get(value)
    if name is not None:
        return name
    return (
        f"_IOC({_DIRECTIONS[value >> 30]}, {hexadecimal(value >> 8 & 0xFF)},"
        f" {hexadecimal(value & 0xFF)}, {hexadecimal(value >> 16 & 0x3FFF)})"
    )


def argument(place: Place) -> Render:
    """The argument of a command that is not decoded further."""
    index = place.index

    def render(args: Args, _memory: Memory, _rval: int) -> str:
        if not _names:
            _read_names()
        pointer = args[1] & 0xFFFFFFFF in _pointers
        return address(args[index]) if pointer else hexadecimal(args[index])

    return render


KINDS: dict[str, Callable[[Place], Render]] = {"ioctl_arg": argument}
