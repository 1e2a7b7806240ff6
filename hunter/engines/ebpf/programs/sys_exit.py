"""The programs at sys_exit: what a call did and returned becomes a record. Pure."""

from __future__ import annotations

from typing import Dict, Tuple

from hg_shared.records import HEAD_SIZE, Abi, Kind
from hunter.engines.ebpf import layout, plan_table
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9
from hunter.engines.ebpf.program import (
    EVENT,
    READ_KERNEL,
    SLOT,
    Program,
    Settings,
)
from hunter.engines.ebpf.programs.capture import empty_scratch
from hunter.engines.ebpf.programs.reading import Reading, find_plan
from hunter.engines.ebpf.programs.registers import arm64_arguments, x86_arguments

_PTRACE_EVENT_CLONE = 3
_CLOCK = -48
_CONTEXT = -56
_RVAL = -64
# clone, fork, vfork, clone3: the new thread returns from them too, with 0. By index of the call.
_CLONES: Dict[int, Tuple[int, ...]] = {
    Abi.X86_64: (56, 57, 58, 435, 512 | 120, 512 | 2, 512 | 190, 512 | 435),
    Abi.AARCH64: (220, 435),
}


def leave(settings: Settings, route: int = 0) -> bytes:
    """Returns the program of sys_exit: reads, and puts the record out.

    Args:
        settings: what it is made for.
        route: 0 for the program at the tracepoint; else the one that reads these plans for it.
    """
    p = Program(settings)
    p.mov(R6, R1)
    p.target()
    p.spill_slot()
    p.store(8, FP, _CONTEXT, R6)
    p.load(8, R8, R6, 8)
    p.lookup("threads")
    if route:
        p.jump_if("eq", R0, 0, "out")
        p.mov(R6, R0)
    else:
        p.jump_if("eq", R0, 0, "new")
        p.mov(R6, R0)
        p.load(8, R1, R6, layout.THREAD_CLONE)
        p.jump_if("ne", R1, 0, "cloned")
        p.label("followed")
        p.load(4, R1, R6, layout.THREAD_OPEN)
        p.jump_if("eq", R1, 0, "unseen")
        p.label("begun_before")
    p.load(4, R1, R6, layout.THREAD_OPEN)
    p.jump_if("ne", R1, layout.OPEN, "out")
    empty_scratch(p)
    p.store(8, R7, layout.SCRATCH_RVAL, R8)
    if not route:
        p.load(2, R1, R6, layout.THREAD_ROUTE)
        p.jump_if("ne", R1, 0, "routed")
    p.clock()
    _head(p)
    _captures_of_entry(p)
    p.load(2, R1, R6, layout.THREAD_PLAN)
    find_plan(p)
    forms = {
        0: (plan_table.SIGSET,),
        plan_table.EXIT_VECTORS: (plan_table.VECTOR, plan_table.MESSAGE),
        plan_table.EXIT_ENTRIES: (plan_table.ENTRIES,),
    }[route]
    Reading(p, False, forms).items()
    _put_out(p)
    p.store(4, R6, layout.THREAD_OPEN, layout.CLOSED)
    if not route:
        p.jump("out")
        p.label("routed")
        p.load(2, R4, R6, layout.THREAD_ROUTE)
        p.load(8, R1, FP, _CONTEXT)
        p.jump_if("eq", R4, plan_table.EXIT_ENTRIES, "entries")
        p.tail_call(plan_table.EXIT_VECTORS)
        p.jump("out")
        p.label("entries")
        p.tail_call(plan_table.EXIT_ENTRIES)
        p.jump("out")
        p.label("cloned")
        _cloned(p)
        p.jump("followed")
        p.label("new")
        _since(p, R1)
        p.load(8, R9, FP, SLOT)
        p.first_sight("crowded")
        p.mov(R6, R0)
        p.label("unseen")
        _take_over(p)
        p.jump("begun_before")
        p.label("crowded")
        # Only to tell whether the call is one that is recorded: then it is counted as lost.
        empty_scratch(p)
        p.mov(R6, R7)
        p.jump("unseen")
    return p.end()


def _head(p: Program) -> None:
    """Copies the head; r0 is the time of the end, r8 the return value."""
    p.load(8, R1, R6, 0)
    p.store(8, R7, layout.SCRATCH_RECORD, R1)
    p.alu("sub", R0, R1)
    p.store(8, R7, layout.SCRATCH_RECORD + 8, R0)
    p.store(8, R7, layout.SCRATCH_RECORD + 16, R8)
    for offset in range(24, 88, 8):
        p.load(8, R1, R6, offset)
        p.store(8, R7, layout.SCRATCH_RECORD + offset, R1)
    # What no capture covers is zero: it is sent with the slot and must compress to nothing.
    for offset in range(0, p.settings.slots.small, 8):
        p.store(8, R7, layout.SCRATCH_CAPTURES + offset, 0)


def _captures_of_entry(p: Program) -> None:
    """Puts what was captured at entry in front."""
    p.load(2, R2, R6, layout.THREAD_ENTRY_LENGTH)
    p.jump_if("eq", R2, 0, "begun")
    p.load(4, R1, R6, layout.THREAD_ENTRY_LARGE)
    p.jump_if("ne", R1, 0, "large_entry")
    p.jump_if("gt", R2, layout.THREAD_CAPTURES_SIZE, "begun")
    p.store(4, R7, layout.SCRATCH_USED, R2)
    p.mov(R3, R6)
    p.alu("add", R3, layout.THREAD_CAPTURES)
    p.jump("copy_entry")
    p.label("large_entry")
    p.lookup("entries")
    p.jump_if("eq", R0, 0, "begun")
    p.mov(R3, R0)
    p.load(2, R2, R6, layout.THREAD_ENTRY_LENGTH)
    p.jump_if("gt", R2, layout.ENTRY_SIZE, "begun")
    p.store(4, R7, layout.SCRATCH_USED, R2)
    p.label("copy_entry")
    p.mov(R1, R7)
    p.alu("add", R1, layout.SCRATCH_CAPTURES)
    p.call(READ_KERNEL)
    p.load(4, R1, R6, layout.THREAD_ENTRY_LARGE)
    p.jump_if("eq", R1, 0, "begun")
    p.delete("entries")
    p.label("begun")


def _put_out(p: Program) -> None:
    """Puts the record into the ring that its size chooses."""
    small, large = p.settings.slots
    p.load(4, R1, R7, layout.SCRATCH_USED)
    p.store(4, R7, layout.SCRATCH_RECORD + 84, R1)
    p.jump_if("gt", R1, small, "longer")
    p.output("small", R7, layout.SCRATCH_RECORD, HEAD_SIZE + small)
    p.jump("sent")
    p.label("longer")
    p.jump_if("gt", R1, large, "longest")
    p.mov(R2, large)
    p.alu("sub", R2, R1)
    p.jump_if("eq", R2, 0, "filled")
    p.map_value(R3, p.fds["zeroes"])
    p.alu("add", R1, R7)
    p.alu("add", R1, layout.SCRATCH_CAPTURES)
    p.call(READ_KERNEL)
    p.label("filled")
    p.output("large", R7, layout.SCRATCH_RECORD, HEAD_SIZE + large)
    p.jump("sent")
    p.label("longest")
    p.mov(R3, R1)
    p.jump_if("gt", R3, layout.MAX_USED + layout.MAX_PIECE + 8, "sent")
    p.alu("add", R3, HEAD_SIZE)
    p.output("events", R7, layout.SCRATCH_RECORD, R3)
    p.label("sent")


def _cloned(p: Program) -> None:
    """Notes the thread that this call made; r1 is when, r6 the thread, r8 the return value."""
    p.store(8, FP, _CLOCK, R1)
    p.store(8, R6, layout.THREAD_CLONE, 0)
    p.jump_if("sle", R8, 0, "followed")
    p.load(8, R9, FP, SLOT)
    p.load(4, R2, R6, 72)
    p.event(Kind.THREAD, R2, _PTRACE_EVENT_CLONE)
    p.load(8, R1, FP, _CLOCK)
    p.store(8, FP, EVENT, R1)
    p.store(8, FP, EVENT + 24, R8)
    p.send_event()


def _since(p: Program, start: str) -> None:
    """Sets a register to when calls began to be recorded, or ends where they are not yet.

    A thread that is met meanwhile stays unseen: what it is in when they are is taken over.

    Args:
        p: the program.
        start: a register, not r2.
    """
    later = p.fresh("later")
    p.map_value(R2, p.fds["state"], layout.EPOCH)
    p.load(8, start, R2)
    p.jump_if("eq", start, 0, "out")
    p.load(8, R2, FP, SLOT)
    p.load(8, R2, R2, layout.PROCESS_SINCE)
    p.jump_if("eq", R2, 0, "out")
    p.jump_if("ge", start, R2, later)
    p.mov(start, R2)
    p.label(later)


def _call_under_way(p: Program) -> None:
    """Stores arguments and ABI of the call that is about to return; r5 becomes its index.

    r6 is the thread, r8 the return value, which is kept. r7 is lost.
    """
    p.load(8, R3, FP, _CONTEXT)
    p.load(8, R3, R3, 0)
    if p.settings.kernel.abi == Abi.X86_64:
        x86_arguments(p, R6, R7, under_way=True)
    else:
        arm64_arguments(p, R6, R7, under_way=True)


def _take_over(p: Program) -> None:
    """Makes an open call of the one in which a thread was when its calls began to be recorded.

    Its start is that moment, or an earlier one that hunter knows: of a call that was in flight when
    recording paused, in which the thread has slept since. r6 is the thread, r8 the return value.
    """
    _since(p, R1)
    p.store(8, R6, 0, R1)
    _call_under_way(p)
    p.store(4, R6, layout.THREAD_OPEN, layout.CLOSED)
    p.jump_if("ge", R5, layout.CALLS, "out")
    p.jump_if("ne", R8, 0, "parent")
    for index in _CLONES[p.settings.kernel.abi]:
        p.jump_if("eq", R5, index, "out")
    p.label("parent")
    p.load(8, R9, FP, SLOT)
    p.load(4, R1, R9, layout.PROCESS_ORDINAL)
    p.store(4, R6, 76, R1)
    p.store(1, R6, 82, int(Kind.SYSCALL))
    p.mov(R1, R5)
    p.alu("and", R1, 511)
    p.store(2, R6, 80, R1)
    p.alu("lsh", R5, 4)
    p.map_value(R9, p.fds["calls"])
    p.alu("add", R9, R5)
    p.load(1, R3, R9)
    p.jump_if("set", R3, layout.CALL_WANTED, "taken_over")
    p.jump("out")
    p.label("taken_over")
    # A thread for which there was no room may have been in others since.
    p.map_value(R1, p.fds["state"], layout.CROWDED)
    p.load(4, R1, R1)
    p.jump_if("eq", R1, 0, "own")
    p.lost()
    p.jump("out")
    p.label("own")
    p.load(4, R1, R6, 72)
    p.store(8, FP, _CLOCK, R1)
    p.lookup("resumed", _CLOCK)
    p.jump_if("eq", R0, 0, "begun_at_attach")
    p.load(8, R1, R0)
    p.store(8, R6, 0, R1)
    p.label("begun_at_attach")
    p.store(4, R6, layout.THREAD_OPEN, layout.OPEN)
    p.load(1, R3, R9)
    p.jump_if("set", R3, layout.CALL_SELECTS_AT_EXIT, "begun_before")
    p.load(2, R1, R9, 4)
    p.store(2, R6, layout.THREAD_PLAN, R1)
    p.load(1, R1, R9, 7)
    p.store(2, R6, layout.THREAD_ROUTE, R1)
