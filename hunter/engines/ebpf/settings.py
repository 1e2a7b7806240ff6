"""The settings of the programs: what differs between kernels and captures. Pure."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from hg_shared.records import Abi
from hunter.engines.ebpf import layout

_INITIAL_PID_NAMESPACE = 0xEFFFFFFC
"""Inode of the PID namespace in which the kernel counts (PROC_PID_INIT_INO)."""


class Settings(NamedTuple):
    """The kernel and the capture that the programs are made for; `SETTING(name)` in their source.

    Attributes:
        pid_ns_device: hunter's PID namespace, st_dev of /proc/self/ns/pid.
        pid_ns_inode: st_ino of the same.
        pid_ns_initial: it is the one in which the kernel counts.
        clock_offset: what hunter's CLOCK_MONOTONIC is ahead of the kernel's, ns: not 0 in a time
            namespace.
        abi: `Abi.X86_64` or `Abi.AARCH64`.
        compat_offset: of the word in task_struct that tells compat calls.
        compat_bit: mask in that word.
        pid_offset: of task_struct.pid, followed by tgid; 0 when it is not known.
        exit_code_offset: of task_struct.exit_code; 0 when it is not known.
        small: bytes of captures in a record of the first ring.
        filtered: not all calls are recorded.
        follow: children of traced processes are traced too.
    """

    pid_ns_device: int
    pid_ns_inode: int
    pid_ns_initial: bool
    clock_offset: int
    abi: int
    compat_offset: int
    compat_bit: int
    pid_offset: int
    exit_code_offset: int
    small: int
    filtered: bool
    follow: bool


def settings_of(
    machine: str,
    release: Tuple[int, int],
    pid_namespace: Tuple[int, int],
    string_size: int,
    filtered: bool,
    follow: bool,
) -> Settings:
    """Returns the settings for a kernel before anything is measured: offsets are 0.

    Args:
        machine: as uname(2) says.
        release: major and minor number of the kernel.
        pid_namespace: st_dev and st_ino of /proc/self/ns/pid.
        string_size: bytes of each string and buffer to keep.
        filtered: not all calls are recorded.
        follow: children of traced processes are traced too.
    """
    if machine == "aarch64":
        # thread_info.flags, TIF_32BIT
        abi, compat_offset, compat_bit = Abi.AARCH64, 0, 1 << 22
    else:
        # thread_info.status & TS_COMPAT; syscall_work was put in front of it in 5.11.
        abi, compat_offset, compat_bit = Abi.X86_64, 16 if release >= (5, 11) else 8, 2
    return Settings(
        pid_ns_device=pid_namespace[0],
        pid_ns_inode=pid_namespace[1],
        pid_ns_initial=pid_namespace[1] == _INITIAL_PID_NAMESPACE,
        clock_offset=0,
        abi=int(abi),
        compat_offset=compat_offset,
        compat_bit=compat_bit,
        pid_offset=0,
        exit_code_offset=0,
        small=small_captures(string_size),
        filtered=filtered,
        follow=follow,
    )


def small_captures(string_size: int) -> int:
    """Returns how many bytes of captures fit into a slot of the first ring.

    Args:
        string_size: bytes of each string that are kept.
    """
    room = layout.CAPTURE.size + (string_size + 7) // 8 * 8
    return max(layout.SMALL_MIN, min(room, layout.SMALL_MAX))
