"""A process as a ptrace engine traces it, and the memory that is read of it."""

from __future__ import annotations

from typing import Dict, Set, Tuple

# When it started, its arch, number and six arguments, and what was captured at its entry.
Entered = Tuple[int, Tuple[int, ...], bytes]


class Tracee:
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


class Tracees:
    """The processes that one tracer traces.

    The tracer's thread changes it. The writer's thread looks for open calls in the loop and then in
    `interrupted`: a call is never in neither of the two.

    Attributes:
        owners: the process of each thread, by tid.
        processes: by the number of the process.
        by_pid: by process id.
        interrupted: calls that a request to stop interrupts, so that the thread can be detached.
    """

    def __init__(self) -> None:
        self.owners: Dict[int, Tracee] = {}
        self.processes: Dict[int, Tracee] = {}
        self.by_pid: Dict[int, Tracee] = {}
        self.interrupted: Dict[int, Entered] = {}
