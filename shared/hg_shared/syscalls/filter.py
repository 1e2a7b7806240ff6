"""strace's -e trace= expressions as sets of system call numbers."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Dict, FrozenSet, Set

from hg_shared.nearest import did_you_mean
from hg_shared.syscalls import numbers

_ALIASES = {"net": "network"}
_OLD_STYLE = ("desc", "file", "memory", "process", "signal", "ipc", "network")
_classes: Dict[str, Set[str]] = {}
_PREFIXES = ("trace=", "t=")


def syscall_set(expression: str, abi: int) -> FrozenSet[int]:
    """Returns the numbers that an expression selects.

    The expression is what strace's -e takes: an optional `trace=`, an optional `!` that negates,
    and a comma-separated list of names, numbers, `%class`, `/regex`, `all` and `none`. A `?` in
    front of an item says that it need not exist. A name that this ABI does not have, but another
    one has, selects nothing.

    Args:
        expression: such as `%memory,openat`.
        abi: an `Abi`.

    Raises:
        ValueError: an item is unknown or the expression is empty; the text shows a good one.
    """
    text = expression.strip()
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            text = text[len(prefix) :]
            break
    negated = text.startswith("!")
    if negated:
        text = text[1:]
    known = numbers(abi)
    everything = frozenset(known.values())
    if not text:
        raise ValueError(f"'{expression}' selects no system call; write for example %file,openat")
    selected: Set[int] = set()
    for item in _items(text):
        selected |= _select(item, known, everything, expression)
    return everything - selected if negated else frozenset(selected)


def _items(text: str) -> list[str]:
    """Splits at commas; a regular expression keeps those between braces, brackets and parens."""
    items, start, depth = [], 0, 0
    for at, char in enumerate(text):
        if char in "{[(" and text[start:].lstrip("?")[:1] == "/":
            depth += 1
        elif char in "}])":
            depth -= 1
        elif char == "," and depth <= 0:
            items.append(text[start:at])
            start, depth = at + 1, 0
    items.append(text[start:])
    return [item.strip() for item in items]


def _select(
    item: str, known: Dict[str, int], everything: FrozenSet[int], expression: str
) -> Set[int]:
    optional = item.startswith("?")
    name = item.lstrip("?")
    if name == "all":
        return set(everything)
    if name == "none":
        return set()
    if name.startswith("/"):
        try:
            pattern = re.compile(name[1:])
        except re.error as error:
            raise ValueError(
                f"'{name}' is not a regular expression ({error}); write for example /^f?stat"
            ) from error
        return {nr for known_name, nr in known.items() if pattern.search(known_name)}
    if name.startswith("%") or name in _OLD_STYLE:
        members = _class(name[1:] if name.startswith("%") else name)
        if members is not None:
            return {known[member] for member in members if member in known}
    elif name in known:
        return {known[name]}
    elif name.isdigit() and int(name) in everything:
        return {int(name)}
    elif any(name in numbers(abi) for abi in range(3)):
        return set()
    if optional:
        return set()
    if name.startswith("%"):
        near = did_you_mean(name, (f"%{one}" for one in _classes))
        raise ValueError(
            f"'{name}' is no class of system calls{near}; write for example {_examples()}"
        )
    if not name:
        raise ValueError(
            f"'{expression}' names nothing between two commas; write for example openat,read"
        )
    near = did_you_mean(name, [*known, *(f"%{one}" for one in _OLD_STYLE)])
    raise ValueError(f"'{name}' is no system call{near}; write for example openat,read or %file")


def _class(name: str) -> Set[str] | None:
    if not _classes:
        text: str = import_module("hg_shared.syscalls.classes").CLASSES
        current: Set[str] = set()
        for word in text.split():
            if word.endswith(":"):
                current = _classes.setdefault(word[:-1], set())
            else:
                current.add(word)
    return _classes.get(_ALIASES.get(name, name))


def _examples() -> str:
    return " ".join(
        f"%{name}" for name in ("memory", "file", "desc", "network", "process", "signal")
    )
