"""The `ebpf` engine: the kernel makes the records, hunter only carries them.

Programs at raw tracepoints put finished records into ring buffers: two of fixed slots, which are
passed on in whole stretches, and one for everything else (long captures, signals, threads, exec,
exit), whose records are looked at one by one. Requests are carried out by the thread that makes
them; the main thread has nothing to do.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Dict, FrozenSet, List, Optional, Set, Tuple, Union

from hg_shared.batch import Batch, SlotBatch
from hg_shared.records import HEAD_SIZE
from hunter.engines.base import (
    IDLE_INTERVAL,
    MACHINE_ABI,
    Counters,
    EngineEvent,
    Follow,
)
from hunter.engines.ebpf import layout, loader, maps
from hunter.engines.ebpf.children import Children
from hunter.engines.ebpf.events import Events
from hunter.engines.ebpf.in_flight import InFlight
from hunter.engines.ebpf.members import Members
from hunter.engines.ebpf.open_calls import OpenCalls
from hunter.engines.ebpf.outgoing import BATCH_BYTES, Outgoing
from hunter.engines.ebpf.pauses import Pauses
from hunter.engines.ebpf.plan_table import plan_table
from hunter.engines.ebpf.process import Process
from hunter.engines.ebpf.ring import HEADER_SIZE, Ring
from hunter.engines.ebpf.settings import settings_of
from hunter.engines.ebpf.slots import Slots
from hunter.engines.ebpf.tracepoints import Tracepoints
from hunter.errors import HunterError
from hunter.watchdog.progress import ProgramsProgress, Progress

WATERMARK_NS = 100_000_000
MARK_NS = 50_000_000
IDLE_NS = 150_000_000
DRAIN_BYTES = 1 << 19
# How long the writer may leave the rings alone: at 2 million records a second this is 3 MB.
BUSY_INTERVAL = 0.01


def ring_sizes(buffer_bytes: int) -> Dict[str, int]:
    """Returns bytes of each ring: powers of two, the first at most the bound and 64 KiB at least.

    Args:
        buffer_bytes: bound of what hunter keeps.
    """
    small = max(1 << (buffer_bytes.bit_length() - 1), 1 << 16)
    rest = max(small // 4, 1 << 16)
    return {"small": small, "large": rest, "events": rest}


class EbpfEngine:
    """Traces with eBPF; see `hunter.engines.base.Engine`.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        release: major and minor number of the kernel.
        string_size: bytes of each string and buffer to keep.
        buffer_bytes: bound of the first ring.
        wanted: syscall numbers to record by ABI, None for all.
        follow_forks: children of traced processes are traced too, once `follow` is set.
        source: number of its records' source.
        progress: told whether the programs run, and that they are looked after.

    Raises:
        NotPermitted: CAP_BPF or CAP_PERFMON is missing, or a seccomp profile forbids bpf(2).
        HunterError: the kernel lacks something.
    """

    name = "ebpf"
    shares = True

    def __init__(
        self,
        machine: str,
        release: Tuple[int, int],
        string_size: int,
        buffer_bytes: int,
        wanted: Optional[Dict[int, FrozenSet[int]]] = None,
        follow_forks: bool = False,
        source: int = 0,
        progress: Optional[ProgramsProgress] = None,
    ) -> None:
        self.ended = False
        self._progress = progress or Progress().programs
        self._follows = follow_forks
        if release < (5, 11):
            loader.raise_memlock()
        abi = MACHINE_ABI[machine]
        plans = plan_table(abi, string_size, wanted)
        sizes = ring_sizes(buffer_bytes)
        fds = maps.create(plans, sizes, follow_forks)
        space = os.stat("/proc/self/ns/pid")
        settings = settings_of(
            machine,
            release,
            (space.st_dev, space.st_ino),
            string_size,
            wanted is not None,
            follow_forks,
        )
        self._tracepoints = Tracepoints(settings, fds)
        slot = HEADER_SIZE + HEAD_SIZE
        self._rings = [
            (Ring(fds["small"], sizes["small"]), slot + settings.small),
            (Ring(fds["large"], sizes["large"]), slot + layout.LARGE_CAPTURES),
        ]
        self._third = Ring(fds["events"], sizes["events"])
        table = Slots(loader.map_memory(fds["state"], maps.state_size(follow_forks)))
        self._outgoing = outgoing = Outgoing(int(abi), source)
        self._in_flight = InFlight(
            OpenCalls(fds["threads"], fds["entries"]),
            outgoing,
            int(abi),
            None if wanted is None else wanted.get(abi, frozenset()),
            string_size,
            lambda: table.crowded,
        )
        self._children = Children(table, fds["spares"] if follow_forks else -1)
        self._members = Members(
            self._tracepoints, table, fds, outgoing, self._in_flight, self._children, settings
        )
        self._events = Events(self._members, self._children, self._in_flight, outgoing)
        self._pauses = Pauses(
            self._tracepoints, table, fds["resumed"], self._members, self._in_flight
        )
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._loss = 0.0
        self._last_records = 0
        self._last_mark = 0

    @property
    def follow(self) -> Optional[Follow]:
        """Takes the children of traced processes in; None to leave them alone. Set before `run`."""
        return self._children.follow

    @follow.setter
    def follow(self, follow: Optional[Follow]) -> None:
        self._children.follow = follow

    @property
    def interval(self) -> float:
        """Seconds after which the writer must look again."""
        return BUSY_INTERVAL if self._tracepoints.attached else IDLE_INTERVAL

    # Main thread.

    def run(self) -> None:
        """Waits for `stop`."""
        while not self._stop.wait(3600):
            pass
        self.ended = True

    # Control thread.

    def attach(self, ordinal: int, pid: int) -> None:
        """Begins to trace a process."""
        with self._lock:
            now = time.monotonic_ns()
            notices = self._members.notices
            self._progress.active = True
            try:
                process = self._members.begin(ordinal, pid, now)
            except HunterError as error:
                notices.append(EngineEvent("attach_failed", ordinal, now, str(error)))
                return
            count, since = len(process.threads), process.since
            notices.append(EngineEvent("attached", ordinal, since, "", count))
            if self._pauses.paused:
                self._outgoing.note_window(pid, ordinal, False, self._loss, since)

    def detach(self, ordinal: int) -> None:
        """Ends the tracing of a process."""
        with self._lock:
            process = self._members.processes.get(ordinal)
            if process is not None:
                self._leave([process])

    def stop(self) -> None:
        """Ends all tracing and `run`."""
        with self._lock:
            self._stop.set()
            self._children.closed = True
            self._take_events(time.monotonic_ns(), 16384)
            self._leave(list(self._members.processes.values()))

    def _leave(self, processes: List[Process]) -> None:
        """Lets processes go; threads and processes that ended before are not noted once more."""
        for process in processes:
            self._members.drop(process)
        while self._take_events(time.monotonic_ns(), 16384):
            pass
        for process in processes:
            if process.ordinal in self._members.processes:
                self._members.leave(process)

    def _take_events(self, now: int, most: int) -> int:
        """Looks at records of the third ring; returns how many there were."""
        records = self._third.take_records(self._third.end(), most)
        for record in records:
            self._events.receive(record, now)
        return len(records)

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Pauses tracing, or goes on with it; see `ptrace_engine.PtraceEngine`."""
        with self._lock:
            self._loss = loss
            now = self._pauses.end() if on else self._pauses.begin(now_ns)
            for process in self._members.processes.values():
                self._outgoing.note_window(process.pid, process.ordinal, on, loss, now)

    def stops(self) -> int:
        """Returns how often a program ran for a traced call: twice for each record."""
        return 2 * self._outgoing.records()

    def poke(self) -> None:
        """Looks after processes whose number is not known yet, or that are gone unnoticed."""
        now = time.monotonic_ns()
        with self._lock:
            self._progress.count_step()
            self._members.look_after(now)
            self._pauses.go_on()

    def events(self) -> List[EngineEvent]:
        """Returns what happened since the last call."""
        found, notices = [], self._members.notices
        while notices:
            found.append(notices.popleft())
        return found

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> List[Union[Batch, SlotBatch]]:
        """Returns the records taken since the last call; see `Engine.drain`.

        At most half a MiB at a time: what the writer holds is not in the rings any more.
        """
        with self._lock:
            self._progress.count_step()
            self._progress.active = self._tracepoints.attached
            batches = self._drain(now_ns, everything)
            while everything and any(ring.waiting() for ring in self._all_rings()):
                before = self.queued_bytes()
                batches += self._drain(now_ns, everything)
                if self.queued_bytes() == before:
                    break  # unfinished: its program was killed with a CPU
            return batches

    def _all_rings(self) -> List[Ring]:
        return [*(ring for ring, _ in self._rings), self._third]

    def _drain(self, now: int, everything: bool) -> List[Union[Batch, SlotBatch]]:
        watermark = now if everything else now - WATERMARK_NS
        due = everything or now - self._last_mark >= MARK_NS
        outgoing, processes = self._outgoing, self._members.processes
        looked: List[Tuple[Process, Optional[Set[int]]]] = []
        if due:
            # Open calls are listed before the ends of the rings are read: one that returns
            # meanwhile is announced in front of its record, never missed. Likewise the signal
            # that stopped a thread is in its ring when the thread is seen to be stopped.
            if not self._pauses.blind:
                self._in_flight.announce(processes, watermark, now)
            looked = [
                (process, process.stops.look(now, process.threads))
                for process in processes.values()
            ]
        ends = [(ring, ring.end()) for ring in self._all_rings()]
        batches = [*outgoing.take_rows(), *self._take_slots()]
        self._take_events(now, 16384)
        if self._follows:
            self._keep_up()
        for process, stopped in looked:
            if stopped is not None:
                self._events.note_stopped(process, stopped, now)
        for process in list(processes.values()):
            self._members.count_losses(process)
        outgoing.note_losses(now)
        batches += outgoing.take_rows()
        complete = all(ring.position >= end for ring, end in ends)
        if batches:
            self._last_records = now
        if due and complete:
            if not batches and (
                now - self._last_records <= 2 * WATERMARK_NS or now - self._last_mark >= IDLE_NS
            ):
                batches = [outgoing.empty()]
            if batches:
                outgoing.watermark = max(watermark, outgoing.watermark)
                self._last_mark = now
        if batches:
            batches[-1] = batches[-1]._replace(watermark=outgoing.watermark)
        return batches

    def _take_slots(self) -> List[Union[Batch, SlotBatch]]:
        """Returns records of the first two rings, half a MiB at most."""
        outgoing, room = self._outgoing, DRAIN_BYTES
        batches: List[Union[Batch, SlotBatch]] = []
        for ring, stride in self._rings:
            end = ring.end()
            while room > 0:
                slots = ring.take_slots(stride, end, BATCH_BYTES // stride)
                if not slots:
                    break
                room -= len(slots)
                ordinals = outgoing.count(slots, stride, self._members.alone)
                if self._follows:
                    self._children.see(ordinals, slots, stride)
                batches.append(outgoing.batch(slots, stride))
        return batches

    def _keep_up(self) -> None:
        """Takes in children whose first event was lost; those that come too late are let go."""
        for ordinal, tid in self._children.take_unseen():
            self._members.adopt(ordinal, tid)
        if self._stop.is_set():
            self._leave(list(self._members.processes.values()))
        else:
            self._children.fill()

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        return self._outgoing.counters()

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return sum(ring.waiting() for ring in self._all_rings())
