"""The part of a program that reads what a capture plan asks for into the scratch record. Pure.

Registers: r6 the thread's entry (arguments at 24), r7 the scratch value, r8 offset of the item in
the plan, r9 the plan. Numbers that grow (bytes used) live in the scratch value and not in a
register: what is read from memory has the same range on every path, which keeps the verifier's
work small.
"""

from __future__ import annotations

from typing import Dict

from hg_shared.records import AT_ENTRY, UNKNOWN_LENGTH, UNREADABLE, Abi
from hunter.engines.ebpf import layout, plan_table
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9
from hunter.engines.ebpf.program import NS_PID, READ_USER, READ_USER_STRING, Program

_WANT = -32
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


def empty_scratch(p: Program) -> None:
    """R7 = this CPU's scratch value with nothing in it, or the end."""
    p.store(4, FP, NS_PID, 0)
    p.lookup("scratch", NS_PID)
    p.jump_if("eq", R0, 0, "out")
    p.mov(R7, R0)
    p.store(8, R7, layout.SCRATCH_USED, 0)
    p.store(8, R7, layout.SCRATCH_RVAL, 0)


def find_plan(p: Program) -> None:
    """R9 = the plan whose index is in r1, or label `read` when there is none."""
    p.jump_if("eq", R1, 0, "read")
    p.store(4, FP, NS_PID, R1)
    p.lookup("plans", NS_PID)
    p.jump_if("eq", R0, 0, "read")
    p.mov(R9, R0)


def most_items(forms: tuple[int, ...]) -> int:
    """Returns how many items a plan of a program may have.

    The verifier follows every turn of every loop; fewer turns let it answer in milliseconds.

    Args:
        forms: the forms beyond the simple ones that plans of this program hold.
    """
    if plan_table.ENTRIES in forms:
        return 1
    if plan_table.STRINGS in forms or plan_table.VECTOR in forms:
        return 3
    return layout.MAX_ITEMS


class Reading:
    """Adds the reading of plans to a program.

    Args:
        program: what it is added to.
        at_entry: whether the call has not run yet.
        forms: the forms beyond the simple ones that plans of this program hold.
    """

    def __init__(self, program: Program, at_entry: bool, forms: tuple[int, ...] = ()) -> None:
        self._p = program
        self._flag = AT_ENTRY if at_entry else 0
        self._at_entry = at_entry
        self._forms = forms

    def items(self) -> None:
        """Reads all items of the plan at r9."""
        p = self._p
        most = most_items(self._forms)
        p.mov(R8, 8)
        p.label("item")
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(1, R4, R1)
        p.jump_if("eq", R4, 0, "read")
        if not self._at_entry:
            self._skip_by_outcome()
        p.load(1, R2, R1, 1)
        p.alu("and", R2, 7)
        p.store(1, R7, layout.SCRATCH_TAG, R2)
        if self._flag:
            p.load(1, R3, R7, layout.SCRATCH_TAG)
            p.alu("or", R3, self._flag)
            p.store(1, R7, layout.SCRATCH_TAG, R3)
        p.store(1, R7, layout.SCRATCH_TAG + 1, 0)
        if plan_table.SIGFRAME in self._forms:
            p.jump_if("eq", R4, plan_table.SIGFRAME, f"form{plan_table.SIGFRAME}")
        self._argument(R3, R2)
        p.jump_if("eq", R3, 0, "next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R3)
        p.load(4, R5, R1, 12)
        p.store(4, R7, layout.SCRATCH_CAP, R5)
        for form in self._forms:
            if form != plan_table.SIGFRAME:
                p.jump_if("eq", R4, form, f"form{form}")
        p.jump_if("eq", R4, plan_table.AS_STRING, "string")
        self._base()
        p.label("scale")
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        p.load(4, R2, R1, 4)
        p.load(4, R4, R1, 8)
        p.alu("mul", R3, R2)
        p.alu("add", R3, R4)
        p.label("sized")
        self.take()
        p.jump("next")
        p.label("string")
        self.string()
        for form in self._forms:
            p.jump("next")
            p.label(f"form{form}")
            {
                plan_table.SIGSET: self._sigset,
                plan_table.VECTOR: self._vector_item,
                plan_table.MESSAGE: self._message,
                plan_table.STRINGS: self._strings,
                plan_table.ENTRIES: self._entries,
                plan_table.SIGFRAME: self._sigframe,
            }[form]()
        p.label("next")
        if most > 1:
            p.alu("add", R8, layout.ITEM_SIZE)
            p.jump_if("lt", R8, 8 + most * layout.ITEM_SIZE, "item")
        p.label("read")

    def _skip_by_outcome(self) -> None:
        """Goes to the next item when this one is not for a call with this outcome; r1, r4 stay."""
        p = self._p
        p.load(1, R2, R1, 3)
        p.jump_if("eq", R2, 0, "taken")
        p.load(8, R3, R7, layout.SCRATCH_RVAL)
        p.jump_if("gt", R3, -4096, "failed")
        p.jump_if("ne", R2, 1, "next")
        p.jump("taken")
        p.label("failed")
        p.jump_if("eq", R2, 1, "next")
        p.label("taken")

    def _argument(self, dst: str, number: str) -> None:
        """Dst = the argument whose number is in a register, which is lost."""
        p = self._p
        p.alu("lsh", number, 3)
        p.mov(dst, R6)
        p.alu("add", dst, number)
        p.load(8, dst, dst, 24)

    def _length_argument(self) -> None:
        """R3 = the argument that the item at r1 names as its length."""
        p = self._p
        p.load(1, R2, R1, 2)
        p.alu("and", R2, 7)
        self._argument(R3, R2)

    def _base(self) -> None:
        """Sets r3 to what the length is made from; r1 is the item, r4 its form."""
        p = self._p
        p.jump_if("eq", R4, plan_table.BY_RETURN, "by_return")
        self._length_argument()
        p.jump_if("eq", R4, plan_table.BY_ARGUMENT, "scale")
        p.jump_if("eq", R4, plan_table.BY_POINTER, "by_pointer")
        p.jump_if("eq", R4, plan_table.BY_PAGES, "by_pages")
        p.mov32(R3, R3)
        p.jump_if("eq", R4, plan_table.BY_INT_ARGUMENT, "scale")
        p.alu("add", R3, 63)
        p.alu("rsh", R3, 6)
        p.alu("lsh", R3, 3)
        p.jump("sized")
        p.label("by_pages")
        p.alu("add", R3, 4095)
        p.alu("rsh", R3, 12)
        p.jump("sized")
        p.label("by_pointer")
        p.jump_if("eq", R3, 0, "next")
        p.mov(R1, FP)
        p.alu("add", R1, _WANT)
        p.mov(R2, 4)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, "next")
        p.load(4, R3, FP, _WANT)
        p.jump("sized")
        p.label("by_return")
        p.load(8, R3, R7, layout.SCRATCH_RVAL)

    def _place(self, full: str) -> None:
        """R1 = where the next capture's bytes go, or goes to a label when the record is full."""
        p = self._p
        p.load(4, R1, R7, layout.SCRATCH_USED)
        p.jump_if("gt", R1, layout.MAX_USED, full)
        p.alu("add", R1, R7)
        p.alu("add", R1, layout.SCRATCH_CAPTURES + 8)

    def _finish(self, size: str) -> None:
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
        p.store(8, FP, _WANT, R2)
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
        p.load(8, R4, FP, _WANT)
        p.jump_if("ge", R2, R4, failed)
        p.jump_if("eq", R2, 0, failed)
        p.jump_if("gt", R2, layout.MAX_PIECE, failed)
        p.store(8, FP, _WANT, R2)
        self._place("read")
        p.call(READ_USER)
        p.jump_if("eq", R0, 0, got)
        p.label(failed)
        self._finish("")
        p.jump(done)
        p.label(nothing)
        p.mov(R4, 0)
        p.store(8, FP, _WANT, R4)
        p.label(got)
        p.load(8, R4, FP, _WANT)
        self._finish(R4)
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
        self._finish("")
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
        self._finish(R4)
        p.label(done)

    def _hop(self, hop: int | str) -> None:
        self._p.store(1, R7, layout.SCRATCH_TAG + 1, hop)

    def _cap(self, most: int) -> None:
        self._p.store(4, R7, layout.SCRATCH_CAP, most)

    def _read_pair(self, address: str, failed: str) -> None:
        """Reads the 16 bytes at an address to FP + _PAIR."""
        p = self._p
        p.mov(R3, address)
        p.mov(R1, FP)
        p.alu("add", R1, _PAIR)
        p.mov(R2, 16)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, failed)

    def _sigset(self) -> None:
        p = self._p
        p.mov(R3, 16)
        self.take()
        p.load(8, R3, R7, layout.SCRATCH_ADDRESS)
        self._read_pair(R3, "next")
        p.load(8, R1, FP, _PAIR)
        p.jump_if("eq", R1, 0, "next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self._hop(1)
        self._cap(128)
        p.load(8, R3, FP, _PAIR + 8)
        self.take()

    def _sigframe(self) -> None:
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
        self._cap(8)
        p.mov(R3, 8)
        self.take()

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

    def _vector_item(self) -> None:
        p = self._p
        self._total()
        p.mov(R1, R9)
        p.alu("add", R1, R8)
        self._length_argument()
        p.store(4, R7, layout.SCRATCH_FIRST, 1)
        p.label("vector")
        self._vector("next")

    def _vector(self, done: str) -> None:
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
        self.take()
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
        self._hop(R1)
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
        self.take()
        p.label(behind)
        p.load(8, R1, FP, _INDEX)
        p.alu("add", R1, 1)
        p.store(8, FP, _INDEX, R1)
        p.jump_if("lt", R1, SHOWN, element)

    def _message(self) -> None:
        p = self._p
        self._total()
        self._cap(56)
        p.mov(R3, 56)
        self.take()
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
        self._hop(1)
        self._cap(_NAME_MAX)
        p.load(4, R3, FP, _HEADER + 8)
        self.take()
        p.label(nameless)
        p.load(8, R1, FP, _HEADER + 32)
        p.jump_if("eq", R1, 0, plain)
        p.load(8, R3, FP, _HEADER + 40)
        p.jump_if("eq", R3, 0, plain)
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self._hop(3)
        self._cap(_CONTROL_MAX)
        self.take()
        p.label(plain)
        p.load(8, R1, FP, _HEADER + 16)
        p.jump_if("eq", R1, 0, "next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        p.load(8, R3, FP, _HEADER + 24)
        self._hop(2)
        p.store(4, R7, layout.SCRATCH_FIRST, 4)
        p.jump("vector")

    def _strings(self) -> None:
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
        self._finish("")
        p.jump("next")
        p.label(ended)
        p.load(8, R1, FP, _INDEX)
        p.store(4, R7, layout.SCRATCH_LENGTH, R1)
        p.store(4, R7, layout.SCRATCH_WORK, R1)
        p.label(counted)
        p.mov(R4, 0)
        self._finish(R4)
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
        self._hop(R1)
        self._read_pointer("next")
        p.store(8, R7, layout.SCRATCH_ADDRESS, R1)
        self.string()
        p.load(8, R1, FP, _INDEX)
        p.alu("add", R1, 1)
        p.store(8, FP, _INDEX, R1)
        p.jump_if("lt", R1, SHOWN, element)

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

    def _entries(self) -> None:
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
        self._finish(R4)
        p.jump("next")
        p.label(cut)
        p.store(4, R7, layout.SCRATCH_LENGTH, 0)
        self._finish("")
