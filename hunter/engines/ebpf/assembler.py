"""An assembler of eBPF instructions. Pure.

An instruction is 8 bytes: opcode, destination and source register in one byte, a signed 16-bit
offset, a signed 32-bit immediate (Documentation/bpf/standardization/instruction-set.rst). Jumps
name labels, which are resolved at the end.
"""

from __future__ import annotations

from struct import Struct
from typing import Dict, List, Tuple, Union

_INSTRUCTION = Struct("<BBhi")
_WIDTHS = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_OPERATIONS = {
    "add": 0x00, "sub": 0x10, "mul": 0x20, "div": 0x30, "or": 0x40, "and": 0x50, "lsh": 0x60,
    "rsh": 0x70, "mov": 0xB0,
}  # fmt: skip
_JUMPS = {
    "eq": 0x10, "gt": 0x20, "ge": 0x30, "set": 0x40, "ne": 0x50, "sgt": 0x60, "sge": 0x70,
    "lt": 0xA0, "le": 0xB0, "slt": 0xC0, "sle": 0xD0,
}  # fmt: skip
_MAP_FD = 1
_MAP_VALUE = 2

Operand = Union[int, str]

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP = (f"r{number}" for number in range(11))


def _register(name: str) -> int:
    return int(name[1:])


class Assembler:
    """Builds one program, instruction by instruction.

    Registers are named `r0` to `r10`; an operand that is an int is an immediate.
    """

    def __init__(self) -> None:
        self._code: List[bytes] = []
        self._labels: Dict[str, int] = {}
        self._jumps: List[Tuple[int, str, int, int, int]] = []
        self._fresh = 0

    def __len__(self) -> int:
        return len(self._code)

    def fresh(self, word: str) -> str:
        """Returns a label that no other has.

        Args:
            word: what it begins with.
        """
        self._fresh += 1
        return f"{word}.{self._fresh}"

    def label(self, name: str) -> None:
        """Names the next instruction."""
        if name in self._labels:
            raise ValueError(f"label {name} is there twice")
        self._labels[name] = len(self._code)

    def _emit(self, opcode: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> None:
        if imm >= 1 << 31:
            imm -= 1 << 32
        self._code.append(_INSTRUCTION.pack(opcode, dst | src << 4, offset, imm))

    def alu(self, operation: str, dst: str, operand: Operand) -> None:
        """Dst = dst operation operand, 64 bits; a negative immediate is extended."""
        opcode = 0x07 | _OPERATIONS[operation]
        if isinstance(operand, str):
            self._emit(opcode | 0x08, _register(dst), _register(operand))
        else:
            self._emit(opcode, _register(dst), imm=operand)

    def mov(self, dst: str, operand: Operand) -> None:
        """Dst = operand."""
        self.alu("mov", dst, operand)

    def mov32(self, dst: str, operand: Operand) -> None:
        """Dst = the low 32 bits of operand."""
        if isinstance(operand, str):
            self._emit(0xBC, _register(dst), _register(operand))
        else:
            self._emit(0xB4, _register(dst), imm=operand)

    def load(self, width: int, dst: str, base: str, offset: int = 0) -> None:
        """Dst = width bytes at base + offset, zero-extended."""
        self._emit(0x61 | _WIDTHS[width], _register(dst), _register(base), offset)

    def store(self, width: int, base: str, offset: int, operand: Operand) -> None:
        """Width bytes at base + offset = operand."""
        if isinstance(operand, str):
            self._emit(0x63 | _WIDTHS[width], _register(base), _register(operand), offset)
        else:
            self._emit(0x62 | _WIDTHS[width], _register(base), 0, offset, operand)

    def atomic_add(self, base: str, offset: int, src: str) -> None:
        """The 8 bytes at base + offset += src, atomically."""
        self._emit(0xDB, _register(base), _register(src), offset)

    def constant(self, dst: str, value: int) -> None:
        """Dst = a 64-bit constant."""
        self._wide(dst, 0, value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)

    def map(self, dst: str, fd: int) -> None:
        """Dst = the map of a file descriptor."""
        self._wide(dst, _MAP_FD, fd, 0)

    def map_value(self, dst: str, fd: int, offset: int = 0) -> None:
        """Dst = address of the only value of an array map, plus offset (kernel 5.2)."""
        self._wide(dst, _MAP_VALUE, fd, offset)

    def _wide(self, dst: str, src: int, low: int, high: int) -> None:
        self._emit(0x18, _register(dst), src, 0, low)
        self._emit(0, 0, 0, 0, high)

    def call(self, helper: int) -> None:
        """R0 = helper(r1, …, r5); r1 to r5 are lost (bpf-helpers(7))."""
        self._emit(0x85, imm=helper)

    def jump(self, label: str) -> None:
        """Goes on at a label; left out where nothing can arrive, which the verifier refuses."""
        at = len(self._code)
        last = self._jumps[-1] if self._jumps else None
        if last and last[0] == at - 1 and last[2] == 0x05 and at not in self._labels.values():
            return
        self._jumps.append((len(self._code), label, 0x05, 0, 0))
        self._code.append(b"")

    def jump_if(self, condition: str, dst: str, operand: Operand, label: str) -> None:
        """Goes on at a label if a condition holds; without sign unless it begins with s.

        Args:
            condition: eq, ne, gt, ge, lt, le, sgt, sge, slt, sle, or set (any bit in common).
            dst: register on its left side.
            operand: register or immediate on its right side.
            label: where to.
        """
        opcode = 0x05 | _JUMPS[condition]
        if isinstance(operand, str):
            place = (len(self._code), label, opcode | 0x08, int(dst[1:]) | int(operand[1:]) << 4, 0)
        else:
            place = (len(self._code), label, opcode, int(dst[1:]), operand)
        self._jumps.append(place)
        self._code.append(b"")

    def exit(self, value: int = 0) -> None:
        """Ends the program."""
        self.mov(R0, value)
        self._emit(0x95)

    def code(self) -> bytes:
        """Returns the program.

        Raises:
            KeyError: a jump names a label that is not there.
        """
        code = list(self._code)
        for at, label, opcode, registers, imm in self._jumps:
            offset = self._labels[label] - at - 1
            if imm >= 1 << 31:
                imm -= 1 << 32
            code[at] = _INSTRUCTION.pack(opcode, registers, offset, imm)
        return b"".join(code)
