"""clone(2) and clone3(2), whose arguments no signature describes."""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args import structs
from gatherer.rendering.strace.args.literals import address
from gatherer.rendering.strace.args.memory import NOTHING, Memory, decode, key
from gatherer.rendering.strace.args.returns import plain_text
from gatherer.rendering.strace.args.scalars import clone_flags_text
from gatherer.rendering.strace.calls.compiler import Form, Head
from hg_shared.syscalls import Syscall

_SETTIDS = 0x00100000 | 0x1000
_CHILD_TIDS = 0x01000000 | 0x00200000
_SETTLS = 0x80000


def _form(
    name: str, entering: Callable[[Head, bytes], str], behind: Callable[[Head, bytes], str]
) -> Form:
    def resumed(head: Head, captures: bytes) -> tuple[str, str]:
        text = f"<... {name} resumed>{behind(head, captures)}"
        return text, plain_text((), NOTHING, head[2])

    def row(head: Head, captures: bytes, width: int) -> str:
        text = entering(head, captures) + behind(head, captures)
        return f"{text.ljust(width)} = {plain_text((), NOTHING, head[2])}"

    return Form(row, entering, resumed)


def clone_form(syscall: Syscall) -> Form:
    """The form of clone: an order of its own, and only those arguments its flags ask for.

    Args:
        syscall: its signature, which says where an ABI has them.
    """
    parent_at = 5
    tls_at, child_at = (7, 6) if syscall.args[3].kind == "tid" else (6, 7)

    def entering(head: Head, _captures: bytes) -> str:
        return f"clone(child_stack={address(head[4])}, flags={clone_flags_text(head[3])}"

    def behind(head: Head, captures: bytes) -> str:
        text, flags = "", head[3]
        if flags & _SETTIDS:
            held = decode(captures).get(key(2, 0))
            if held is not None and len(held[1]) >= 4 and head[2] > 0:
                parent = f"[{int.from_bytes(held[1][:4], 'little', signed=True)}]"
            else:
                parent = address(head[parent_at])
            text += f", parent_tid={parent}"
        if flags & _SETTLS:
            text += f", tls={address(head[tls_at])}"
        if flags & _CHILD_TIDS:
            text += f", child_tidptr={address(head[child_at])}"
        return f"{text})"

    return _form("clone", entering, behind)


def _int_at(found: tuple[int, bytes] | None, otherwise: int) -> int:
    if found is None or len(found[1]) < 4:
        return otherwise
    return int.from_bytes(found[1][:4], "little", signed=True)


def _given_back(memory: Memory, rval: int) -> str:
    """The fields that clone3 wrote, behind its arguments."""
    found = memory.get(key(0, 0))
    if found is None or rval <= 0:
        return ""
    flags, given = int.from_bytes(found[1][:8], "little"), []
    if flags & 0x1000 and key(0, 2) in memory:
        given.append(f"pidfd=[{_int_at(memory[key(0, 2)], -1)}]")
    if flags & 0x100000:
        given.append(f"parent_tid=[{_int_at(memory.get(key(0, 4)), rval)}]")
    return f" => {{{', '.join(given)}}}" if given else ""


def clone3_form() -> Form:
    """The form of clone3: what it was given, and behind it what it gave back."""

    def entering(head: Head, captures: bytes) -> str:
        memory = decode(captures)
        found = memory.get(key(0, 0, True)) or memory.get(key(0, 0))
        if found is None or len(found[1]) < 64:
            return f"clone3({address(head[3])}"
        return f"clone3({structs.clone_args_text(found[1].ljust(88, bytes(1)))}"

    def behind(head: Head, captures: bytes) -> str:
        return f"{_given_back(decode(captures), head[2])}, {head[4]})"

    return _form("clone3", entering, behind)
