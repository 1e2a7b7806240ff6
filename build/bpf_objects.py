"""Objects of BPF programs as the compiler writes them: code, and the layout of structures. Pure.

ELF: elf(5), relocations of R_BPF_64_64 (linux's Documentation/bpf/llvm_reloc.rst). BTF, the type
information: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, unpack_from
from typing import NamedTuple

_SECTION = Struct("<IIQQQQIIQQ")
_SYMBOL = Struct("<IBBHQQ")
_REL = Struct("<QQ")
_SHT_PROGBITS, _SHT_REL = 1, 9
_R_BPF_64_64 = 1
_UNDEFINED = 0
# Kinds of BTF, and the bytes of each behind its 12, or for each of its members.
_INT, _ARRAY, _STRUCT, _ENUM, _TYPEDEF, _VOLATILE, _CONST, _VAR = 1, 3, 4, 6, 8, 9, 10, 14
_BEHIND = {_INT: 4, _ARRAY: 12, _VAR: 4, 17: 4}
_MEMBER = {_STRUCT: 12, 5: 12, _ENUM: 8, 13: 8, 15: 12, 19: 12}
_CODES = {(1, False): "B", (2, False): "H", (4, False): "I", (8, False): "Q", (8, True): "q"}


class Section(NamedTuple):
    """A section of an object."""

    name: str
    type: int
    data: bytes
    link: int
    info: int


class CompiledProgram(NamedTuple):
    """A program that has not been linked.

    Attributes:
        name: under which hunter loads it.
        kind: of program, as its section says: `raw_tp`.
        code: its instructions.
        relocations: name of a map → which instructions load its address.
    """

    name: str
    kind: str
    code: bytes
    relocations: dict[str, list[int]]


def sections(elf: bytes) -> list[Section]:
    """Returns the sections of an object of 64 bits, least byte first."""
    offset, count, names_at = (*unpack_from("<Q", elf, 40), *unpack_from("<HH", elf, 60))
    heads = [_SECTION.unpack_from(elf, offset + 64 * number) for number in range(count)]
    names = heads[names_at][4]
    return [
        Section(_text(elf, names + head[0]), head[1], elf[head[4] : head[4] + head[5]], *head[6:8])
        for head in heads
    ]


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def programs(elf: bytes) -> Iterator[CompiledProgram]:
    """Yields the programs of an object, each the whole of a section `KIND/NAME`.

    Raises:
        ValueError: a program needs what is not a map: a constant, a function of its own.
    """
    found = sections(elf)
    for number, section in enumerate(found):
        kind, slash, name = section.name.partition("/")
        if section.type != _SHT_PROGBITS or not slash:
            continue
        relocations: dict[str, list[int]] = {}
        for each in found:
            if each.type == _SHT_REL and each.info == number:
                symbols = found[each.link]
                names = found[symbols.link].data
                for offset, said in _REL.iter_unpack(each.data):
                    symbol = _SYMBOL.unpack_from(symbols.data, (said >> 32) * _SYMBOL.size)
                    text = _text(names, symbol[0])
                    if said & 0xFFFFFFFF != _R_BPF_64_64 or symbol[3] != _UNDEFINED:
                        raise ValueError(f"{section.name} needs {text or 'data'}, which is no map")
                    relocations.setdefault(text, []).append(offset // 8)
        yield CompiledProgram(name, kind, section.data, relocations)


class Types:
    """The type information of an object.

    Args:
        btf: its section `.BTF`.
    """

    def __init__(self, btf: bytes) -> None:
        _, _, _, head, types, size, strings, _ = unpack_from("<HBBIIIII", btf)
        self._strings = btf[head + strings :]
        data = btf[head + types : head + types + size]
        self._types: list[tuple[str, int, int, bytes]] = [("void", 0, 0, b"")]
        at = 0
        while at < len(data):
            name, said, of = unpack_from("<III", data, at)
            kind = said >> 24 & 31
            length = _BEHIND.get(kind, 0) + _MEMBER.get(kind, 0) * (said & 0xFFFF)
            behind = data[at + 12 : at + 12 + length]
            self._types.append((_text(self._strings, name), kind, of, behind))
            at += 12 + length

    def numbers(self) -> Iterator[tuple[str, int]]:
        """Yields names and values of all enums."""
        for _, kind, _, behind in self._types:
            if kind == _ENUM:
                for name, value in Struct("<II").iter_unpack(behind):
                    yield _text(self._strings, name), value

    def structures(self) -> Iterator[tuple[str, int, dict[str, int], str | None]]:
        """Yields of each structure name, bytes, field → offset, and the form that Struct takes.

        Fields whose names begin with `unused` are left out. A structure with an array of
        structures has no form.
        """
        for number, (name, kind, size, behind) in enumerate(self._types):
            if kind == _STRUCT and name:
                fields = {}
                for text, _, bits in Struct("<III").iter_unpack(behind):
                    fields[_text(self._strings, text)] = bits // 8
                named = {key: at for key, at in fields.items() if not key.startswith("unused")}
                try:
                    form: str | None = "<" + self._form(number)
                except TypeError:
                    form = None
                yield name, size, named, form

    def _form(self, number: int) -> str:
        name, kind, of, behind = self._types[number]
        if kind in (_TYPEDEF, _VOLATILE, _CONST):
            return self._form(of)
        if kind == _INT:
            return _CODES[of, bool(behind[3] & 1)]
        if kind == _ARRAY:
            element, _, count = unpack_from("<III", behind)
            form = self._form(element)
            if len(form) > 1:
                raise TypeError(name)
            return f"{count}{'s' if form == 'B' else form}"
        parts = []
        for text, of, _ in Struct("<III").iter_unpack(behind):
            form = self._form(of)
            if _text(self._strings, text).startswith("unused"):
                form = f"{Struct('<' + form).size}x"
            parts.append(form)
        return "".join(parts)
