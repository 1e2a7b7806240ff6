"""Finds pid, tgid and exit_code in the kernel's task_struct without type information.

A child that ends with a chosen code has its task_struct copied by a program at sched_process_exit.
struct task_struct has exit_state, exit_code, exit_signal and pdeath_signal in a row, and behind
them pid and tgid side by side (include/linux/sched.h, the same from 4.18 to 6.18).
"""

from __future__ import annotations

import os
from struct import unpack_from
from typing import Tuple

from hunter.engines.ebpf import loader
from hunter.engines.ebpf.maps import CALIBRATION
from hunter.engines.ebpf.programs import CALIBRATION_SIZE

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


def measure_offsets(calibration: int, program: int) -> Tuple[int, int]:
    """Ends a child and returns what `find_offsets` finds in its task_struct.

    Args:
        calibration: the map.
        program: the one of `programs.calibrate`.
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
        size = CALIBRATION.size + CALIBRATION_SIZE
        value = CALIBRATION.pack(child, 0, 0).ljust(size, b"\0")
        loader.update(calibration, bytes(4), value)
        link = loader.attach_raw_tracepoint("sched_process_exit", program)
    finally:
        os.close(write)
        os.waitpid(child, 0)
        if link >= 0:
            os.close(link)
    found = loader.lookup(calibration, bytes(4), size) or bytes(size)
    _, done, pid_tgid = CALIBRATION.unpack_from(found)
    if not done:
        return 0, 0
    return find_offsets(found[CALIBRATION.size :], pid_tgid & 0xFFFFFFFF, pid_tgid >> 32, _CODE)
