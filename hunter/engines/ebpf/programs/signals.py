"""The programs at signals: those that a thread takes, and those that it never does. Pure."""

from __future__ import annotations

from typing import Callable, Optional

from hg_shared.records import Kind
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R2, R3, R4, R6, R8, R9
from hunter.engines.ebpf.program import EVENT, EVENT_CAPTURES, KEY, SLOT, Program, Settings

_SIGKILL = 9
_SIGINFO = 128
_KERNEL_SIGINFO = 48
_SIGNAL_IGNORED = 1
# In a gap above the record on the stack.
_RESULT = -24


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
