"""Wait statuses and struct ptrace_syscall_info."""

from __future__ import annotations

import struct

import pytest

from hg_shared.records import Abi
from hunter.engines.base import MACHINE_ABI
from hunter.engines.ptrace import syscall_info
from hunter.engines.ptrace.stops import SYSCALL_STOP, StopKind, WaitStatus, classify


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, WaitStatus(StopKind.EXITED, 0, 0)),
        (0x2A00, WaitStatus(StopKind.EXITED, 0, 0)),
        (0x0009, WaitStatus(StopKind.EXITED, 0, 0)),
        (0x008B, WaitStatus(StopKind.EXITED, 0, 0)),  # SIGSEGV, core dumped
        (SYSCALL_STOP, WaitStatus(StopKind.SYSCALL, 0, 0)),
        (0x057F, WaitStatus(StopKind.SIGNAL, 5, 0)),  # a real SIGTRAP
        (0x0A7F, WaitStatus(StopKind.SIGNAL, 10, 0)),
        (0x137F, WaitStatus(StopKind.SIGNAL, 19, 0)),  # SIGSTOP before it stops the group
        (0x407F, WaitStatus(StopKind.SIGNAL, 64, 0)),
        (0x80137F, WaitStatus(StopKind.GROUP, 19, 128)),
        (0x80147F, WaitStatus(StopKind.GROUP, 20, 128)),
        (0x80157F, WaitStatus(StopKind.GROUP, 21, 128)),
        (0x80167F, WaitStatus(StopKind.GROUP, 22, 128)),
        (0x80057F, WaitStatus(StopKind.INTERRUPT, 0, 128)),
        (0x01057F, WaitStatus(StopKind.FORK, 0, 1)),
        (0x02057F, WaitStatus(StopKind.FORK, 0, 2)),
        (0x03057F, WaitStatus(StopKind.FORK, 0, 3)),
        (0x04057F, WaitStatus(StopKind.EXEC, 0, 4)),
        (0x05057F, WaitStatus(StopKind.OTHER_EVENT, 0, 5)),
        (0x06057F, WaitStatus(StopKind.OTHER_EVENT, 0, 6)),
    ],
)
def test_wait_statuses(status: int, expected: WaitStatus) -> None:
    assert classify(status) == expected


def test_the_structure_is_that_of_the_header() -> None:
    """struct ptrace_syscall_info of linux/ptrace.h."""
    entry = struct.pack("<BxxxIQQQ6Q", 1, 0xC000003E, 11, 12, 257, 1, 2, 3, 4, 5, 2**64 - 1)
    # The member for seccomp stops is the longest: 8 bytes more.
    assert len(entry) + 8 == syscall_info.SIZE
    assert syscall_info.ENTRY.unpack_from(entry) == (0xC000003E, 257, 1, 2, 3, 4, 5, 2**64 - 1)
    left = struct.pack("<BxxxIQQqB", 2, 0xC000003E, 11, 12, -2, 1).ljust(88, b"\0")
    assert syscall_info.RVAL.unpack_from(left) == (-2,)


@pytest.mark.parametrize(
    ("arch", "nr", "abi"),
    [
        (0xC000003E, 0, Abi.X86_64),
        (0xC000003E, 0x40000000 | 1, Abi.X32),
        (0x40000003, 3, Abi.I386),
        (0xC00000B7, 63, Abi.AARCH64),
        (0x40000028, 3, Abi.ARM),
        (0x80000016, 3, None),
    ],
)
def test_the_abi_of_a_call(arch: int, nr: int, abi: Abi | None) -> None:
    assert syscall_info.abi_of(arch, nr) == abi


def test_every_machine_has_an_arch_and_its_abi() -> None:
    for machine, arch in syscall_info.MACHINE_ARCH.items():
        assert syscall_info.abi_of(arch, 0) == MACHINE_ABI[machine]
