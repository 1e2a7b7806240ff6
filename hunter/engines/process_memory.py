"""Opens /proc/PID/mem, from which every engine reads."""

from __future__ import annotations

import os
import resource

from hunter.errors import HunterError, NotPermitted, ProcessGone
from hunter.memory import procfs


def memory_refusal() -> str:
    """Says why /proc/PID/mem cannot be opened here at all, empty when it can."""
    try:
        os.close(open_memory(os.getpid()))
    except HunterError as error:
        return str(error)
    return ""


def open_memory(pid: int) -> int:
    """Opens /proc/PID/mem for reading; after execve it must be opened anew.

    Raises:
        ProcessGone: no such process.
        NotPermitted: the access check of ptrace(2) fails, or something stands before the file.
    """
    try:
        return os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ProcessGone(f"/proc/{pid}/mem: no such process") from error
    except OSError as error:
        raise NotPermitted(f"/proc/{pid}/mem: {error.strerror}") from error


def open_within_limit(pid: int) -> int:
    """Opens the memory of a process; -1 where ptrace(2) must read it word by word.

    That is where the file may not be opened, and where its descriptor would be in the upper half of
    those that hunter may have: everything else needs some for moments, however much is traced.

    Args:
        pid: the process.

    Raises:
        ProcessGone: it has ended.
    """
    try:
        fd = open_memory(procfs.living_thread(pid) or pid)
    except NotPermitted:
        return -1
    if fd < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
        return fd
    os.close(fd)
    return -1
