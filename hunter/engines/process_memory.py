"""Opens /proc/PID/mem, from which every engine reads."""

from __future__ import annotations

import os

from hunter.errors import HunterError, NotPermitted, ProcessGone


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
