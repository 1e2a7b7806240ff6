"""A process as a ptrace engine traces it, and how its memory is read."""

from __future__ import annotations

import os
import resource
from typing import Optional, Set, Tuple

from hunter.calls import captures
from hunter.engines import process_memory
from hunter.engines.ptrace import kernel
from hunter.errors import NotPermitted
from hunter.memory import procfs

# When it started, its arch, number and six arguments, and what was captured at its entry.
Entered = Tuple[int, Tuple[int, ...], bytes]


def open_memory(pid: int) -> int:
    """Opens the memory of a process; -1 where ptrace(2) must read it word by word.

    That is where the file may not be opened, and where its descriptor would be in the upper half of
    those that hunter may have: everything else needs some for moments, however much is traced.

    Args:
        pid: the process.

    Raises:
        ProcessGone: it has ended.
    """
    try:
        fd = process_memory.open_memory(procfs.living_thread(pid) or pid)
    except NotPermitted:
        return -1
    if fd < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
        return fd
    os.close(fd)
    return -1


class Process:
    """A traced process: its threads and the file its memory is read through.

    Args:
        ordinal: its number in this run.
        pid: its process id.
        memory: descriptor of /proc/PID/mem, -1 where ptrace(2) must read word by word.

    Attributes:
        threads: tids of the threads that are traced.
        arming: of these, those that have not stopped yet since they were asked to: their calls are
            not seen.
        spared: of these, those that a stop would end a call of: they run free until they have left
            it.
        told: it has been told to be attached.
        asked: when its threads were asked to stop, CLOCK_MONOTONIC ns.
        armed: when the last of those that did was let go on, ns.
        left: when it was asked to be let go, ns; 0 before.
        leaving: it is being let go.
        status: wait status of the thread that tells how it ended, 0 before.
    """

    __slots__ = (
        "armed",
        "arming",
        "asked",
        "leaving",
        "left",
        "memory",
        "ordinal",
        "pid",
        "spared",
        "status",
        "threads",
        "told",
    )  # fmt: skip

    def __init__(self, ordinal: int, pid: int, memory: int) -> None:
        self.ordinal = ordinal
        self.pid = pid
        self.memory = memory
        self.threads: Set[int] = set()
        self.arming: Set[int] = set()
        self.spared: Set[int] = set()
        self.told = False
        self.asked = 0
        self.armed = 0
        self.left = 0
        self.leaving = False
        self.status = 0

    def reader(self, tid: int) -> captures.Read:
        """Returns what reads its memory.

        Args:
            tid: a thread of it that is stopped, 0 when none is known to be.
        """
        memory = self.memory
        if memory < 0 and tid:
            return _peeker(tid)

        def read(address: int, length: int) -> Optional[bytes]:
            try:
                return os.pread(memory, length, address)
            except (OSError, OverflowError):
                return None

        return read


def _peeker(tid: int) -> captures.Read:
    def read(address: int, length: int) -> Optional[bytes]:
        try:
            return kernel.peek(tid, address, length)
        except OSError:
            return None

    return read
