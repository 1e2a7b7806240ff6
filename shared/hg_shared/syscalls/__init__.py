"""Syscall tables: the name of every system call and the kinds of its arguments, by ABI and number.

`lookup` is the one entrance. Numbers come from generated tables (x86_64.py, aarch64.py, i386.py),
signatures from one text by name (signatures.py); both are parsed when first asked for, because
hunter compiles and imports this at every start inside somebody else's container.
"""

from __future__ import annotations

from importlib import import_module
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from hg_shared.records import Abi

IN = ""
AT_ENTRY = "!"
CHANGED = "+"
IN_OUT = "="
OUT = "<"
INTERRUPTED = "~"

_MODULES: Dict[int, str] = {Abi.X86_64: "x86_64", Abi.AARCH64: "aarch64", Abi.I386: "i386"}
_names: Dict[int, List[Optional[str]]] = {}
_numbers: Dict[int, Dict[str, int]] = {}
_lines: Dict[str, str] = {}
_variants: Dict[str, List[Tuple[Tuple[int, ...], str]]] = {}
_parsed: Dict[Tuple[str, int], Syscall] = {}


class Arg(NamedTuple):
    """One argument.

    Attributes:
        kind: what it is, such as `fd`, `path`, `stat`; see signatures.py.
        direction: `IN`, `AT_ENTRY`, `CHANGED`, `IN_OUT`, `OUT` or `INTERRUPTED`.
        length: where the length of its memory stands: `"2"` argument 2, `"*2"` what argument 2
            points to, `"r"` the return value, empty when the kind says it.
    """

    kind: str
    direction: str
    length: str


class Syscall(NamedTuple):
    """One system call of one ABI.

    Attributes:
        name: as strace prints it.
        args: its arguments.
        returns: kind of the return value.
        selector: argument that decides what the others are, -1 when none does.
        mask: bits of the selector that count.
        variants: selector value → arguments and kind of the return value.
    """

    name: str
    args: Tuple[Arg, ...]
    returns: str
    selector: int = -1
    mask: int = 0
    variants: Mapping[int, Tuple[Tuple[Arg, ...], str]] = {}


def names(abi: int) -> List[Optional[str]]:
    """Returns the names of an ABI's system calls, indexed by number; None where there is none.

    Args:
        abi: an `Abi`; one without a table has no names.
    """
    table = _names.get(abi)
    if table is None:
        table = []
        module = _MODULES.get(abi)
        if module is not None:
            text: str = import_module(f"{__name__}.{module}").NAMES
            for word in text.split():
                if word[0] == "=":
                    table.extend([None] * (int(word[1:]) - len(table)))
                else:
                    table.append(word)
        _names[abi] = table
    return table


def numbers(abi: int) -> Dict[str, int]:
    """Returns name → number of an ABI's system calls.

    Args:
        abi: an `Abi`.
    """
    table = _numbers.get(abi)
    if table is None:
        table = {name: nr for nr, name in enumerate(names(abi)) if name is not None}
        _numbers[abi] = table
    return table


def lookup(abi: int, nr: int) -> Optional[Syscall]:
    """Returns the system call of this number, None when the ABI has none.

    Args:
        abi: an `Abi`.
        nr: syscall number.
    """
    table = names(abi)
    if not 0 <= nr < len(table):
        return None
    name = table[nr]
    return None if name is None else signature(name, abi)


def signature(name: str, abi: int) -> Syscall:
    """Returns the signature of a name; six hexadecimal arguments when it is not described.

    Args:
        name: name of a system call.
        abi: an `Abi`.
    """
    key = (name, abi)
    parsed = _parsed.get(key)
    if parsed is None:
        if not _lines:
            _read_lines()
        special = f"{name}/{_MODULES.get(abi)}"
        line = _lines.get(special)
        if line is None:
            line = _lines.get(name, "hex hex hex hex hex hex")
        parsed = _parsed[key] = _parse(name, line, _variants.get(name, []))
    return parsed


def _read_lines() -> None:
    text = import_module(f"{__name__}.signatures").TEXT
    for line in text.splitlines():
        head, _, rest = line.partition(" ")
        head, _, values = head.partition("=")
        for name in head.split(","):
            if values:
                numbers_ = tuple(int(value, 0) for value in values.split(","))
                _variants.setdefault(name, []).append((numbers_, rest))
            else:
                _lines[name] = rest


def _parse(name: str, line: str, variants: List[Tuple[Tuple[int, ...], str]]) -> Syscall:
    selector, mask = -1, 0
    if line.startswith("?"):
        head, _, line = line[1:].partition(" ")
        position, _, bits = head.partition("&")
        selector = int(position)
        mask = int(bits, 0) if bits else 0xFFFFFFFF
    args, returns = _arguments(line)
    by_value: Dict[int, Tuple[Tuple[Arg, ...], str]] = {}
    if selector >= 0:
        for values, rest in variants:
            parsed = _arguments(rest)
            for value in values:
                by_value[value] = parsed
    return Syscall(name, args, returns, selector, mask, by_value)


def _arguments(line: str) -> Tuple[Tuple[Arg, ...], str]:
    line, _, returns = line.partition("->")
    args = []
    for word in line.split():
        direction = word[0] if word[0] in "!+=<~" else ""
        kind, _, length = word[len(direction) :].partition(":")
        args.append(Arg(kind, direction, length))
    return tuple(args), returns.strip() or "int"
