"""The programs at the births, execs and ends of tasks. Pure."""

from __future__ import annotations

from hg_shared.records import HEAD_SIZE, Kind
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R6, R7, R8, R9
from hunter.engines.ebpf.program import (
    CURRENT_COMM,
    EVENT,
    EVENT_CAPTURES,
    KEY,
    MAP_POP,
    MAP_UPDATE,
    NS_PID,
    READ_KERNEL,
    SLOT,
    Program,
    Settings,
)

_CLONE_THREAD = 0x10000


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
    p.clock()
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
    p.clock()
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
    p.jump_if("ne", R1, layout.OPEN, "idle")
    for offset in range(0, HEAD_SIZE, 8):
        p.load(8, R1, R6, offset)
        p.store(8, FP, EVENT + offset, R1)
    p.clock()
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
