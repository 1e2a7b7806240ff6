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
from collections import Counter, deque
from typing import Deque, Dict, FrozenSet, List, Optional, Set, Tuple, Union

from hg_shared.batch import SLOT_PREFIX, Batch, SlotBatch
from hg_shared.records import BIG_NUMBER, HEAD, HEAD_SIZE, Kind, LossCause, encode_capture
from hunter import captures
from hunter.engines import IDLE_INTERVAL, Counters, Follow, Notice
from hunter.engines.ebpf import layout, loader, maps, open_calls
from hunter.engines.ebpf.group_stops import GroupStops
from hunter.engines.ebpf.plan_table import plan_table
from hunter.engines.ebpf.program import PidNamespace, Settings, kernel_of
from hunter.engines.ebpf.ring import HEADER_SIZE, Ring
from hunter.engines.ebpf.slots import Slots
from hunter.engines.ebpf.tracepoints import Tracepoints
from hunter.errors import HunterError, ProcessGone
from hunter.memory import procfs
from hunter.tracing import kernel, syscall_info

WATERMARK_NS = 100_000_000
MARK_NS = 50_000_000
IDLE_NS = 150_000_000
GRACE_NS = 500_000_000
BATCH_BYTES = 256 << 10
DRAIN_BYTES = 1 << 20
# How long the writer may leave the rings alone: at 2 million records a second this is 3 MB.
BUSY_INTERVAL = 0.01
INITIAL_PID_NAMESPACE = 0xEFFFFFFC
MAX_LEARNING_THREADS = 64
# Slots that children leave to processes that are chosen by their memory.
KEPT_SLOTS = 32


class _Process:
    """A traced process."""

    __slots__ = (
        "announced", "events", "gone_since", "initial", "lost_before", "memory", "missed",
        "ordinal", "pid",
        "signals", "since", "slot", "status", "stops", "threads",
    )  # fmt: skip

    def __init__(self, ordinal: int, pid: int, slot: int, since: int, threads: List[int]) -> None:
        self.ordinal = ordinal
        self.pid = pid
        self.slot = slot
        self.since = since
        self.threads: Set[int] = set(threads)
        self.initial: Set[int] = set(threads)
        self.announced: Set[int] = set()
        self.events: List[int] = []
        self.memory = -1
        self.status = 0
        self.gone_since = 0
        self.lost_before = 0
        self.missed = 0
        self.signals: Dict[int, bytes] = {}
        self.stops = GroupStops(_state)


def _state(tid: int) -> Optional[str]:
    stat = procfs.stat(tid)
    return None if stat is None else stat.state


def ring_sizes(buffer_bytes: int) -> Dict[str, int]:
    """Returns bytes of each ring: powers of two, the first at most the bound and 64 KiB at least.

    Args:
        buffer_bytes: bound of what hunter keeps.
    """
    small = max(1 << (buffer_bytes.bit_length() - 1), 1 << 16)
    rest = max(small // 4, 1 << 16)
    return {"small": small, "large": rest, "events": rest}


class EbpfEngine:
    """Traces with eBPF; see `hunter.engines.Engine`.

    Args:
        machine: as uname(2) says, `x86_64` or `aarch64`.
        release: major and minor number of the kernel.
        string_size: bytes of each string and buffer to keep.
        buffer_bytes: bound of the first ring.
        wanted: syscall numbers to record by ABI, None for all.
        follow_forks: children of traced processes are traced too, once `follow` is set.

    Raises:
        NotPermitted: CAP_BPF or CAP_PERFMON is missing, or a seccomp profile forbids bpf(2).
        HunterError: the kernel lacks something.
    """

    name = "ebpf"

    def __init__(
        self,
        machine: str,
        release: Tuple[int, int],
        string_size: int,
        buffer_bytes: int,
        wanted: Optional[Dict[int, FrozenSet[int]]] = None,
        follow_forks: bool = False,
    ) -> None:
        self.ended = False
        self._follows = follow_forks
        self.follow: Optional[Follow] = None
        if release < (5, 11):
            loader.raise_memlock()
        abi = syscall_info.MACHINE_ABI[machine]
        plans = plan_table(abi, string_size, wanted)
        sizes = ring_sizes(buffer_bytes)
        fds = maps.create(plans, sizes, follow_forks)
        space = os.stat("/proc/self/ns/pid")
        initial = space.st_ino == INITIAL_PID_NAMESPACE
        slots = layout.slot_sizes(string_size)
        settings = Settings(
            fds,
            kernel_of(machine, release),
            PidNamespace(space.st_dev, space.st_ino, initial),
            slots,
            wanted is not None,
            follow_forks,
        )
        self._tracepoints = Tracepoints(settings)
        self._fds = fds
        self._abi = int(abi)
        self._limit = string_size
        self._initial_namespace = initial
        self._wanted = None if wanted is None else wanted.get(abi, frozenset())
        self._slots = Slots(
            loader.map_memory(
                fds["state"], layout.FOLLOW_STATE_SIZE if follow_forks else layout.STATE_SIZE
            )
        )
        self._rings = [
            (Ring(fds["small"], sizes["small"]), HEADER_SIZE + HEAD_SIZE + slots.small),
            (Ring(fds["large"], sizes["large"]), HEADER_SIZE + HEAD_SIZE + slots.large),
        ]
        self._events = Ring(fds["events"], sizes["events"])
        # Children of whom a call was drained and nothing else yet, and the thread that made it.
        self._unseen: Dict[int, int] = {}
        self._open_calls = open_calls.OpenCalls(fds["threads"], fds["entries"])
        self._lock = threading.Lock()
        self._processes: Dict[int, _Process] = {}
        # Slots for children that are not born yet, or not seen yet, by their ordinals.
        self._spares: Dict[int, int] = {}
        self._notices: Deque[Notice] = deque()
        self._stop = threading.Event()
        self._rows: List[bytes] = []
        self._announced: Dict[int, int] = {}
        self._sent: Dict[int, int] = {}
        self._lost: Dict[int, int] = {}
        self._noted: Dict[int, int] = {}
        self._first = 0
        self._watermark = 0
        self._last_records = 0
        self._last_mark = 0
        self._last_look = 0

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
            try:
                threads = self._begin(ordinal, pid, now)
            except HunterError as error:
                self._notices.append(Notice("attach_failed", ordinal, now, str(error)))
            else:
                self._notices.append(Notice("attached", ordinal, now, "", threads))

    def _begin(self, ordinal: int, pid: int, now: int) -> int:
        threads = procfs.thread_ids(pid)
        if not threads:
            raise ProcessGone(f"process {pid} is gone")
        nested = len(procfs.status_fields(pid).get("NSpid", "").split()) > 1
        if nested and not self._initial_namespace:
            raise HunterError(
                "it is in a PID namespace inside hunter's; --engine ptrace-python can trace it"
            )
        if any(each.pid == pid for each in self._processes.values()):
            raise HunterError("it is traced already, as a child of another process")
        self._fill_spares()
        self._tracepoints.attach()
        slot = self._slots.take(ordinal, now)
        process = _Process(ordinal, pid, slot, now, threads)
        self._processes[ordinal] = process
        process.lost_before = self._lost.get(ordinal, 0)
        try:
            if self._initial_namespace and self._follows:
                self._slots.name(slot, pid)
                number = slot.to_bytes(4, "little")
                loader.update(self._fds["members"], pid.to_bytes(4, "little"), number)
            elif self._initial_namespace:
                self._slots.enter(slot, pid)
            else:
                loader.update(
                    self._fds["wanted"], pid.to_bytes(4, "little"), slot.to_bytes(4, "little")
                )
                for tid in threads[:MAX_LEARNING_THREADS]:
                    process.events += loader.open_task_events(tid, self._tracepoints.learn)
        except HunterError:
            if not process.events:
                self._forget(process)
                raise
        return len(threads)

    def _fill_spares(self) -> None:
        """Keeps slots in store, from which the kernel takes those of children as they are born."""
        if not self._follows or self.follow is None or self._stop.is_set():
            return
        for _ in range(min(layout.SPARES - len(self._spares), self._slots.free - KEPT_SLOTS)):
            ordinal = self.follow.reserve()
            if not ordinal:
                break
            slot = self._slots.take(ordinal, 0)
            self._spares[ordinal] = slot
            loader.push(self._fds["spares"], slot.to_bytes(4, "little"))

    def _adopt(self, ordinal: int, pid: int) -> _Process:
        """Takes in a child that the kernel traces already, from the first that is heard of it."""
        slot = self._spares.pop(ordinal)
        born, creator, comm = self._slots.born(slot)
        process = _Process(ordinal, pid, slot, born, [])
        process.threads.add(pid)
        self._processes[ordinal] = process
        if self.follow is not None:
            command = comm.decode("utf-8", "surrogateescape")
            self.follow.declare(ordinal, pid, creator, born, command)
        self._notices.append(Notice("followed", ordinal, born, "", creator))
        return process

    def detach(self, ordinal: int) -> None:
        """Ends the tracing of a process."""
        with self._lock:
            process = self._processes.get(ordinal)
            if process is not None:
                self._leave(process)

    def stop(self) -> None:
        """Ends all tracing and `run`."""
        with self._lock:
            self._stop.set()
            now = time.monotonic_ns()
            for record in self._events.take_records(self._events.end(), 16384):
                self._take_event(record, now)
            for process in list(self._processes.values()):
                self._leave(process)

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Pauses tracing, or goes on with it; see `hunter.engines.ptrace.PtraceEngine`."""
        with self._lock:
            if on:
                # What was open at the pause has returned unseen, or will: it must not be taken
                # for the call whose end is seen first.
                self._open_calls.forget(set(self._open_calls.read(0)[1]))
            self._tracepoints.set_calls(on)
            for process in self._processes.values():
                args = (int(on), round(loss * 1000))
                self._rows.append(
                    self._head(Kind.WINDOW, process.pid, process.ordinal, now_ns, args)
                )

    def stops(self) -> int:
        """Returns how often a program ran for a traced call: twice for each record."""
        return 2 * (sum(self._sent.values()) + sum(self._lost.values()))

    def poke(self) -> None:
        """Looks after processes whose number is not known yet, or that are gone unnoticed."""
        now = time.monotonic_ns()
        with self._lock:
            for process in list(self._processes.values()):
                if process.events and self._slots.tgid(process.slot):
                    self._close_events(process)
            if now - self._last_look >= GRACE_NS // 2:
                self._last_look = now
                for process in list(self._processes.values()):
                    self._look_after(process, now)
            self._note_missed(now)

    def _note_missed(self, now: int) -> None:
        """Tells of children for which there was no slot."""
        for process in self._processes.values():
            missed = self._slots.missed(process.slot) if process.slot else 0
            if missed > process.missed:
                text = f"{missed - process.missed}"
                self._notices.append(Notice("unfollowed", process.ordinal, now, text))
                process.missed = missed

    def _look_after(self, process: _Process, now: int) -> None:
        """Ends a process whose last EXITED record was lost."""
        stat = procfs.stat(process.pid)
        if stat is not None and (stat.state not in "ZX" or len(procfs.thread_ids(process.pid)) > 1):
            process.gone_since = 0
        elif not process.gone_since:
            process.gone_since = now
        elif now - process.gone_since >= GRACE_NS:
            self._end(process, "exited", now)

    def notices(self) -> List[Notice]:
        """Returns what happened since the last call."""
        found = []
        while self._notices:
            found.append(self._notices.popleft())
        return found

    def _leave(self, process: _Process) -> None:
        now = time.monotonic_ns()
        # The records of what ended before are in the rings: they are read before the threads go.
        self._drop(process)
        blocked = self._unseen_calls(process)
        calls, known = self._open_calls.read(1 << 63)
        calls = [call for call in calls if call.process == process.ordinal]
        for call in (*calls, *(call for call in blocked if call.tid not in known)):
            if self._announced.get(call.tid) != call.start:
                self._add_row(open_calls.in_flight(call, now, self._reader(process), self._limit))
        for tid in sorted(process.threads | self._threads_of(process, known)):
            self._add_row(self._head(Kind.DETACHED, tid, process.ordinal, now))
        self._end(process, "detached", now)

    @staticmethod
    def _threads_of(process: _Process, known: Dict[int, int]) -> Set[int]:
        return {tid for tid, ordinal in known.items() if ordinal == process.ordinal}

    def _drop(self, process: _Process) -> None:
        """Keeps the count of a slot and gives the slot back."""
        if process.slot:
            self._count_losses(process)
            tgid = self._slots.tgid(process.slot)
            if self._follows and tgid:
                loader.delete(self._fds["members"], tgid.to_bytes(4, "little"))
            self._slots.leave(process.slot)
            process.slot = 0

    def _end(self, process: _Process, reason: str, now: int) -> None:
        if process.threads or not self._follows:
            # Threads that were seen to end have gone from the map by themselves.
            known = self._open_calls.read(0)[1]
            self._open_calls.forget(process.threads | self._threads_of(process, known))
        self._forget(process)
        self._notices.append(Notice("ended", process.ordinal, now, reason, process.status))

    def _forget(self, process: _Process) -> None:
        self._drop(process)
        loader.delete(self._fds["wanted"], process.pid.to_bytes(4, "little"))
        self._close_events(process)
        self._close_memory(process)
        self._processes.pop(process.ordinal, None)
        if not self._processes and not any(map(self._slots.tgid, self._spares.values())):
            self._tracepoints.detach()
            self._slots.clear()

    @staticmethod
    def _close_events(process: _Process) -> None:
        for fd in process.events:
            os.close(fd)
        process.events = []

    @staticmethod
    def _close_memory(process: _Process) -> None:
        if process.memory >= 0:
            os.close(process.memory)
        process.memory = -1

    def _reader(self, process: _Process) -> captures.Read:
        if process.memory < 0:
            try:
                process.memory = kernel.open_memory(process.pid)
            except HunterError:
                pass  # without CAP_SYS_PTRACE: calls in flight go without captures
        memory = process.memory

        def read(address: int, length: int) -> Optional[bytes]:
            try:
                return os.pread(memory, length, address)
            except (OSError, OverflowError):
                return None

        return read

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> List[Union[Batch, SlotBatch]]:
        """Returns the records taken since the last call; see `Engine.drain`.

        At most 1 MiB at a time: what the writer holds is not in the rings any more.
        """
        with self._lock:
            batches = self._drain(now_ns, everything)
            while everything and any(ring.waiting() for ring in self._all_rings()):
                before = self.queued_bytes()
                batches += self._drain(now_ns, everything)
                if self.queued_bytes() == before:
                    break  # unfinished: its program was killed with a CPU
            return batches

    def _all_rings(self) -> List[Ring]:
        return [*(ring for ring, _ in self._rings), self._events]

    def _drain(self, now: int, everything: bool) -> List[Union[Batch, SlotBatch]]:
        watermark = now if everything else now - WATERMARK_NS
        due = everything or now - self._last_mark >= MARK_NS
        looked: List[Tuple[_Process, Optional[Set[int]]]] = []
        if due:
            # Open calls are listed before the ends of the rings are read: one that returns
            # meanwhile is announced in front of its record, never missed. Likewise the signal
            # that stopped a thread is in its ring when the thread is seen to be stopped.
            self._announce(watermark, now)
            looked = [
                (process, process.stops.look(now, process.threads))
                for process in self._processes.values()
            ]
        ends = [(ring, ring.end()) for ring in self._all_rings()]
        early, self._rows = self._rows, []
        batches: List[Union[Batch, SlotBatch]] = self._row_batches(early)
        room = DRAIN_BYTES
        for ring, stride in self._rings:
            end = ring.end()
            while room > 0:
                slots = ring.take_slots(stride, end, BATCH_BYTES // stride)
                if not slots:
                    break
                room -= len(slots)
                self._count_slots(slots, stride)
                batches.append(SlotBatch(0, self._first, 0, stride, slots))
                self._first += len(slots) // stride
        for record in self._events.take_records(self._events.end(), 16384):
            self._take_event(record, now)
        if self._follows:
            self._keep_up()
        for process, stopped in looked:
            if stopped is not None:
                self._note_stopped(process, stopped, now)
        for process in list(self._processes.values()):
            self._count_losses(process)
        self._note_losses(now)
        rows, self._rows = self._rows, []
        batches += self._row_batches(rows)
        complete = all(ring.position >= end for ring, end in ends)
        if batches:
            self._last_records = now
        if due and complete:
            if not batches and (
                now - self._last_records <= 2 * WATERMARK_NS or now - self._last_mark >= IDLE_NS
            ):
                batches = [Batch(0, self._first, 0, b"", b"")]
            if batches:
                self._watermark = max(watermark, self._watermark)
                self._last_mark = now
        if batches:
            batches[-1] = batches[-1]._replace(watermark=self._watermark)
        return batches

    def _keep_up(self) -> None:
        """Takes in children whose first event was lost; those that come too late are let go."""
        for ordinal, tid in self._unseen.items():
            if ordinal in self._spares:
                self._adopt(ordinal, tid)
        self._unseen.clear()
        if self._stop.is_set():
            for process in list(self._processes.values()):
                self._leave(process)
        else:
            self._fill_spares()

    def _row_batches(self, rows: List[bytes]) -> List[Union[Batch, SlotBatch]]:
        batches: List[Union[Batch, SlotBatch]] = []
        at = 0
        while at < len(rows):
            size = 0
            start = at
            while at < len(rows) and size < BATCH_BYTES:
                size += len(rows[at])
                at += 1
            part = rows[start:at]
            heads = b"".join([row[:HEAD_SIZE] for row in part])
            data = b"".join([row[HEAD_SIZE:] for row in part])
            batches.append(Batch(0, self._first, 0, heads, data))
            self._first += len(part)
        return batches

    def _count_slots(self, slots: bytes, stride: int) -> None:
        count = len(slots) // stride
        at = SLOT_PREFIX + 76
        if len(self._sent) == 1 and len(self._processes) == 1 and not self._follows:
            (ordinal,) = self._sent
            if ordinal in self._processes:
                self._sent[ordinal] += count
                return
        words = memoryview(slots).cast("I")[at // 4 :: stride // 4]
        for ordinal, number in Counter(words).items():
            self._sent[ordinal] = self._sent.get(ordinal, 0) + number
            if ordinal in self._spares:
                first = words.tolist().index(ordinal)
                place = first * stride + SLOT_PREFIX + 72
                tid = int.from_bytes(slots[place : place + 4], "little")
                self._unseen.setdefault(ordinal, tid)

    def _add_row(self, row: bytes) -> None:
        """Adds a record that hunter made itself, or looked at."""
        ordinal = int.from_bytes(row[76:80], "little")
        self._sent[ordinal] = self._sent.get(ordinal, 0) + 1
        self._rows.append(row)

    def _head(
        self, kind: int, tid: int, ordinal: int, now: int, args: Tuple[int, ...] = (0, 0)
    ) -> bytes:
        return HEAD.pack(
            now, 0, 0, args[0], args[1], 0, 0, 0, 0, tid, ordinal, 0, kind, self._abi, 0
        )

    def _count_losses(self, process: _Process) -> None:
        if process.slot:
            self._lost[process.ordinal] = process.lost_before + self._slots.lost(process.slot)

    def _note_losses(self, now: int) -> None:
        for ordinal, lost in self._lost.items():
            more = lost - self._noted.get(ordinal, 0)
            if more > 0:
                self._noted[ordinal] = lost
                args = (more, int(LossCause.QUEUE_FULL))
                self._rows.append(self._head(Kind.LOST, 0, ordinal, now, args))

    def _announce(self, before: int, now: int) -> None:
        """Notes calls that began before the watermark and have not been noted yet."""
        blocked = [
            call
            for process in self._processes.values()
            if process.since < before
            for call in self._unseen_calls(process)
        ]
        calls, known = self._open_calls.read(before)
        announced = {}
        for call in calls:
            process = self._processes.get(call.process)
            if process is None:
                continue
            if self._announced.get(call.tid) == call.start:
                announced[call.tid] = call.start
            elif self._open_calls.still_open(call):
                announced[call.tid] = call.start
                self._add_row(open_calls.in_flight(call, now, self._reader(process), self._limit))
        for call in blocked:
            if call.tid in known:
                continue
            process = self._processes[call.process]
            process.announced.add(call.tid)
            self._add_row(open_calls.in_flight(call, now, self._reader(process), self._limit))
        for process in self._processes.values():
            for tid in process.announced & process.initial:
                if tid not in known:
                    announced[tid] = process.since
                elif self._announced.get(tid) == process.since:
                    announced.setdefault(tid, process.since)
        self._announced = announced

    def _unseen_calls(self, process: _Process) -> List[open_calls.OpenCall]:
        """Returns the calls in which threads sleep that no program has seen yet."""
        found = []
        for tid in process.initial - process.announced:
            text = procfs.read_text(f"/proc/{process.pid}/task/{tid}/syscall")
            call = open_calls.parse_syscall(text)
            if call is None or (self._wanted is not None and call[0] not in self._wanted):
                continue
            number, args = min(call[0], BIG_NUMBER), call[1]
            since, ordinal = process.since, process.ordinal
            found.append(
                open_calls.OpenCall(b"", tid, ordinal, since, number, self._abi, args, b"")
            )
        return found

    def _note_stopped(self, process: _Process, stopped: Set[int], now: int) -> None:
        for tid in process.stops.settle(stopped, now):
            row = bytearray(self._head(Kind.STOPPED, tid, process.ordinal, now))
            row[80:82] = process.stops.signal.to_bytes(2, "little")
            self._add_row(bytes(row))

    def _take_event(self, record: bytes, now: int) -> None:
        """Takes a record of the third ring."""
        head = HEAD.unpack_from(record)
        size = head[14]
        record = record[: HEAD_SIZE + size]
        start, tid, ordinal, kind = head[0], head[9], head[10], head[12]
        process = self._processes.get(ordinal)
        if process is None and ordinal in self._spares:
            process = self._adopt(ordinal, tid)
        if process is None or kind == Kind.SYSCALL:
            self._add_row(record)
            return
        if not tid:
            # A signal for a thread that no program has seen: the leader stands for it.
            record = record[:72] + process.pid.to_bytes(4, "little") + record[76:]
        if kind == Kind.ATTACHED:
            if tid in process.initial:
                return
            process.threads.add(tid)
        elif kind == Kind.IN_FLIGHT and self._announced.get(tid) == start:
            return
        elif kind == Kind.EXEC:
            record = self._executed(process, head, record[HEAD_SIZE:], now)
        elif kind == layout.SENT:
            process.signals[head[11]] = record
            process.stops.sent(head[11], start)
            return
        elif kind == Kind.SIGNAL:
            process.signals.pop(head[11], None)
            process.stops.sent(head[11], start)
            process.stops.delivered(head[11], now)
        elif kind == Kind.EXITED:
            self._note_fatal(process, head[2] & 0x7F)
        self._add_row(record)
        if kind == Kind.EXITED:
            process.threads.discard(tid)
            process.initial.discard(tid)
            status = head[2] & 0xFFFF
            if tid == process.pid or not process.status:
                process.status = status
            if not process.threads:
                self._perhaps_ended(process, now)

    def _note_fatal(self, process: _Process, signal: int) -> None:
        """Notes the signal that ended a process, in whose place SIGKILL was delivered."""
        sent = process.signals.pop(signal, None)
        if sent is not None:
            row = bytearray(sent)
            row[82] = Kind.SIGNAL
            start = max(int.from_bytes(sent[:8], "little"), self._watermark)
            row[:8] = start.to_bytes(8, "little")
            self._add_row(bytes(row))

    def _perhaps_ended(self, process: _Process, now: int) -> None:
        stat = procfs.stat(process.pid)
        others = [tid for tid in procfs.thread_ids(process.pid) if tid != process.pid]
        if stat is None or stat.state in "ZX" or not others:
            self._end(process, "exited", now)
        else:
            process.threads.update(others)

    def _executed(self, process: _Process, head: Tuple[int, ...], data: bytes, now: int) -> bytes:
        tid, former = head[9], head[3]
        process.threads.discard(former)
        process.threads.add(tid)
        process.initial.discard(former)
        self._close_memory(process)
        command = data.split(b"\0", 1)[0]
        try:
            executable = os.fsencode(os.readlink(f"/proc/{process.pid}/exe"))
        except OSError:
            executable = b""
        texts = b"".join(
            encode_capture(0, hop, text, len(text))
            for hop, text in enumerate((command, executable))
        )
        name = command.decode("utf-8", "backslashreplace")
        self._notices.append(Notice("exec", process.ordinal, now, name))
        return HEAD.pack(*head[:14], len(texts)) + texts

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        sent, lost = dict(self._sent), dict(self._lost)
        return {
            ordinal: Counters(sent.get(ordinal, 0) + lost.get(ordinal, 0), lost.get(ordinal, 0))
            for ordinal in {*sent, *lost}
        }

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return sum(ring.waiting() for ring in self._all_rings())
