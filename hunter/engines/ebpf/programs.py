"""The programs at the tracepoints. Pure.

A raw tracepoint's context is an array of the tracepoint's arguments (TP_PROTO, linux's
include/trace/events): sys_enter(regs, id), sys_exit(regs, ret), task_newtask(task, clone_flags),
sched_process_exec(task, old_pid, bprm), sched_process_exit(task), signal_deliver(sig, info, ka),
signal_generate(sig, info, task, group, result).
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

from hg_shared.records import BIG_NUMBER, HEAD_SIZE, Abi, Kind
from hunter.engines.ebpf import layout, plan_table
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9
from hunter.engines.ebpf.program import (
    CURRENT_COMM,
    CURRENT_NS_PID_TGID,
    CURRENT_PID_TGID,
    CURRENT_TASK,
    EVENT,
    EVENT_CAPTURES,
    KEY,
    KTIME_GET_NS,
    MAP_POP,
    MAP_UPDATE,
    NS_PID,
    READ_KERNEL,
    SLOT,
    Program,
    Settings,
)
from hunter.engines.ebpf.reading import CONTEXT, Reading

_PTRACE_EVENT_CLONE = 3
_CLONE_THREAD = 0x10000
_SIGKILL = 9
_SIGINFO = 128
_KERNEL_SIGINFO = 48
_SIGNAL_IGNORED = 1
_X32_BIT = 0x40000000
_USER32_CS = 0x23
# Arguments in struct pt_regs (x86/include/asm/ptrace.h), read from bp on as one piece.
_X86_FIRST, _X86_SIZE, _X86_CS = 32, 112, 104
_X86_NATIVE = (80, 72, 64, 24, 40, 32)
_X86_COMPAT = (8, 56, 64, 72, 80, 0)
_REGISTERS = -256
_COMPAT_WORD = -40
_CLOCK = -48
_CONTEXT = -56
# In a gap above the record on the stack.
_RESULT = -24
_X86_NUMBER = 88
_ARM64_ORIG_X0 = 272
# clone, fork, vfork, clone3: the new thread returns from them too, with 0.
_CLONES: Dict[int, Tuple[int, ...]] = {Abi.X86_64: (56, 57, 58, 435), Abi.AARCH64: (220, 435)}
CALIBRATION_SIZE = 8192
"""Bytes of a task_struct that are looked at to find pid, tgid and exit_code."""
_CALIBRATION_HEAD = 16


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
    p.thread()
    p.mov(R7, R0)
    p.load(8, R9, FP, SLOT)
    p.store(4, R7, layout.THREAD_OPEN, 0)
    p.call(KTIME_GET_NS)
    p.store(8, R7, 0, R0)
    if settings.kernel.abi == Abi.X86_64:
        _x86_arguments(p)
    else:
        _arm64_arguments(p)
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
    p.store(4, R7, layout.THREAD_OPEN, 1)
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
        p.store(4, R7, layout.THREAD_OPEN, 1)
    p.jump("out")
    p.label("selects")
    _select(p)
    return p.end()


def _x86_arguments(p: Program) -> None:
    """Stores arguments and ABI; r8 becomes the number, r5 the index of the call."""
    p.load(8, R3, R6, 0)
    p.alu("add", R3, _X86_FIRST)
    p.read_kernel(FP, _REGISTERS, _X86_SIZE)
    p.load(2, R1, FP, _REGISTERS + _X86_CS)
    p.jump_if("eq", R1, _USER32_CS, "compat")
    # int 0x80 in a 64-bit program: only the task knows.
    p.call(CURRENT_TASK)
    p.mov(R3, R0)
    p.alu("add", R3, p.settings.kernel.compat_offset)
    p.read_kernel(FP, _COMPAT_WORD, 4)
    p.load(4, R1, FP, _COMPAT_WORD)
    p.jump_if("set", R1, p.settings.kernel.compat_bit, "compat")
    for number, offset in enumerate(_X86_NATIVE):
        p.load(8, R1, FP, _REGISTERS + offset)
        p.store(8, R7, 24 + 8 * number, R1)
    p.mov(R5, R8)
    p.jump_if("set", R8, _X32_BIT, "x32")
    p.store(1, R7, 83, int(Abi.X86_64))
    p.jump_if("lt", R5, 512, "called")
    p.mov(R5, layout.CALLS)
    p.jump("called")
    p.label("x32")
    p.store(1, R7, 83, int(Abi.X32))
    p.mov(R5, layout.CALLS)
    p.jump("called")
    p.label("compat")
    for number, offset in enumerate(_X86_COMPAT):
        p.load(4, R1, FP, _REGISTERS + offset)
        p.store(8, R7, 24 + 8 * number, R1)
    p.store(1, R7, 83, int(Abi.I386))
    p.mov32(R5, R8)
    p.jump_if("lt", R5, 512, "compat_index")
    p.mov(R5, layout.CALLS)
    p.jump("called")
    p.label("compat_index")
    p.alu("or", R5, 512)
    p.label("called")


def _arm64_arguments(p: Program) -> None:
    """The same for struct user_pt_regs, which begins with x0 to x30."""
    p.load(8, R3, R6, 0)
    p.read_kernel(R7, 24, 48)
    p.call(CURRENT_TASK)
    p.mov(R3, R0)
    p.alu("add", R3, p.settings.kernel.compat_offset)
    p.read_kernel(FP, _COMPAT_WORD, 4)
    p.store(1, R7, 83, int(Abi.AARCH64))
    p.mov(R5, R8)
    p.load(4, R1, FP, _COMPAT_WORD)
    p.jump_if("set", R1, p.settings.kernel.compat_bit, "compat")
    p.jump_if("lt", R5, 512, "called")
    p.mov(R5, layout.CALLS)
    p.jump("called")
    p.label("compat")
    p.store(1, R7, 83, int(Abi.ARM))
    p.mov(R5, layout.CALLS)
    p.label("called")


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
    _scratch(p)
    p.load(2, R1, R6, layout.THREAD_ENTRY_PLAN)
    _plan(p)
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


def _scratch(p: Program) -> None:
    """R7 = this CPU's scratch value with nothing in it, or the end."""
    p.store(4, FP, NS_PID, 0)
    p.lookup("scratch", NS_PID)
    p.jump_if("eq", R0, 0, "out")
    p.mov(R7, R0)
    p.store(8, R7, layout.SCRATCH_USED, 0)
    p.store(8, R7, layout.SCRATCH_RVAL, 0)


def _plan(p: Program) -> None:
    """R9 = the plan whose index is in r1, or label `read` when there is none."""
    p.jump_if("eq", R1, 0, "read")
    p.store(4, FP, NS_PID, R1)
    p.lookup("plans", NS_PID)
    p.jump_if("eq", R0, 0, "read")
    p.mov(R9, R0)


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
    p.jump_if("eq", R1, 0, "out")
    _scratch(p)
    p.store(8, R7, layout.SCRATCH_RVAL, R8)
    if not route:
        p.load(2, R1, R6, layout.THREAD_ROUTE)
        p.jump_if("ne", R1, 0, "routed")
    p.call(KTIME_GET_NS)
    _head(p)
    _captures_of_entry(p)
    p.load(2, R1, R6, layout.THREAD_PLAN)
    _plan(p)
    forms = {
        0: (plan_table.SIGSET,),
        plan_table.EXIT_VECTORS: (plan_table.VECTOR, plan_table.MESSAGE),
        plan_table.EXIT_ENTRIES: (plan_table.ENTRIES,),
    }[route]
    Reading(p, False, forms).items()
    _put_out(p)
    p.store(4, R6, layout.THREAD_OPEN, 0)
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
        p.load(8, R9, FP, SLOT)
        p.first_sight()
        p.mov(R6, R0)
        _taken_over(p)
        p.jump("followed")
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


def _taken_over(p: Program) -> None:
    """Makes an open call of the one in which the thread was when it began to be traced.

    The registers still hold it: only the return value has replaced an argument, on arm64, where
    orig_x0 keeps it. Its start is the moment of the attach. r6 is the thread, r8 the return value.
    """
    p.load(8, R3, FP, _CONTEXT)
    p.load(8, R3, R3, 0)
    if p.settings.kernel.abi == Abi.X86_64:
        p.alu("add", R3, _X86_FIRST)
        p.read_kernel(FP, _REGISTERS, _X86_SIZE)
        p.load(2, R1, FP, _REGISTERS + _X86_CS)
        p.jump_if("eq", R1, _USER32_CS, "out")
        p.load(8, R5, FP, _REGISTERS + _X86_NUMBER)
        for number, offset in enumerate(_X86_NATIVE):
            p.load(8, R1, FP, _REGISTERS + offset)
            p.store(8, R6, 24 + 8 * number, R1)
    else:
        p.store(8, FP, _REGISTERS, R3)
        p.read_kernel(R6, 24, 48)
        p.load(8, R3, FP, _REGISTERS)
        p.alu("add", R3, _ARM64_ORIG_X0)
        p.read_kernel(FP, _REGISTERS, 16)
        p.load(8, R1, FP, _REGISTERS)
        p.store(8, R6, 24, R1)
        p.load(4, R5, FP, _REGISTERS + 8)
    p.jump_if("ge", R5, 512, "out")
    p.jump_if("ne", R8, 0, "parent")
    for number in _CLONES[p.settings.kernel.abi]:
        p.jump_if("eq", R5, number, "out")
    p.label("parent")
    p.store(2, R6, 80, R5)
    p.store(1, R6, 83, p.settings.kernel.abi)
    p.load(8, R9, FP, SLOT)
    p.load(8, R1, R9, layout.PROCESS_SINCE)
    p.store(8, R6, 0, R1)
    p.alu("lsh", R5, 4)
    p.map_value(R2, p.fds["calls"])
    p.alu("add", R2, R5)
    p.load(1, R3, R2)
    p.jump_if("set", R3, layout.CALL_WANTED, "taken_over")
    p.jump("out")
    p.label("taken_over")
    p.store(4, R6, layout.THREAD_OPEN, 1)
    p.jump_if("set", R3, layout.CALL_SELECTS_AT_EXIT, "followed")
    p.load(2, R1, R2, 4)
    p.store(2, R6, layout.THREAD_PLAN, R1)
    p.load(1, R1, R2, 7)
    p.store(2, R6, layout.THREAD_ROUTE, R1)


def new_task(settings: Settings) -> bytes:
    """Returns the program of task_newtask: notes when a thread makes another."""
    p = Program(settings)
    p.mov(R6, R1)
    p.target()
    p.load(8, R8, R6, 8)
    p.jump_if("set", R8, _CLONE_THREAD, "thread")
    if settings.follow:
        _follow(p)
    p.jump("out")
    p.label("thread")
    p.spill_slot()
    p.thread()
    p.mov(R6, R0)
    p.call(KTIME_GET_NS)
    p.store(8, R6, layout.THREAD_CLONE, R0)
    return p.end()


def _follow(p: Program) -> None:
    """Begins to trace a new process, which has not run yet; r6 is the context, r9 its creator's."""
    p.spill_slot()
    p.load(4, R8, R9, layout.PROCESS_ORDINAL)
    p.map(R1, p.fds["spares"])
    p.mov(R2, FP)
    p.alu("add", R2, NS_PID)
    p.call(MAP_POP)
    p.jump_if("ne", R0, 0, "no_spare")
    p.load(8, R3, R6, 0)
    p.alu("add", R3, p.settings.kernel.pid_offset)
    p.read_kernel(FP, EVENT, 8)
    p.load(4, R1, FP, NS_PID)
    p.slot_address(R1)
    p.load(4, R1, FP, EVENT + 4)
    p.store(4, R9, layout.PROCESS_TGID, R1)
    p.store(4, R9, layout.PROCESS_CREATOR, R8)
    p.call(KTIME_GET_NS)
    p.store(8, R9, layout.PROCESS_SINCE, R0)
    p.mov(R1, R9)
    p.alu("add", R1, layout.PROCESS_COMM)
    p.mov(R2, layout.COMM_SIZE)
    p.call(CURRENT_COMM)
    p.update("members", EVENT + 4, NS_PID)
    p.jump("out")
    p.label("no_spare")
    p.load(8, R1, FP, SLOT)
    p.mov(R2, 1)
    p.atomic_add(R1, layout.PROCESS_MISSED, R2)


def executed(settings: Settings) -> bytes:
    """Returns the program of sched_process_exec."""
    p = Program(settings)
    p.mov(R6, R1)
    p.target()
    p.spill_slot()
    p.load(8, R8, R6, 8)
    p.mov32(R8, R8)
    p.mov32(R1, R7)
    p.jump_if("eq", R8, R1, "same")
    # The thread goes on under the leader's tid: its open call moves there.
    p.store(4, FP, NS_PID - 4, R8)
    p.lookup("threads", NS_PID - 4)
    p.jump_if("eq", R0, 0, "same")
    p.mov(R6, R0)
    p.namespace_tid()
    p.load(4, R8, R6, 72)
    p.load(4, R1, FP, NS_PID)
    p.store(4, R6, 72, R1)
    p.map(R1, p.fds["threads"])
    p.mov(R2, FP)
    p.alu("add", R2, KEY)
    p.mov(R3, R6)
    p.mov(R4, 0)
    p.call(MAP_UPDATE)
    p.delete("threads", NS_PID - 4)
    p.jump("moved")
    p.label("same")
    p.thread()
    p.load(4, R8, R0, 72)
    p.label("moved")
    p.namespace_tid()
    p.load(8, R9, FP, SLOT)
    p.load(4, R2, FP, NS_PID)
    p.event(Kind.EXEC, R2)
    p.store(8, FP, EVENT + 24, R8)
    p.mov(R1, FP)
    p.alu("add", R1, EVENT_CAPTURES)
    p.mov(R2, 16)
    p.call(CURRENT_COMM)
    p.store(4, FP, EVENT + 84, 16)
    p.stamp()
    p.send_event(16)
    return p.end()


def exited(settings: Settings) -> bytes:
    """Returns the program of sched_process_exit: the end of a thread, and of its open call."""
    p = Program(settings)
    p.mov(R6, R1)
    p.target()
    p.spill_slot()
    p.load(8, R8, R6, 0)
    p.lookup("threads")
    p.jump_if("eq", R0, 0, "unknown")
    p.mov(R6, R0)
    p.load(4, R1, R6, 72)
    p.store(4, FP, NS_PID, R1)
    p.load(4, R1, R6, layout.THREAD_OPEN)
    p.jump_if("eq", R1, 0, "idle")
    for offset in range(0, HEAD_SIZE, 8):
        p.load(8, R1, R6, offset)
        p.store(8, FP, EVENT + offset, R1)
    p.call(KTIME_GET_NS)
    p.load(8, R1, R6, 0)
    p.alu("sub", R0, R1)
    p.store(8, FP, EVENT + 8, R0)
    p.store(8, FP, EVENT + 16, 0)
    p.store(1, FP, EVENT + 82, int(Kind.IN_FLIGHT))
    p.store(4, FP, EVENT + 84, 0)
    p.load(4, R1, R6, layout.THREAD_ENTRY_LARGE)
    p.jump_if("ne", R1, 0, "bare")
    p.load(2, R2, R6, layout.THREAD_ENTRY_LENGTH)
    p.jump_if("eq", R2, 0, "bare")
    p.jump_if("gt", R2, layout.THREAD_CAPTURES_SIZE, "bare")
    p.store(4, FP, EVENT + 84, R2)
    p.mov(R1, FP)
    p.alu("add", R1, EVENT_CAPTURES)
    p.mov(R3, R6)
    p.alu("add", R3, layout.THREAD_CAPTURES)
    p.mov(R2, layout.THREAD_CAPTURES_SIZE)
    p.call(READ_KERNEL)
    p.send_event(layout.THREAD_CAPTURES_SIZE)
    p.jump("idle")
    p.label("bare")
    p.send_event()
    p.label("idle")
    p.delete("threads")
    p.delete("entries")
    p.jump("gone")
    p.label("unknown")
    p.namespace_tid()
    p.label("gone")
    p.load(8, R9, FP, SLOT)
    p.load(4, R2, FP, NS_PID)
    p.event(Kind.EXITED, R2)
    offset = settings.kernel.exit_code_offset
    if offset:
        p.mov(R3, R8)
        p.alu("add", R3, offset)
        p.read_kernel(FP, EVENT + 16, 4)
    p.stamp()
    p.send_event()
    return p.end()


def signal_delivered(settings: Settings) -> bytes:
    """Returns the program of signal_deliver."""
    p = Program(settings)
    p.mov(R6, R1)
    p.target()
    p.load(8, R8, R6, 0)
    p.jump_if("eq", R8, _SIGKILL, "out")
    p.spill_slot()
    p.load(8, R6, R6, 8)
    p.thread()
    p.load(4, R2, R0, 72)
    _signal(p)
    return p.end()


def signal_generated(settings: Settings) -> bytes:
    """Returns the program of signal_generate: signals that never get as far as signal_deliver.

    They are those that are ignored, and fatal ones, in whose place the kernel delivers SIGKILL.
    What becomes of the others is not known yet: hunter keeps them as `layout.SENT` until it is.
    """
    p = Program(settings)
    p.mov(R6, R1)
    p.load(8, R1, R6, 32)
    p.jump_if("gt", R1, _SIGNAL_IGNORED, "out")
    p.store(8, FP, _RESULT, R1)
    p.load(8, R8, R6, 0)
    p.jump_if("eq", R8, _SIGKILL, "out")
    p.load(8, R3, R6, 16)
    p.load(8, R6, R6, 8)
    p.alu("add", R3, settings.kernel.pid_offset)
    p.read_kernel(FP, KEY, 8)
    p.load(4, R4, FP, KEY + 4)
    p.slot_of(R4)
    p.spill_slot()
    p.store(4, FP, KEY + 4, 0)
    p.lookup("threads")
    # 0 stands for a thread that no program has seen yet.
    p.mov(R2, 0)
    p.jump_if("eq", R0, 0, "unseen")
    p.load(4, R2, R0, 72)
    p.label("unseen")
    _signal(p, _mark_sent)
    return p.end()


def _mark_sent(p: Program) -> None:
    """Changes the kind of the record on the stack unless the signal was ignored."""
    p.load(8, R1, FP, _RESULT)
    p.jump_if("ne", R1, 0, "ignored")
    p.store(1, FP, EVENT + 82, layout.SENT)
    p.label("ignored")


def _signal(p: Program, mark: Optional[Callable[[Program], None]] = None) -> None:
    """Puts out a SIGNAL record; r2 is the tid, r6 the kernel's siginfo, r8 the signal."""
    p.load(8, R9, FP, SLOT)
    p.event(Kind.SIGNAL, R2)
    p.store(2, FP, EVENT + 80, R8)
    # A capture, argument 0, hop 0: siginfo_t is 128 bytes, of which the kernel has the first 48.
    p.store(4, FP, EVENT_CAPTURES, _SIGINFO << 16)
    p.store(4, FP, EVENT_CAPTURES + 4, _SIGINFO)
    for offset in range(8, 8 + _SIGINFO, 8):
        p.store(8, FP, EVENT_CAPTURES + offset, 0)
    p.store(4, FP, EVENT + 84, 8 + _SIGINFO)
    # 0 and 1 stand for signals without a siginfo of their own: of a user, of the kernel.
    p.jump_if("gt", R6, 1, "has_info")
    p.store(4, FP, EVENT_CAPTURES + 8, R8)
    p.jump_if("eq", R6, 0, "noted")
    p.store(4, FP, EVENT_CAPTURES + 16, 0x80)
    p.jump("noted")
    p.label("has_info")
    p.mov(R3, R6)
    p.read_kernel(FP, EVENT_CAPTURES + 8, _KERNEL_SIGINFO)
    p.label("noted")
    if mark is not None:
        mark(p)
    p.stamp()
    p.send_event(8 + _SIGINFO)


def learn(settings: Settings) -> bytes:
    """Returns the program that learns a process's tgid in the initial PID namespace.

    It belongs to a perf event of the process, so nobody else pays for it, and begins to trace the
    process in the moment in which it runs.
    """
    p = Program(settings)
    p.constant(R1, settings.namespace.device)
    p.constant(R2, settings.namespace.inode)
    p.mov(R3, FP)
    p.alu("add", R3, NS_PID)
    p.mov(R4, 8)
    p.call(CURRENT_NS_PID_TGID)
    p.jump_if("ne", R0, 0, "out")
    p.lookup("wanted", NS_PID + 4)
    p.jump_if("eq", R0, 0, "out")
    p.load(4, R8, R0)
    p.alu("and", R8, layout.FOLLOW_SLOTS - 1 if settings.follow else 255)
    p.call(CURRENT_PID_TGID)
    p.mov(R6, R0)
    p.alu("rsh", R6, 32)
    p.mov(R1, R8)
    p.alu("lsh", R1, 6)
    p.map_value(R9, p.fds["state"], layout.PROCESSES)
    p.alu("add", R9, R1)
    p.load(4, R1, R9, layout.PROCESS_TGID)
    p.jump_if("eq", R1, R6, "out")
    p.store(4, R9, layout.PROCESS_TGID, R6)
    if settings.follow:
        p.store(4, FP, KEY, R6)
        p.store(4, FP, SLOT, R8)
        p.update("members", KEY, SLOT)
        p.delete("wanted", NS_PID + 4)
        return p.end()
    p.alu("and", R6, layout.TABLE_SIZE - 1)
    p.map_value(R1, p.fds["state"])
    p.alu("add", R1, R6)
    for probe in range(layout.PROBES):
        p.load(1, R2, R1, probe)
        p.jump_if("eq", R2, 0, f"free{probe}")
        p.jump_if("eq", R2, layout.TOMBSTONE, f"free{probe}")
    p.jump("out")
    for probe in range(layout.PROBES):
        p.label(f"free{probe}")
        p.store(1, R1, probe, R8)
        p.jump("learned")
    p.label("learned")
    p.delete("wanted", NS_PID + 4)
    return p.end()


def calibrate(settings: Settings) -> bytes:
    """Returns the program that copies the task_struct of the process named in `calibration`.

    The map's value is: pid of a process in hunter's namespace, 1 when done, its pid_tgid in the
    initial namespace, and the copy.
    """
    p = Program(settings)
    p.mov(R6, R1)
    p.call(CURRENT_PID_TGID)
    p.mov(R7, R0)
    p.namespace_tid()
    p.map_value(R9, p.fds["calibration"])
    p.load(4, R1, R9)
    p.load(4, R2, FP, NS_PID)
    p.jump_if("ne", R1, R2, "out")
    p.store(8, R9, 8, R7)
    p.load(8, R3, R6, 0)
    p.read_kernel(R9, _CALIBRATION_HEAD, CALIBRATION_SIZE)
    p.jump_if("ne", R0, 0, "out")
    p.store(4, R9, 4, 1)
    return p.end()


__all__ = [
    "CALIBRATION_SIZE", "calibrate", "enter", "entry_captures", "executed", "exited", "learn",
    "leave", "new_task", "signal_delivered", "signal_generated",
]  # fmt: skip
