"""The registers of a call, in struct pt_regs: its number, its arguments, its ABI. Pure."""

from __future__ import annotations

from hg_shared.records import Abi
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.assembler import FP, R0, R1, R3, R5
from hunter.engines.ebpf.program import CURRENT_TASK, Program

_X32_BIT = 0x40000000
_USER32_CS = 0x23
# Arguments in struct pt_regs (x86/include/asm/ptrace.h), read from bp on as one piece.
_X86_FIRST, _X86_SIZE, _X86_CS = 32, 112, 104
_X86_NATIVE = (80, 72, 64, 24, 40, 32)
_X86_COMPAT = (8, 56, 64, 72, 80, 0)
_X86_NUMBER = 88
_ARM64_ORIG_X0 = 272
_ARM64_NUMBER = 8  # behind orig_x0
# Where they are read to on the stack.
_REGISTERS = -256
_COMPAT_WORD = -40


def x86_arguments(p: Program, thread: str, number: str, under_way: bool = False) -> None:
    """Stores arguments and ABI of a call; r5 becomes its index. r3 is the address of the registers.

    Args:
        p: the program.
        thread: register with the address of the thread's entry.
        number: register with the number of the call.
        under_way: the call is about to return: its number is read from the registers too.
    """
    compat, x32, called, compat_index = (p.fresh(w) for w in ("compat", "x32", "called", "index"))
    p.alu("add", R3, _X86_FIRST)
    p.read_kernel(FP, _REGISTERS, _X86_SIZE)
    if under_way:
        p.load(8, number, FP, _REGISTERS + _X86_NUMBER)
    p.load(2, R1, FP, _REGISTERS + _X86_CS)
    p.jump_if("eq", R1, _USER32_CS, compat)
    # int 0x80 in a 64-bit program: only the task knows.
    _compat_word(p)
    p.jump_if("set", R1, p.settings.kernel.compat_bit, compat)
    for index, offset in enumerate(_X86_NATIVE):
        p.load(8, R1, FP, _REGISTERS + offset)
        p.store(8, thread, 24 + 8 * index, R1)
    p.mov(R5, number)
    p.jump_if("set", number, _X32_BIT, x32)
    p.store(1, thread, 83, int(Abi.X86_64))
    p.jump_if("lt", R5, 512, called)
    p.mov(R5, layout.CALLS)
    p.jump(called)
    p.label(x32)
    p.store(1, thread, 83, int(Abi.X32))
    p.mov(R5, layout.CALLS)
    p.jump(called)
    p.label(compat)
    for index, offset in enumerate(_X86_COMPAT):
        p.load(4, R1, FP, _REGISTERS + offset)
        p.store(8, thread, 24 + 8 * index, R1)
    p.store(1, thread, 83, int(Abi.I386))
    p.mov32(R5, number)
    p.jump_if("lt", R5, 512, compat_index)
    p.mov(R5, layout.CALLS)
    p.jump(called)
    p.label(compat_index)
    p.alu("or", R5, 512)
    p.label(called)


def arm64_arguments(p: Program, thread: str, number: str, under_way: bool = False) -> None:
    """The same for struct user_pt_regs, which begins with x0 to x30."""
    compat, called = p.fresh("compat"), p.fresh("called")
    if under_way:
        # The return value has taken the place of the first argument.
        p.store(8, FP, _REGISTERS, R3)
    p.read_kernel(thread, 24, 48)
    if under_way:
        p.load(8, R3, FP, _REGISTERS)
        p.alu("add", R3, _ARM64_ORIG_X0)
        p.read_kernel(FP, _REGISTERS, 16)
        p.load(8, R1, FP, _REGISTERS)
        p.store(8, thread, 24, R1)
        p.load(4, number, FP, _REGISTERS + _ARM64_NUMBER)
    p.store(1, thread, 83, int(Abi.AARCH64))
    _compat_word(p)
    p.mov(R5, number)
    p.jump_if("set", R1, p.settings.kernel.compat_bit, compat)
    p.jump_if("lt", R5, 512, called)
    p.mov(R5, layout.CALLS)
    p.jump(called)
    p.label(compat)
    p.store(1, thread, 83, int(Abi.ARM))
    p.mov(R5, layout.CALLS)
    p.label(called)


def _compat_word(p: Program) -> None:
    """Sets r1 to the word of the task that tells compat calls."""
    p.call(CURRENT_TASK)
    p.mov(R3, R0)
    p.alu("add", R3, p.settings.kernel.compat_offset)
    p.read_kernel(FP, _COMPAT_WORD, 4)
    p.load(4, R1, FP, _COMPAT_WORD)
