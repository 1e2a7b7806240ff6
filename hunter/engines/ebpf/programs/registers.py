"""The registers of a call, in struct pt_regs: its number, its arguments, its ABI. Pure."""

from __future__ import annotations

from hg_shared.records import Abi
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R3, R5, R6, R7, R8
from hunter.engines.ebpf.program import CURRENT_TASK, Program

_X32_BIT = 0x40000000
_USER32_CS = 0x23
# Arguments in struct pt_regs (x86/include/asm/ptrace.h), read from bp on as one piece.
_X86_FIRST, _X86_SIZE, _X86_CS = 32, 112, 104
_X86_NATIVE = (80, 72, 64, 24, 40, 32)
_X86_COMPAT = (8, 56, 64, 72, 80, 0)
_X86_NUMBER = 88
_ARM64_ORIG_X0 = 272
# Where they are read to on the stack.
_REGISTERS = -256
_COMPAT_WORD = -40


def x86_arguments(p: Program) -> None:
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


def arm64_arguments(p: Program) -> None:
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


def call_under_way(p: Program) -> None:
    """Stores the arguments of the call that is about to return, or ends for a 32-bit one.

    The registers still hold them: only the return value has replaced an argument, on arm64, where
    orig_x0 keeps it. r3 is the address of the registers, r6 the thread; r5 becomes the number.
    """
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
