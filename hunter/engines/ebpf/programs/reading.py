"""The part of a program that reads what a capture plan asks for into the scratch record. Pure.

Registers: r6 the thread's entry (arguments at 24), r7 the scratch value, r8 offset of the item in
the plan, r9 the plan.
"""

from __future__ import annotations

from hg_shared.records import AT_ENTRY
from hunter.engines.ebpf import layout, plan_table
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R5, R7, R8, R9
from hunter.engines.ebpf.program import NS_PID, READ_USER, Program
from hunter.engines.ebpf.programs.capture import WANT, Capture
from hunter.engines.ebpf.programs.forms import Forms, argument, length_argument


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
        self._capture = Capture(program)
        self._flag = AT_ENTRY if at_entry else 0
        self._at_entry = at_entry
        self._forms = forms

    def items(self) -> None:
        """Reads all items of the plan at r9."""
        p = self._p
        most = most_items(self._forms)
        made = Forms(p, self._capture, self._at_entry)
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
        argument(p, R3, R2)
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
        self._capture.take()
        p.jump("next")
        p.label("string")
        self._capture.string()
        for form in self._forms:
            p.jump("next")
            p.label(f"form{form}")
            {
                plan_table.SIGSET: made.sigset,
                plan_table.VECTOR: made.vector,
                plan_table.MESSAGE: made.message,
                plan_table.STRINGS: made.strings,
                plan_table.ENTRIES: made.entries,
                plan_table.SIGFRAME: made.sigframe,
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

    def _base(self) -> None:
        """Sets r3 to what the length is made from; r1 is the item, r4 its form."""
        p = self._p
        p.jump_if("eq", R4, plan_table.BY_RETURN, "by_return")
        length_argument(p)
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
        p.alu("add", R1, WANT)
        p.mov(R2, 4)
        p.call(READ_USER)
        p.jump_if("ne", R0, 0, "next")
        p.load(4, R3, FP, WANT)
        p.jump("sized")
        p.label("by_return")
        p.load(8, R3, R7, layout.SCRATCH_RVAL)
