"""The parts of a program that read the forms beyond the simple ones. Pure.

Registers: r6 the thread's entry (arguments at 24), r7 the scratch value, r8 offset of the item in
the plan, r9 the plan.
"""

from __future__ import annotations

from typing import Dict

from hg_shared.records import UNKNOWN_LENGTH, Abi
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R6, R7, R8, R9
from hunter.engines.ebpf.program import READ_USER, Program
from hunter.engines.ebpf.programs.capture import Capture

_INDEX = -40
_PAIR = -56
_TOTAL = -64
_LIMIT = -72
_VECTOR = -80
_HEADER = -144
CONTEXT = -160
"""Where programs at entry keep their context."""
# In struct pt_regs.
_STACK_POINTER: Dict[int, int] = {Abi.X86_64: 152, Abi.AARCH64: 248}
SCAN_STRINGS = 512
SCAN_ENTRIES = 1500
SHOWN = 32
_CONTROL_MAX = 256
_NAME_MAX = 128


def argument(p: Program, dst: str, number: str) -> None:
    """Dst = the argument whose number is in a register, which is lost."""
    p.alu("lsh", number, 3)
    p.mov(dst, R6)
    p.alu("add", dst, number)
    p.load(8, dst, dst, 24)


def length_argument(p: Program) -> None:
    """R3 = the argument that the item at r1 names as its length."""
    p.load(1, R2, R1, 2)
    p.alu("and", R2, 7)
    argument(p, R3, R2)


class Forms:
    """Adds the reading of one item of these forms to a program; each ends at the label `next`.

    Args:
        program: what it is added to.
        capture: takes captures in that program.
        at_entry: whether the call has not run yet.
    """

    def __init__(self, program: Program, capture: Capture, at_entry: bool) -> None:
        self._p = program
        self._capture = capture
        self._at_entry = at_entry

    def sigset(self) -> None:
        """Captures a struct of the address and the size of a signal set, and the set."""
        p = self._p
        p.mov(R3, 16)
        self._capture.take()
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        self._read_pair(R3, "next")
        p.load(8, R1, FP, _PAIR)
        p.jump_if("eq", R1, 0, "next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self._capture.hop(1)
        self._capture.cap(128)
        p.load(8, R3, FP, _PAIR + 8)
        self._capture.take()

    def sigframe(self) -> None:
        """Reads above the stack pointer; the context stands at CONTEXT."""
        p = self._p
        p.load(8, R3, FP, CONTEXT)
        p.load(8, R3, R3, 0)
        p.alu("add", R3, _STACK_POINTER[p.settings.kernel.abi])
        p.read_kernel(FP, _PAIR, 8)
        p.load(8, R3, FP, _PAIR)
        p.jump_if("eq", R3, 0, "next")
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(4, R2, R1, 8)
        p.alu("add", R3, R2)
        p.store(8, R7, layout.SCRATCH_ADDRESS, R3)
        self._capture.cap(8)
        p.mov(R3, 8)
        self._capture.take()

    def vector(self) -> None:
        """Captures an iovec array, whose length is an argument, and its buffers."""
        p = self._p
        self._total()
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        length_argument(p)
        p.store(4, R7, layout.SCRATCH_FIRST, 1)
        p.label("vector")
        self._buffers("next")

    def message(self) -> None:
        """Captures a struct msghdr, its name, control data, iovec array and buffers.

        The program must have `vector` too, in which this goes on.
        """
        p = self._p
        self._total()
        self._capture.cap(56)
        p.mov(R3, 56)
        self._capture.take()
        p.mov(R1, FP)
        p.alu("add", R1, _HEADER)
        p.mov(R2, 56)
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, "next")
        nameless, plain = p.fresh("nameless"), p.fresh("plain")
        p.load(8, R1, FP, _HEADER)
        p.jump_if("eq", R1, 0, nameless)
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self._capture.hop(1)
        self._capture.cap(_NAME_MAX)
        p.load(4, R3, FP, _HEADER + 8)
        self._capture.take()
        p.label(nameless)
        p.load(8, R1, FP, _HEADER + 32)
        p.jump_if("eq", R1, 0, plain)
        p.load(8, R3, FP, _HEADER + 40)
        p.jump_if("eq", R3, 0, plain)
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self._capture.hop(3)
        self._capture.cap(_CONTROL_MAX)
        self._capture.take()
        p.label(plain)
        p.load(8, R1, FP, _HEADER + 16)
        p.jump_if("eq", R1, 0, "next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        p.load(8, R3, FP, _HEADER + 24)
        self._capture.hop(2)
        p.store(4, R7, layout.SCRATCH_FIRST, 4)
        p.jump("vector")

    def strings(self) -> None:
        """Counts a NULL-terminated array of pointers and captures the first strings."""
        p = self._p
        scan, ended, cut, unreadable = (p.fresh(w) for w in ("scan", "ended", "cut", "unreadable"))
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        p.store(8, FP, _VECTOR, R3)
        p.mov(R1, 0)
        p.store(8, FP, _INDEX, R1)
        p.label(scan)
        self._read_pointer(cut)
        p.jump_if("eq", R1, 0, ended)
        p.load(8, R1, FP, _INDEX)
        p.alu("add", R1, 1)
        p.store(8, FP, _INDEX, R1)
        p.jump_if("lt", R1, SCAN_STRINGS, scan)
        p.label(cut)
        p.load(8, R1, FP, _INDEX)
        p.jump_if("eq", R1, 0, unreadable)
        p.store(4, R7, layout.SCRATCH_WORK, R1)
        p.mov32(R1, UNKNOWN_LENGTH - (1 << 32))
        p.store(4, R7, layout.SCRATCH_LENGTH, R1)
        counted = p.fresh("counted")
        p.jump(counted)
        p.label(unreadable)
        p.store(4, R7, layout.SCRATCH_LENGTH, 0)
        self._capture.finish("")
        p.jump("next")
        p.label(ended)
        p.load(8, R1, FP, _INDEX)
        p.store(4, R7, layout.SCRATCH_LENGTH, R1)
        p.store(4, R7, layout.SCRATCH_WORK, R1)
        p.label(counted)
        p.mov(R4, 0)
        self._capture.finish(R4)
        # The item's factor is how many strings are shown.
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(4, R2, R1, 4)
        p.load(4, R3, R7, layout.SCRATCH_WORK)
        fewer = p.fresh("fewer")
        p.jump_if("ge", R3, R2, fewer)
        p.mov(R2, R3)
        p.label(fewer)
        p.store(4, R7, layout.SCRATCH_WORK, R2)
        p.mov(R1, 0)
        p.store(8, FP, _INDEX, R1)
        element = p.fresh("element")
        p.label(element)
        p.load(8, R1, FP, _INDEX)
        p.load(4, R2, R7, layout.SCRATCH_WORK)
        p.jump_if("ge", R1, R2, "next")
        p.alu("add", R1, 1)
        self._capture.hop(R1)
        self._read_pointer("next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self._capture.string()
        p.load(8, R1, FP, _INDEX)
        p.alu("add", R1, 1)
        p.store(8, FP, _INDEX, R1)
        p.jump_if("lt", R1, SHOWN, element)

    def entries(self) -> None:
        """Counts directory entries by walking d_reclen; the item's factor is its offset."""
        p = self._p
        walk, end, cut = (p.fresh(w) for w in ("walk", "end", "cut"))
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(4, R8, R1, 4)
        p.mov(R2, 0)
        p.store(8, FP, _INDEX, R2)
        p.store(8, FP, _TOTAL, R2)
        p.label(walk)
        p.load(8, R1, FP, _TOTAL)
        p.load(8, R2, R7, layout.SCRATCH_RVAL)
        p.mov(R3, R1)
        p.alu("add", R3, R8)
        p.alu("add", R3, 2)
        p.jump_if("gt", R3, R2, end)
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        p.alu("add", R3, R1)
        p.alu("add", R3, R8)
        p.mov(R1, FP)
        p.alu("add", R1, _PAIR)
        p.mov(R2, 2)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, cut)
        p.load(2, R2, FP, _PAIR)
        p.mov(R3, R8)
        p.alu("add", R3, 2)
        p.jump_if("lt", R2, R3, end)
        p.load(8, R1, FP, _TOTAL)
        p.alu("add", R1, R2)
        p.store(8, FP, _TOTAL, R1)
        p.load(8, R1, FP, _INDEX)
        p.alu("add", R1, 1)
        p.store(8, FP, _INDEX, R1)
        p.jump_if("lt", R1, SCAN_ENTRIES, walk)
        p.label(end)
        p.load(8, R1, FP, _INDEX)
        p.store(4, R7, layout.SCRATCH_LENGTH, R1)
        p.mov(R4, 0)
        self._capture.finish(R4)
        p.jump("next")
        p.label(cut)
        p.store(4, R7, layout.SCRATCH_LENGTH, 0)
        self._capture.finish("")

    def _total(self) -> None:
        """Sets the bytes that all buffers may have together: the return value for out-arguments."""
        p = self._p
        p.mov(R2, -1)
        p.store(8, FP, _TOTAL, R2)
        if self._at_entry:
            return
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(1, R2, R1, 3)
        unbounded = p.fresh("unbounded")
        p.jump_if("eq", R2, 0, unbounded)
        p.load(8, R2, R7, layout.SCRATCH_RVAL)
        p.store(8, FP, _TOTAL, R2)
        p.label(unbounded)

    def _buffers(self, done: str) -> None:
        """Captures the iovec array at SCRATCH_ADDRESS of r3 elements and its buffers.

        The item says whether buffers are read (its factor) and how many bytes of each (its addend),
        and bounds the elements; SCRATCH_FIRST is the hop of the first buffer.
        """
        p = self._p
        few, some, element, behind = (p.fresh(w) for w in ("few", "some", "element", "behind"))
        p.jump_if("le", R3, 4096, few)
        p.mov(R3, 4096)
        p.label(few)
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(4, R2, R1, 12)
        p.jump_if("le", R2, R3, some)
        p.mov(R2, R3)
        p.label(some)
        p.load(4, R4, R1, 8)
        p.store(8, FP, _LIMIT, R4)
        p.load(8, R4, R7, layout.SCRATCH_ADDRESS)
        p.store(8, FP, _VECTOR, R4)
        # Elements shown, kept apart from the bytes of the array.
        p.store(4, R7, layout.SCRATCH_WORK, R2)
        p.alu("lsh", R2, 4)
        p.store(4, R7, layout.SCRATCH_CAP, R2)
        p.alu("lsh", R3, 4)
        self._capture.take()
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(4, R2, R1, 4)
        p.jump_if("eq", R2, 0, done)
        p.mov(R1, 0)
        p.store(8, FP, _INDEX, R1)
        p.label(element)
        p.load(8, R1, FP, _INDEX)
        p.load(4, R2, R7, layout.SCRATCH_WORK)
        p.jump_if("ge", R1, R2, done)
        p.load(4, R3, R7, layout.SCRATCH_FIRST)
        p.alu("add", R1, R3)
        self._capture.hop(R1)
        p.load(8, R1, FP, _INDEX)
        p.alu("lsh", R1, 4)
        p.load(8, R3, FP, _VECTOR)
        p.alu("add", R3, R1)
        self._read_pair(R3, done)
        p.load(8, R3, FP, _PAIR + 8)
        p.load(8, R2, FP, _TOTAL)
        bounded, counted = p.fresh("bounded"), p.fresh("counted")
        p.jump_if("slt", R2, 0, counted)
        p.jump_if("le", R3, R2, bounded)
        p.mov(R3, R2)
        p.label(bounded)
        p.alu("sub", R2, R3)
        p.store(8, FP, _TOTAL, R2)
        p.label(counted)
        p.load(8, R1, FP, _PAIR)
        p.jump_if("eq", R1, 0, behind)
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        p.load(8, R1, FP, _LIMIT)
        p.store(4, R7, layout.SCRATCH_CAP, R1)
        self._capture.take()
        p.label(behind)
        p.load(8, R1, FP, _INDEX)
        p.alu("add", R1, 1)
        p.store(8, FP, _INDEX, R1)
        p.jump_if("lt", R1, SHOWN, element)

    def _read_pair(self, address: str, failed: str) -> None:
        """Reads the 16 bytes at an address to FP + _PAIR."""
        p = self._p
        p.mov(R3, address)
        p.mov(R1, FP)
        p.alu("add", R1, _PAIR)
        p.mov(R2, 16)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, failed)

    def _read_pointer(self, failed: str) -> None:
        """R1 = element _INDEX of the array of pointers at _VECTOR."""
        p = self._p
        p.load(8, R1, FP, _INDEX)
        p.alu("lsh", R1, 3)
        p.load(8, R3, FP, _VECTOR)
        p.alu("add", R3, R1)
        p.mov(R1, FP)
        p.alu("add", R1, _PAIR)
        p.mov(R2, 8)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, failed)
        p.load(8, R1, FP, _PAIR)
