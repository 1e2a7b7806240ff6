"""Finds pid, tgid and exit_code in the kernel's task_struct without type information.

A child that ends with a chosen code has its task_struct copied by a program at sched_process_exit.
struct task_struct has exit_state, exit_code, exit_signal and pdeath_signal in a row, and behind
them pid and tgid side by side (include/linux/sched.h, the same from 4.18 to 6.18).
"""

from __future__ import annotations

import os
import time
from struct import unpack_from
from typing import NamedTuple, Tuple

from hunter.engines.ebpf import loader
from hunter.engines.ebpf.layout import CALIBRATION
from hunter.memory import procfs

_SIGCHLD = 17
_CODE = 0x5B
_SPAN = 1024


def find_offsets(task: bytes, pid: int, tgid: int, code: int) -> Tuple[int, int]:
    """Returns the offsets of pid and of exit_code, 0 for what was not found. Pure.

    Args:
        task: the first bytes of a task_struct.
        pid: the thread's number in the initial PID namespace.
        tgid: its process's.
        code: the code it ended with.
    """
    words = unpack_from(f"<{len(task) // 4}I", task)
    ends = [
        at
        for at in range(len(words) - 2)
        if words[at] == code << 8 and words[at + 1] == _SIGCHLD and words[at + 2] == 0
    ]
    pids = [at for at in range(len(words) - 1) if words[at] == pid and words[at + 1] == tgid]
    for end in ends:
        for at in pids:
            if end < at < end + _SPAN // 4:
                return at * 4, end * 4
    return 0, 0


class Measured(NamedTuple):
    """Measurements of this kernel, and of hunter's place in it.

    Attributes:
        pid_offset: see `find_offsets`.
        exit_code_offset: see `find_offsets`.
        clock_offset: what hunter's CLOCK_MONOTONIC is ahead of the kernel's, ns.
    """

    pid_offset: int = 0
    exit_code_offset: int = 0
    clock_offset: int = 0


def clock_offset(kernel_ns: int, before: int, after: int, told: str) -> int:
    """Returns what hunter's CLOCK_MONOTONIC is ahead of the kernel's, ns. Pure.

    Args:
        kernel_ns: the kernel's clock at some time.
        before: hunter's clock before that.
        after: hunter's clock after that.
        told: /proc/self/timens_offsets, which is of the time namespace of hunter's children: right
            to the nanosecond where hunter is in the same.
    """
    least, most = before - kernel_ns, after - kernel_ns
    if least <= 0 <= most:
        return 0
    for line in told.splitlines():
        name, *numbers = line.split()
        if name in ("monotonic", "1") and len(numbers) == 2:
            offset = int(numbers[0]) * 1_000_000_000 + int(numbers[1])
            if least <= offset <= most:
                return offset
    return (least + most) // 2


def measure(calibration: int, program: int) -> Measured:
    """Ends a child, and looks at its task_struct and at when the kernel says that this was.

    Args:
        calibration: the map.
        program: `copy_task` of src/offsets.bpf.c.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(_CODE)
    os.close(read)
    link = -1
    try:
        loader.update(calibration, bytes(4), CALIBRATION.pack(child, 0, 0, 0, b""))
        link = loader.attach_raw_tracepoint("sched_process_exit", program)
    finally:
        before = time.monotonic_ns()
        os.close(write)
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass  # SIGCHLD is ignored: it has ended all the same, and nobody is told how
        after = time.monotonic_ns()
        if link >= 0:
            os.close(link)
    found = loader.lookup(calibration, bytes(4), CALIBRATION.size) or bytes(CALIBRATION.size)
    _, done, pid_tgid, kernel_ns, task = CALIBRATION.unpack(found)
    if not done:
        return Measured()
    pid, tgid = pid_tgid & 0xFFFFFFFF, pid_tgid >> 32
    told = procfs.read_text("/proc/self/timens_offsets")
    return Measured(
        *find_offsets(task, pid, tgid, _CODE),
        clock_offset(kernel_ns, before, after, told),
    )
