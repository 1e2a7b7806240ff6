"""System calls of every ABI and number to text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gatherer.rendering.strace.args.descriptors import Descriptors
from gatherer.rendering.strace.args.literals import hexadecimal
from gatherer.rendering.strace.args.memory import NOTHING, decode, key
from gatherer.rendering.strace.args.returns import plain_text, return_text
from gatherer.rendering.strace.calls.clone import clone3_form, clone_form
from gatherer.rendering.strace.calls.compiler import KINDS, Form, Head, Signature, compile_form
from hg_shared.records import BIG_NUMBER, NUMBER_HOP
from hg_shared.syscalls import Arg, Syscall, lookup

_T = TypeVar("_T")
_NR, _ABI = 11, 13
"""Where an unpacked head has them."""


def _name(head: Head, captures: bytes) -> str:
    number = head[_NR]
    if number == BIG_NUMBER:
        held = decode(captures).get(key(0, NUMBER_HOP, True))
        number = int.from_bytes(held[1], "little") if held else number
    syscall = lookup(head[_ABI], number)
    return f"syscall_{number:#x}" if syscall is None else syscall.name


def _raw_entering(head: Head, captures: bytes) -> str:
    return f"{_name(head, captures)}({', '.join(map(hexadecimal, head[3:9]))}"


def _raw_resumed(head: Head, captures: bytes) -> tuple[str, str]:
    return f"<... {_name(head, captures)} resumed>)", plain_text((), NOTHING, head[2])


def _raw_row(head: Head, captures: bytes, width: int) -> str:
    text = f"{_raw_entering(head, captures)})"
    return f"{text.ljust(width)} = {plain_text((), NOTHING, head[2])}"


_RAW = Form(_raw_row, _raw_entering, _raw_resumed)
"""The form of calls that are not known, or that cannot be decoded: all arguments in hexadecimal."""


def _choice(selector: int, mask: int, forms: dict[int, Form], default: Form) -> Form:
    """The form of a call whose arguments depend on the value of one of them."""
    rows, default_row = {value: form.row for value, form in forms.items()}, default.row

    def row(head: Head, captures: bytes, width: int) -> str:
        return rows.get(head[selector] & mask, default_row)(head, captures, width)

    def entering(head: Head, captures: bytes) -> str:
        return forms.get(head[selector] & mask, default).entering(head, captures)

    def resumed(head: Head, captures: bytes) -> tuple[str, str]:
        return forms.get(head[selector] & mask, default).resumed(head, captures)

    return Form(row, entering, resumed)


class Made(dict[int, _T]):
    """Values by number, each made when first asked for.

    Args:
        make: makes one.
    """

    def __init__(self, make: Callable[[int], _T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, number: int) -> _T:
        made = self[number] = self._make(number)
        return made


class CallRenderer:
    """Renders the calls of any process; one serves many.

    Args:
        string_size: bytes of a string that are shown, strace's -s.
        descriptors: shows what descriptors refer to, strace's -yy; None to leave it out.

    Attributes:
        descriptors: as given.
        forms: by ABI and number; their functions may raise, `row` and the others do not.
        rows: the function `row` of each form.
        decoding: the same forms, compiled to decode all captures.
        undecoded: calls that were printed raw because their memory could not be made sense of.
    """

    def __init__(self, string_size: int = 32, descriptors: Descriptors | None = None) -> None:
        self.descriptors = descriptors
        self.undecoded = 0
        self._kinds = KINDS if descriptors is None else descriptors.kinds(KINDS)
        self._limit = string_size
        rows = descriptors is None
        self.forms = Made(lambda abi: Made(lambda nr: self._compile(abi, nr, rows)))
        self.rows = Made(lambda abi: Made(lambda nr: self.forms[abi][nr].row))
        self.decoding = Made(lambda abi: Made(lambda nr: self._compile(abi, nr, rows=False)))

    def row(self, head: Head, captures: bytes, width: int) -> str:
        """Returns `name(arguments) = value`, with the ` = ` in this column or further right.

        Args:
            head: of a SYSCALL record.
            captures: of the record.
            width: the column.
        """
        try:
            return self.forms[head[_ABI]][head[_NR]].row(head, captures, width)
        except Exception:
            return self._decoded(head, lambda form: form.row(head, captures, width))

    def resumed(self, head: Head, captures: bytes) -> tuple[str, str]:
        """Returns `<... name resumed>` with what stands behind it, and the return value.

        Args:
            head: of a SYSCALL record.
            captures: of the record.
        """
        try:
            return self.forms[head[_ABI]][head[_NR]].resumed(head, captures)
        except Exception:
            return self._decoded(head, lambda form: form.resumed(head, captures))

    def entering(self, head: Head, captures: bytes) -> str:
        """Returns what stands before ` <unfinished ...>`.

        Args:
            head: of an IN_FLIGHT or SYSCALL record.
            captures: of the record.
        """
        try:
            return self.forms[head[_ABI]][head[_NR]].entering(head, captures)
        except Exception:
            return self._decoded(head, lambda form: form.entering(head, captures), returned=False)

    def _decoded(self, head: Head, text: Callable[[Form], _T], returned: bool = True) -> _T:
        """The text of a call whose captures alone are not enough for it, raw if nothing is."""
        try:
            return text(self.decoding[head[_ABI]][head[_NR]])
        except Exception:
            # One call a decoder cannot take must not cost the log of a process.
            self.undecoded += returned  # each call once
            return text(_RAW)

    def _compile(self, abi: int, nr: int, rows: bool) -> Form:
        syscall = lookup(abi, nr)
        if syscall is None or nr == BIG_NUMBER:
            return _RAW
        if syscall.name == "clone":
            return clone_form(syscall)
        if syscall.name == "clone3":
            return clone3_form()
        default = self._form(syscall, syscall.args, syscall.returns, abi, rows)
        if syscall.selector < 0:
            return default
        forms = {
            value: self._form(syscall, args, returns, abi, rows)
            for value, (args, returns) in syscall.variants.items()
        }
        return _choice(3 + syscall.selector, syscall.mask, forms, default)

    def _form(
        self, syscall: Syscall, args: tuple[Arg, ...], returns: str, abi: int, rows: bool
    ) -> Form:
        returned = return_text(syscall, returns, abi, self._limit)
        if self.descriptors is not None:
            returned = self.descriptors.returned(returned, returns)
        signature = Signature(syscall.name, args, returns, returned, abi, self._limit)
        return compile_form(signature, self._kinds, rows and signature.stands_alone())
