"""The hot loop over a scripted kernel, on this machine and on aarch64 as far as qemu-user goes.

qemu-user has no ptrace(2), so the kernel is scripted; what is compiled and run is hot_loop.c.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path
from struct import Struct

import pytest

from hg_shared.records import HEAD_SIZE, Abi, Kind, Record, encode_capture, iter_records
from hg_shared.syscalls import numbers
from hunter.calls import capture_plan
from hunter.engines.native.structures import encode_plan
from hunter.engines.ptrace import syscall_info
from tests.integration.tracee import TARGETS

HOT_LOOP = Path(__file__).parents[2] / "hunter" / "engines" / "native" / "hot_loop.c"
MACHINES = {"x86_64": Abi.X86_64, "aarch64": Abi.AARCH64}
BASE = 0x10000
SYSCALL_STOP, GROUP_STOP = 0x857F, 0x80137F
STOP, UNKNOWN, NO_CHILD = 1, 5, -10
_PARTS = Struct("<6Q")
_STOP = Struct("<ii")
_ENTRY = Struct("<B3xIQQQ6Q8x")
_EXIT = Struct("<B3xIQQqB55x")
_TOLD = Struct("<3i")


def runner(machine: str) -> list[str]:
    if machine == platform.machine():
        return []
    qemu = shutil.which(f"qemu-{machine}-static")
    if qemu is None:
        pytest.skip(f"qemu-{machine}-static is not installed (Debian: qemu-user-static)")
    return [qemu]


class Script:
    """Stops of threads 100 to 102 of one process, and what the loop makes of them."""

    def __init__(self, machine: str, memory: bytes) -> None:
        self._machine = machine
        self._abi = MACHINES[machine]
        self._arch = syscall_info.MACHINE_ARCH[machine]
        self._numbers = numbers(self._abi)
        self._memory = memory
        self._stops = b""

    def enter(self, tid: int, name: str, *args: int) -> None:
        six = (*args, 0, 0, 0, 0, 0, 0)[:6]
        info = _ENTRY.pack(syscall_info.OP_ENTRY, self._arch, 1, 2, self._numbers[name], *six)
        self._stops += _STOP.pack(tid, SYSCALL_STOP) + info

    def leave(self, tid: int, rval: int) -> None:
        info = _EXIT.pack(syscall_info.OP_EXIT, self._arch, 1, 2, rval, rval < 0)
        self._stops += _STOP.pack(tid, SYSCALL_STOP) + info

    def other(self, tid: int, status: int) -> None:
        self._stops += _STOP.pack(tid, status) + bytes(syscall_info.SIZE)

    def name(self, record: Record) -> str:
        return next(name for name, number in self._numbers.items() if number == record.nr)

    def run(self, folder: Path) -> tuple[list[Record], list[tuple[int, ...]]]:
        program = folder / "scripted"
        subprocess.run(
            [
                *(sys.executable, "-m", "ziglang", "cc", "-target", f"{self._machine}-linux-none"),
                *"-O2 -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector".split(),
                *("-w", f'-DHOT_LOOP="{HOT_LOOP}"', "-o", str(program)),
                str(TARGETS / "scripted_kernel.c"),
            ],
            check=True,
        )
        plan = encode_plan(capture_plan.plan(self._abi), None, 32)
        parts = (plan.calls, plan.items, self._stops, self._memory)
        data = _PARTS.pack(*map(len, parts), self._arch, self._abi) + b"".join(parts)
        command = [*runner(self._machine), str(program)]
        done = subprocess.run(command, input=data, capture_output=True, check=True)
        data, size, held = done.stdout, 0, 0
        while size + held < len(data):
            size += HEAD_SIZE
            held += int.from_bytes(data[size - 4 : size], "little")
        return list(iter_records(data[:size], data[size:])), list(_TOLD.iter_unpack(done.stderr))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_same_stops_give_the_same_records(machine: str, tmp_path: Path) -> None:
    path, text, hole = BASE, BASE + 14, BASE + 0x100000
    script = Script(machine, b"/etc/hostname\0" + b"x" * 50 + b"in the end")
    script.enter(100, "openat", 2**64 - 100, path, 0)
    script.enter(101, "write", 1, text, 50)
    script.leave(101, 50)
    script.leave(100, 3)
    script.other(102, GROUP_STOP)
    script.enter(102, "read", 3, text, 64)
    script.leave(102, 5)
    script.enter(100, "read", 3, text, 64)
    script.leave(100, -9)
    script.enter(100, "openat", 2**64 - 100, hole, 0)
    script.leave(100, -14)
    script.other(103, SYSCALL_STOP)
    records, told = script.run(tmp_path)
    assert [each[0] for each in told] == [STOP, UNKNOWN, NO_CHILD]
    assert [each[1:] for each in told[:2]] == [(102, GROUP_STOP), (103, SYSCALL_STOP)]
    # The scripted clock is read once at each syscall stop.
    found = [(r.start, r.duration, r.tid, script.name(r), r.rval, r.captures) for r in records]
    assert found == [
        (2000, 1000, 101, "write", 50, encode_capture(1, 0, b"x" * 32, 50)),
        (1000, 3000, 100, "openat", 3, encode_capture(1, 0, b"/etc/hostname", 13)),
        (5000, 1000, 102, "read", 5, encode_capture(1, 0, b"xxxxx", 5)),
        (7000, 1000, 100, "read", -9, b""),
        (9000, 1000, 100, "openat", -14, encode_capture(1, 0, None, 0)),
    ]
    assert {(r.kind, r.abi, r.process) for r in records} == {(Kind.SYSCALL, MACHINES[machine], 1)}
