"""struct ptrace_syscall_info of PTRACE_GET_SYSCALL_INFO (linux/ptrace.h, kernel 5.3). Pure.

offset size field
0      1    op: 0 none, 1 entry, 2 exit, 3 seccomp
4      4    arch: AUDIT_ARCH_ of this call, which is right for compat calls too
8      8    instruction pointer
16     8    stack pointer
24     8    entry: nr; exit: return value
32     48   entry: six arguments
"""

from __future__ import annotations

from struct import Struct
from typing import Dict, Optional

from hg_shared.records import BIG_NUMBER, Abi

SIZE = 88
OP_ENTRY = 1
OP_EXIT = 2

# arch, nr, six arguments; the two pointers between are passed over.
ENTRY = Struct("<4xI16x7Q")
RVAL = Struct("<24xq")
STACK_POINTER = Struct("<16xQ")

_ABIS = {
    0xC000003E: Abi.X86_64,
    0xC00000B7: Abi.AARCH64,
    0x40000003: Abi.I386,
    0x40000028: Abi.ARM,
}
_X32_BIT = 0x40000000

MACHINE_ARCH: Dict[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def number_of(abi: int, nr: int) -> int:
    """Returns a call's number as a record holds it.

    Args:
        abi: the call's `Abi`.
        nr: its number as the kernel tells it, with the x32 bit.
    """
    if abi == Abi.X32:
        nr &= ~_X32_BIT
    return min(nr, BIG_NUMBER)


def abi_of(arch: int, nr: int) -> Optional[Abi]:
    """Returns the ABI of one call, None for an architecture that has no table.

    Args:
        arch: AUDIT_ARCH_ value of the call.
        nr: its number, with the x32 bit.
    """
    if arch == 0xC000003E and _X32_BIT <= nr < 2 * _X32_BIT:
        return Abi.X32
    return _ABIS.get(arch)
