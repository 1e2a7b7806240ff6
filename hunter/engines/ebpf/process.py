"""A process as the ebpf engine traces it."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Set

from hunter.calls import captures
from hunter.engines import process_memory
from hunter.engines.ebpf.group_stops import GroupStops
from hunter.errors import HunterError
from hunter.memory import procfs


class Process:
    """A traced process.

    Args:
        ordinal: its number in this run.
        pid: its process id.
        slot: its slot in the table that the programs see.
        since: since when its calls are recorded, CLOCK_MONOTONIC ns: from the attach or the end of
            the last pause on.
        threads: tids of the threads that it had at the attach.

    Attributes:
        slot: see above, 0 once it is given back.
        initial: of the threads that it had at `since`, those that run still.
        announced: of these, those whose open call has been noted before a program saw them.
        starts: when calls began in which threads sleep since before `since`, by tid.
        met: threads that need no ATTACHED record any more.
        placed: the programs find it under its number in the initial PID namespace.
        memory: descriptor of /proc/PID/mem, -1 while it is not open.
        status: wait status of the thread that tells how it ended, 0 before.
        gone_since: when it was first found to be gone, ns; 0 while it is there.
        until: until when its calls were recorded, CLOCK_MONOTONIC ns; 0 while they are.
        lost_before: records that were lost when it was traced before.
        missed: children of which it has been told that there was no slot for them.
        signals: records of signals that were sent, by number, until what became of them is known.
        stops: its group-stops.
    """

    __slots__ = (
        "announced", "gone_since", "initial", "lost_before", "memory", "met", "missed",
        "ordinal", "pid", "placed",
        "signals", "since", "slot", "starts", "status", "stops", "threads", "until",
    )  # fmt: skip

    def __init__(self, ordinal: int, pid: int, slot: int, since: int, threads: List[int]) -> None:
        self.ordinal = ordinal
        self.pid = pid
        self.slot = slot
        self.since = since
        self.threads: Set[int] = set(threads)
        self.initial: Set[int] = set(threads)
        self.announced: Set[int] = set()
        self.starts: Dict[int, int] = {}
        self.met: Set[int] = set(threads)
        self.placed = False
        self.memory = -1
        self.status = 0
        self.gone_since = 0
        self.until = 0
        self.lost_before = 0
        self.missed = 0
        self.signals: Dict[int, bytes] = {}
        self.stops = GroupStops(_state)

    def start_of(self, tid: int) -> int:
        """Returns the start of the call in which a thread has been since before `since`, ns."""
        return self.starts.get(tid, self.since)

    def forget_thread(self, tid: int) -> None:
        """Forgets a thread that has ended."""
        for known in (self.threads, self.initial, self.announced, self.met):
            known.discard(tid)
        self.starts.pop(tid, None)

    def close_memory(self) -> None:
        """Closes the file its memory is read through; the next reader opens it again."""
        if self.memory >= 0:
            os.close(self.memory)
        self.memory = -1

    def reader(self) -> captures.Read:
        """Returns what reads its memory."""
        if self.memory < 0:
            try:
                self.memory = process_memory.open_memory(procfs.living_thread(self.pid) or self.pid)
            except HunterError:
                pass  # without CAP_SYS_PTRACE: calls in flight go without captures
        memory = self.memory

        def read(address: int, length: int) -> Optional[bytes]:
            try:
                return os.pread(memory, length, address)
            except (OSError, OverflowError):
                return None

        return read


def _state(tid: int) -> Optional[str]:
    stat = procfs.stat(tid)
    return None if stat is None else stat.state
