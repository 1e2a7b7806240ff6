"""The part of a program that takes captures, one behind the other, into the scratch record. Pure.

Numbers that grow (bytes used) live in the scratch value, whose address is in r7, and not in a
register: what is read from memory has the same range on every path, which keeps the verifier's
work small.
"""

from __future__ import annotations

from hg_shared.records import UNREADABLE
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R7
from hunter.engines.ebpf.program import NS_PID, READ_USER, READ_USER_STRING, Program

WANT = -32
"""Where the bytes that are asked for are kept on the stack."""


def empty_scratch(p: Program) -> None:
    """R7 = this CPU's scratch value with nothing in it, or the end."""
    p.store(4, FP, NS_PID, 0)
    p.lookup("scratch", NS_PID)
    p.jump_if("eq", R0, 0, "out")
    p.mov(R7, R0)
    p.store(8, R7, layout.SCRATCH_USED, 0)
    p.store(8, R7, layout.SCRATCH_RVAL, 0)


class Capture:
    """Adds the taking of captures to a program.

    The capture's argument stands in SCRATCH_TAG. A full record goes to the label `read`.

    Args:
        program: what it is added to.
    """

    def __init__(self, program: Program) -> None:
        self._p = program

    def take(self) -> None:
        """Captures r3 bytes (their true number) at SCRATCH_ADDRESS, at most SCRATCH_CAP."""
        p = self._p
        fits, nothing, got, failed = (p.fresh(w) for w in ("fits", "nothing", "got", "failed"))
        done, short = p.fresh("done"), p.fresh("short")
        p.mov32(R4, -1)
        p.jump_if("le", R3, R4, fits)
        p.mov(R3, R4)
        p.label(fits)
        p.store(4, R7, layout.SCRATCH_LENGTH, R3)
        p.load(4, R2, R7, layout.SCRATCH_CAP)
        p.jump_if("ge", R3, R2, short)
        p.mov(R2, R3)
        p.label(short)
        p.jump_if("eq", R2, 0, nothing)
        capped = p.fresh("capped")
        p.jump_if("le", R2, layout.MAX_PIECE, capped)
        p.mov(R2, layout.MAX_PIECE)
        p.label(capped)
        p.store(8, FP, WANT, R2)
        self._place("read")
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        p.call(READ_USER)
        p.jump_if("eq", R0, 0, got)
        # What ends before a page that is not there is read up to it.
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        p.mov(R1, R3)
        p.alu("and", R1, 4095)
        p.mov(R2, 4096)
        p.alu("sub", R2, R1)
        p.load(8, R4, FP, WANT)
        p.jump_if("ge", R2, R4, failed)
        p.jump_if("eq", R2, 0, failed)
        p.jump_if("gt", R2, layout.MAX_PIECE, failed)
        p.store(8, FP, WANT, R2)
        self._place("read")
        p.call(READ_USER)
        p.jump_if("eq", R0, 0, got)
        p.label(failed)
        self.finish("")
        p.jump(done)
        p.label(nothing)
        p.mov(R4, 0)
        p.store(8, FP, WANT, R4)
        p.label(got)
        p.load(8, R4, FP, WANT)
        self.finish(R4)
        p.label(done)

    def string(self) -> None:
        """Captures the string at SCRATCH_ADDRESS, at most SCRATCH_CAP bytes of it."""
        p = self._p
        readable, whole, done = (p.fresh(w) for w in ("readable", "whole", "done"))
        p.load(4, R2, R7, layout.SCRATCH_CAP)
        capped = p.fresh("capped")
        p.jump_if("le", R2, layout.MAX_PIECE, capped)
        p.mov(R2, layout.MAX_PIECE)
        p.label(capped)
        # Two more than are kept: a NUL behind the last one makes a whole string, none a longer one.
        p.alu("add", R2, 2)
        self._place("read")
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        p.call(READ_USER_STRING)
        p.jump_if("sgt", R0, 0, readable)
        p.store(4, R7, layout.SCRATCH_LENGTH, 0)
        self.finish("")
        p.jump(done)
        p.label(readable)
        p.mov(R4, R0)
        p.alu("sub", R4, 1)
        p.load(4, R2, R7, layout.SCRATCH_CAP)
        p.jump_if("le", R4, R2, whole)
        p.mov(R4, R2)
        p.jump_if("gt", R4, layout.MAX_PIECE, "read")
        p.mov32(R3, -1)
        p.store(4, R7, layout.SCRATCH_LENGTH, R3)
        done_cut = p.fresh("cut")
        p.jump(done_cut)
        p.label(whole)
        p.store(4, R7, layout.SCRATCH_LENGTH, R4)
        p.label(done_cut)
        p.jump_if("gt", R4, layout.MAX_PIECE, "read")
        self.finish(R4)
        p.label(done)

    def hop(self, hop: int | str) -> None:
        """Sets the hop of what is captured from here on.

        Args:
            hop: its number, or the register that holds it.
        """
        self._p.store(1, R7, layout.SCRATCH_TAG + 1, hop)

    def cap(self, most: int) -> None:
        """Sets how many bytes of what is captured from here on are kept."""
        self._p.store(4, R7, layout.SCRATCH_CAP, most)

    def finish(self, size: str) -> None:
        """Writes the capture's first 8 bytes.

        Args:
            size: register with the bytes that were read, or `""` for memory that cannot be read.
        """
        p = self._p
        p.load(4, R2, R7, layout.SCRATCH_USED)
        again = p.fresh("again")
        p.jump_if("le", R2, layout.MAX_USED, again)
        p.jump("read")
        p.label(again)
        p.mov(R1, R7)
        p.alu("add", R1, R2)
        p.load(2, R3, R7, layout.SCRATCH_TAG)
        p.store(2, R1, layout.SCRATCH_CAPTURES, R3)
        if size:
            p.store(2, R1, layout.SCRATCH_CAPTURES + 2, size)
            p.alu("add", R2, size)
        else:
            p.store(2, R1, layout.SCRATCH_CAPTURES + 2, UNREADABLE)
        p.load(4, R3, R7, layout.SCRATCH_LENGTH)
        p.store(4, R1, layout.SCRATCH_CAPTURES + 4, R3)
        p.alu("add", R2, 8)
        p.store(4, R7, layout.SCRATCH_USED, R2)

    def _place(self, full: str) -> None:
        """R1 = where the next capture's bytes go, or goes to a label when the record is full."""
        p = self._p
        p.load(4, R1, R7, layout.SCRATCH_USED)
        p.jump_if("gt", R1, layout.MAX_USED, full)
        p.alu("add", R1, R7)
        p.alu("add", R1, layout.SCRATCH_CAPTURES + 8)
