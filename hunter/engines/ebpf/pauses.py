"""Pauses of tracing that keep to an overhead budget: how calls are met again behind them.

A pause begins when entries are seen no longer. Ends are seen until the next turn, so that calls
that were open then are whole; what is open still is noted as in flight. Of a thread that has not
run all the time until calls are seen again it is known that it sleeps in that same call: its end
will have the start that was noted. What any other thread is in has begun within the pause.
"""

from __future__ import annotations

import time
from typing import Dict, List

from hunter.engines.ebpf import loader
from hunter.engines.ebpf.in_flight import InFlight
from hunter.engines.ebpf.members import Members
from hunter.engines.ebpf.process import Process
from hunter.engines.ebpf.slots import Slots
from hunter.engines.ebpf.tracepoints import ENTRIES, EXITS, Tracepoints
from hunter.memory import procfs

_NOT_TOLD = "0 0 0"
"""What schedstat says where the kernel does not count (proc_pid_schedstat)."""


class Pauses:
    """Begins and ends pauses.

    Args:
        tracepoints: the programs.
        slots: the table that the programs see.
        resumed: the map of the starts of calls that go on behind a pause, by thread.
        members: the processes that are traced.
        in_flight: notes open calls.

    Attributes:
        paused: calls are not recorded.
        blind: nor are their ends seen.
    """

    def __init__(
        self,
        tracepoints: Tracepoints,
        slots: Slots,
        resumed: int,
        members: Members,
        in_flight: InFlight,
    ) -> None:
        self._tracepoints = tracepoints
        self._slots = slots
        self._resumed = resumed
        self._members = members
        self._in_flight = in_flight
        self._kept: List[int] = []
        self._asleep: Dict[int, Dict[int, str]] = {}
        self.paused = False
        self.blind = False
        slots.set_epoch(1)

    def begin(self, now: int) -> int:
        """Begins a pause; returns since when calls are not recorded.

        Args:
            now: CLOCK_MONOTONIC ns.
        """
        self.paused = True
        self._tracepoints.leave_calls(ENTRIES)
        return now

    def go_on(self) -> None:
        """Has ends seen no longer either, once in a pause."""
        if not self.paused or self.blind:
            return
        before = {ordinal: _ran(each) for ordinal, each in self._members.processes.items()}
        self._tracepoints.leave_calls(EXITS)
        self.blind = True
        self._slots.set_epoch(0)
        self._asleep = {}
        now = time.monotonic_ns()
        for ordinal, process in self._members.processes.items():
            starts = self._in_flight.note_pause(process, now)
            ran = _ran(process)
            asleep = {tid: text for tid, text in ran.items() if before[ordinal].get(tid) == text}
            process.starts = {tid: start for tid, start in starts.items() if tid in asleep}
            self._asleep[ordinal] = asleep
        self._in_flight.forget_all()
        self._slots.forget_crowd()

    def end(self) -> int:
        """Ends a pause; returns since when calls are recorded, CLOCK_MONOTONIC ns."""
        if not self.blind:
            self._tracepoints.return_to_calls()
            self.paused = False
            return time.monotonic_ns()
        for tid in self._kept:
            loader.delete(self._resumed, tid.to_bytes(4, "little"))
        self._kept = []
        self._tracepoints.return_to_calls()
        # A thread that runs from here on is seen, whether or not its call is recorded.
        for ordinal, process in self._members.processes.items():
            asleep, ran = self._asleep.get(ordinal, {}), _ran(process)
            process.starts = {
                tid: start
                for tid, start in process.starts.items()
                if tid in ran and asleep.get(tid) == ran[tid]
            }
            for tid, start in process.starts.items():
                value = start.to_bytes(8, "little")
                loader.update(self._resumed, tid.to_bytes(4, "little"), value)
                self._kept.append(tid)
            process.announced = set(process.starts)
            process.initial = set(procfs.thread_ids(process.pid))
        self.paused = self.blind = False
        now = time.monotonic_ns()
        for process in self._members.processes.values():
            process.since = now
        self._slots.set_epoch(now)
        return now


def _ran(process: Process) -> Dict[int, str]:
    """Returns how long and how often each thread ran, as text; nothing where that is not told."""
    found = {}
    for tid in procfs.thread_ids(process.pid):
        text = procfs.read_text(f"/proc/{process.pid}/task/{tid}/schedstat")
        if text and text.strip() != _NOT_TOLD:
            found[tid] = text
    return found
