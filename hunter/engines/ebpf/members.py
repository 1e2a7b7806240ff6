"""The processes that are traced: how they come, and how they go."""

from __future__ import annotations

import time
from collections import deque
from typing import Deque, Dict, Mapping

from hg_shared.records import Kind
from hunter.engines.base import TRACED_ALREADY, EngineEvent
from hunter.engines.ebpf import loader
from hunter.engines.ebpf.children import Children
from hunter.engines.ebpf.in_flight import InFlight
from hunter.engines.ebpf.outgoing import Outgoing
from hunter.engines.ebpf.process import Process
from hunter.engines.ebpf.settings import Settings
from hunter.engines.ebpf.slots import Slots
from hunter.engines.ebpf.tracepoints import Tracepoints
from hunter.errors import HunterError, ProcessGone
from hunter.memory import procfs
from hunter.scan import recognition

GRACE_NS = 500_000_000


class Members:
    """Keeps the traced processes, and the programs at their tracepoints while there are some.

    Args:
        tracepoints: the programs.
        slots: the table that the programs see.
        fds: descriptors of the maps by name.
        outgoing: where records go.
        in_flight: notes open calls of processes that are let go.
        children: the slots in store for children.
        settings: what the programs are made for.
    """

    def __init__(
        self,
        tracepoints: Tracepoints,
        slots: Slots,
        fds: Mapping[str, int],
        outgoing: Outgoing,
        in_flight: InFlight,
        children: Children,
        settings: Settings,
    ) -> None:
        self._tracepoints = tracepoints
        self._slots = slots
        self._fds = fds
        self._outgoing = outgoing
        self._in_flight = in_flight
        self._children = children
        self._initial_namespace = settings.pid_ns_initial
        self._follows = settings.follow
        self._last_look = 0
        self.processes: Dict[int, Process] = {}
        """By ordinal."""
        self.notices: Deque[EngineEvent] = deque()
        """What the control thread is to be told."""

    @property
    def alone(self) -> int:
        """Ordinal of the only process whose calls are recorded, 0 when there may be others."""
        if len(self.processes) == 1 and not self._follows:
            return next(iter(self.processes))
        return 0

    def begin(self, ordinal: int, pid: int, now: int) -> Process:
        """Begins to trace a process, and returns it.

        Args:
            ordinal: its number in this run.
            pid: its process id.
            now: CLOCK_MONOTONIC ns.

        Raises:
            ProcessGone: it has ended.
            HunterError: it cannot be traced, or is already.
        """
        threads = procfs.thread_ids(pid)
        leader = procfs.stat(pid)
        if leader is not None and leader.state in procfs.ENDED:
            # No event will tell of its end: the others are the process.
            threads = [tid for tid in threads if tid != pid]
        if not threads:
            raise ProcessGone(f"process {pid} is gone")
        status = procfs.status_fields(pid)
        if recognition.is_marked(status):
            raise HunterError(recognition.OURS)
        nested = len(status.get("NSpid", "").split()) > 1
        if nested and not self._initial_namespace:
            raise HunterError(
                "it is in a PID namespace inside hunter's; --engine auto traces it with ptrace"
            )
        if any(each.pid == pid for each in self.processes.values()):
            raise HunterError(TRACED_ALREADY)
        self._children.fill()
        self._tracepoints.attach()
        slot = self._slots.allocate(ordinal)
        process = Process(ordinal, pid, slot, now, threads)
        self.processes[ordinal] = process
        process.lost_before = self._outgoing.lost(ordinal)
        try:
            self._enter(process)
        except HunterError:
            self._forget(process)
            raise
        # Now that everything is in place: what is done from here on is recorded.
        process.since = time.monotonic_ns()
        self._slots.begin(slot, process.since)
        # Of a thread that was started meanwhile nothing else tells that it sleeps.
        threads = procfs.thread_ids(pid) or threads
        for known in (process.threads, process.initial, process.met):
            known.update(threads)
        return process

    def _enter(self, process: Process) -> None:
        """Makes the programs see a process, and learn how the kernel numbers it."""
        pid, number = process.pid, process.slot.to_bytes(4, "little")
        if not self._initial_namespace:
            loader.update(self._fds["pid_discovery"], pid.to_bytes(4, "little"), number)
            self._slots.set_discovering(True)
            return
        if self._follows:
            self._slots.name(process.slot, pid)
            loader.update(self._fds["members"], pid.to_bytes(4, "little"), number)
        else:
            self._slots.enter(process.slot, pid)
        process.placed = True

    def adopt(self, ordinal: int, pid: int) -> Process:
        """Takes in a child that the kernel traces already, from the first that is heard of it."""
        slot = self._children.remove(ordinal)
        born, creator, comm = self._slots.born(slot)
        process = Process(ordinal, pid, slot, born, [])
        process.threads.add(pid)
        process.placed = True
        self.processes[ordinal] = process
        if self._children.follow is not None:
            command = comm.decode("utf-8", "surrogateescape")
            self._children.follow.declare(ordinal, pid, creator, born, command)
        self.notices.append(EngineEvent("followed", ordinal, born, "", creator))
        return process

    def look_after(self, now: int) -> None:
        """Looks after processes whose number is not known yet, or that are gone unnoticed.

        Args:
            now: CLOCK_MONOTONIC ns.
        """
        self._place(now)
        if now - self._last_look >= GRACE_NS // 2:
            self._last_look = now
            for process in list(self.processes.values()):
                self._look_after(process, now)
        self._note_missed(now)

    def _place(self, now: int) -> None:
        """Ends the discovery of numbers once the programs find every process under its own."""
        undiscovered = [each for each in self.processes.values() if not each.placed]
        for process in undiscovered:
            slot = process.slot
            tgid = self._slots.tgid(slot) if slot else 0
            if not tgid:
                continue
            if not self._follows and not self._slots.has_place(slot):
                try:
                    self._slots.enter(slot, tgid)
                except HunterError as error:
                    self._forget(process)
                    self.notices.append(
                        EngineEvent("attach_failed", process.ordinal, now, str(error))
                    )
                    continue
            process.placed = True
            loader.delete(self._fds["pid_discovery"], process.pid.to_bytes(4, "little"))
        if undiscovered:
            self._discover_on()

    def _discover_on(self) -> None:
        """Has the programs look for numbers only while some process is not found under its own."""
        self._slots.set_discovering(not all(each.placed for each in self.processes.values()))

    def _look_after(self, process: Process, now: int) -> None:
        """Ends a process whose last EXITED record was lost."""
        if procfs.living_thread(process.pid):
            process.gone_since = 0
        elif not process.gone_since:
            process.gone_since = now
        elif now - process.gone_since >= GRACE_NS:
            self.end(process, "exited", now)

    def _note_missed(self, now: int) -> None:
        """Tells of children for which there was no slot."""
        for process in self.processes.values():
            missed = self._slots.missed(process.slot) if process.slot else 0
            if missed > process.missed:
                text = f"{missed - process.missed}"
                self.notices.append(EngineEvent("unfollowed", process.ordinal, now, text))
                process.missed = missed

    def count_losses(self, process: Process) -> None:
        """Takes over from the programs how many records of a process found no room."""
        if process.slot:
            lost = process.lost_before + self._slots.lost(process.slot)
            self._outgoing.set_lost(process.ordinal, lost)

    def leave(self, process: Process) -> None:
        """Lets a process go that `drop` has taken from the programs."""
        now = time.monotonic_ns()
        living = set(procfs.thread_ids(process.pid))
        for tid in sorted(self._in_flight.note_all(process, now) & living):
            self._outgoing.add(self._outgoing.head(Kind.DETACHED, tid, process.ordinal, now))
        self.end(process, "detached", process.until or now)

    def end(self, process: Process, reason: str, now: int) -> None:
        """Drops a process that has ended, or has been let go.

        Args:
            process: the process.
            reason: exited or detached.
            now: CLOCK_MONOTONIC ns.
        """
        if process.threads or not self._follows:
            # Threads that were seen to end have gone from the map by themselves.
            self._in_flight.forget(process)
        self._forget(process)
        self.notices.append(EngineEvent("ended", process.ordinal, now, reason, process.status))

    def drop(self, process: Process) -> None:
        """Has nothing more recorded of a process: keeps the count of its slot and gives it back."""
        if process.slot:
            process.until = time.monotonic_ns()
            self.count_losses(process)
            tgid = self._slots.tgid(process.slot)
            if self._follows and tgid:
                loader.delete(self._fds["members"], tgid.to_bytes(4, "little"))
            self._slots.leave(process.slot)
            process.slot = 0

    def _forget(self, process: Process) -> None:
        self.drop(process)
        loader.delete(self._fds["pid_discovery"], process.pid.to_bytes(4, "little"))
        process.close_memory()
        self.processes.pop(process.ordinal, None)
        if not process.placed:
            self._discover_on()
        if not self.processes and not self._children.born:
            self._tracepoints.detach()
            self._slots.clear()
            self._slots.forget_crowd()
            self._in_flight.forget_all()
