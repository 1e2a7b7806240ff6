"""The programs at sys_enter: which call began, and what must be read before it runs. Pure."""

from __future__ import annotations

from hg_shared.records import BIG_NUMBER, Abi, Kind
from hunter.engines.ebpf import layout, plan_table
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9
from hunter.engines.ebpf.program import (
    EVENT,
    KEY,
    MAP_UPDATE,
    NS_PID,
    READ_KERNEL,
    SLOT,
    Program,
    Settings,
)
from hunter.engines.ebpf.programs.capture import empty_scratch
from hunter.engines.ebpf.programs.forms import CONTEXT
from hunter.engines.ebpf.programs.reading import Reading, find_plan
from hunter.engines.ebpf.programs.registers import arm64_arguments, x86_arguments


def enter(settings: Settings) -> bytes:
    """Returns the program of sys_enter: notes that a call began, and with which arguments."""
    p = Program(settings)
    p.mov(R6, R1)
    p.target()
    p.load(8, R8, R6, 8)
    if settings.filtered:
        p.mov(R1, R8)
        p.alu("and", R1, 511)
        p.alu("lsh", R1, 4)
        p.map_value(R2, p.fds["calls"])
        p.alu("add", R2, R1)
        p.load(1, R3, R2)
        p.jump_if("set", R3, layout.CALL_MAYBE_WANTED, "maybe")
        p.jump("out")
        p.label("maybe")
    p.spill_slot()
    # Where there is no room for the thread its call is counted when it ends.
    p.thread("out")
    p.mov(R7, R0)
    p.load(8, R9, FP, SLOT)
    p.store(4, R7, layout.THREAD_OPEN, layout.CLOSED)
    p.clock()
    p.store(8, R7, 0, R0)
    p.load(8, R3, R6, 0)
    if settings.kernel.abi == Abi.X86_64:
        x86_arguments(p, R7, R8)
    else:
        arm64_arguments(p, R7, R8)
    # r8 is the number, r5 the index of the call.
    p.store(2, R7, 80, R8)
    p.store(1, R7, 82, int(Kind.SYSCALL))
    p.load(4, R1, R9, layout.PROCESS_ORDINAL)
    p.store(4, R7, 76, R1)
    p.store(4, R7, layout.THREAD_PLAN, 0)
    p.store(4, R7, layout.THREAD_ENTRY_PLAN, 0)
    p.store(4, R7, layout.THREAD_ENTRY_LARGE, 0)
    p.jump_if("ge", R5, layout.CALLS, "unnamed")
    p.mov(R9, R5)
    p.alu("lsh", R5, 4)
    p.map_value(R2, p.fds["calls"])
    p.alu("add", R2, R5)
    p.load(1, R3, R2)
    p.jump_if("set", R3, layout.CALL_WANTED, "wanted")
    p.jump("out")
    p.label("wanted")
    p.load(2, R4, R2, 4)
    p.store(2, R7, layout.THREAD_PLAN, R4)
    p.load(1, R4, R2, 7)
    p.store(2, R7, layout.THREAD_ROUTE, R4)
    p.load(2, R4, R2, 2)
    p.store(2, R7, layout.THREAD_ENTRY_PLAN, R4)
    p.load(1, R4, R2, 6)
    p.store(8, FP, NS_PID, R4)
    p.jump_if("set", R3, layout.CALL_SELECTS_AT_ENTRY | layout.CALL_SELECTS_AT_EXIT, "selects")
    p.label("selected")
    p.store(4, R7, layout.THREAD_OPEN, layout.OPEN)
    p.load(2, R4, R7, layout.THREAD_ENTRY_PLAN)
    p.jump_if("eq", R4, 0, "out")
    p.mov(R1, R6)
    p.load(8, R2, FP, NS_PID)
    p.jump_if("eq", R2, plan_table.ENTRY_STRINGS, "strings")
    p.tail_call(plan_table.ENTRY_SIMPLE)
    p.jump("out")
    p.label("strings")
    p.tail_call(plan_table.ENTRY_STRINGS)
    p.jump("out")
    p.label("unnamed")
    # What is beyond a record's 16 bits may not look like a call that has a name.
    p.load(1, R1, R7, 83)
    p.jump_if("eq", R1, int(Abi.X32), "short")
    p.mov(R1, R8)
    p.alu("rsh", R1, 16)
    p.jump_if("eq", R1, 0, "short")
    p.store(2, R7, 80, BIG_NUMBER)
    p.label("short")
    if not settings.filtered:
        p.store(4, R7, layout.THREAD_OPEN, layout.OPEN)
    p.jump("out")
    p.label("selects")
    _select(p)
    return p.end()


def _select(p: Program) -> None:
    """Looks up the plans that an argument selects; r9 is the index of the call, r2 the call."""
    p.load(1, R1, R2, 1)
    p.alu("and", R1, 7)
    p.alu("lsh", R1, 3)
    p.mov(R4, R7)
    p.alu("add", R4, R1)
    p.load(4, R4, R4, 24)
    p.load(4, R1, R2, 8)
    p.alu("and", R4, R1)
    p.store(4, FP, EVENT + 4, R4)
    p.store(4, FP, EVENT, R9)
    p.jump_if("set", R3, layout.CALL_SELECTS_AT_ENTRY, "at_entry")
    p.label("select_exit")
    p.mov(R1, R9)
    p.alu("or", R1, 1 << 16)
    p.store(4, FP, EVENT, R1)
    p.lookup("selections", EVENT)
    p.jump_if("eq", R0, 0, "selected")
    p.load(2, R1, R0)
    p.store(2, R7, layout.THREAD_PLAN, R1)
    p.load(2, R1, R0, 2)
    p.store(2, R7, layout.THREAD_ROUTE, R1)
    p.jump("selected")
    p.label("at_entry")
    p.lookup("selections", EVENT)
    p.jump_if("eq", R0, 0, "select_exit")
    p.load(2, R1, R0)
    p.store(2, R7, layout.THREAD_ENTRY_PLAN, R1)
    p.load(2, R1, R0, 2)
    p.store(8, FP, NS_PID, R1)
    p.jump("select_exit")


def entry_captures(settings: Settings, strings: bool) -> bytes:
    """Returns the program that goes on at sys_enter where memory must be read before the call.

    Args:
        settings: what it is made for.
        strings: for execve.
    """
    p = Program(settings)
    p.store(8, FP, CONTEXT, R1)
    p.target()
    p.spill_slot()
    p.lookup("threads")
    p.jump_if("eq", R0, 0, "out")
    p.mov(R6, R0)
    empty_scratch(p)
    p.load(2, R1, R6, layout.THREAD_ENTRY_PLAN)
    find_plan(p)
    forms = (plan_table.STRINGS,) if strings else (plan_table.SIGSET, plan_table.SIGFRAME)
    Reading(p, True, forms).items()
    p.load(4, R2, R7, layout.SCRATCH_USED)
    p.jump_if("eq", R2, 0, "out")
    p.jump_if("gt", R2, layout.THREAD_CAPTURES_SIZE, "large")
    p.store(2, R6, layout.THREAD_ENTRY_LENGTH, R2)
    p.mov(R1, R6)
    p.alu("add", R1, layout.THREAD_CAPTURES)
    p.mov(R3, R7)
    p.alu("add", R3, layout.SCRATCH_CAPTURES)
    p.call(READ_KERNEL)
    p.jump("out")
    p.label("large")
    p.jump_if("gt", R2, layout.ENTRY_SIZE, "out")
    p.store(2, R6, layout.THREAD_ENTRY_LENGTH, R2)
    p.map(R1, p.fds["entries"])
    p.mov(R2, FP)
    p.alu("add", R2, KEY)
    p.mov(R3, R7)
    p.alu("add", R3, layout.SCRATCH_CAPTURES)
    p.mov(R4, 0)
    p.call(MAP_UPDATE)
    p.jump_if("eq", R0, 0, "stored")
    p.store(2, R6, layout.THREAD_ENTRY_LENGTH, 0)
    p.jump("out")
    p.label("stored")
    p.store(4, R6, layout.THREAD_ENTRY_LARGE, 1)
    return p.end()
