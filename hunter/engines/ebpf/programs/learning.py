"""The program that runs in a process to learn how the kernel numbers it. Pure."""

from __future__ import annotations

from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R6, R8, R9
from hunter.engines.ebpf.program import (
    CURRENT_NS_PID_TGID,
    CURRENT_PID_TGID,
    KEY,
    NS_PID,
    SLOT,
    Program,
    Settings,
)


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
