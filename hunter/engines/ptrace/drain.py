"""The writer's side of a ptrace engine: takes its queue, with notes of what no stop has told."""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, List, Tuple

from hg_shared.batch import Batch
from hg_shared.records import HEAD, Kind
from hunter.engines.base import Counters
from hunter.engines.ptrace.syscall_loop import SyscallLoop
from hunter.engines.ptrace.syscall_reader import SyscallReader
from hunter.engines.ptrace.tracee import Entered, Tracee, Tracees

WATERMARK_NS = 100_000_000
IDLE_NS = 150_000_000


class Drain:
    """Takes records out of a queue for the writer.

    Args:
        loop: has the queue into which the tracer puts records, and the calls that threads are in.
        tracees: kept by the tracer.
        reader: makes the records of calls in flight.
    """

    def __init__(self, loop: SyscallLoop, tracees: Tracees, reader: SyscallReader) -> None:
        self._loop = loop
        self._queue = loop.queue
        self._tracees = tracees
        self._reader = reader
        self._announced: Dict[int, int] = {}
        self._windows: Deque[Tuple[int, int, int, Tuple[int, int, int, int]]] = deque()
        self._last_records = 0
        self._last_mark = 0

    def record_window(
        self, now_ns: int, tracee: Tracee, on: bool, loss: float, but: int = 0, tid: int = 0
    ) -> None:
        """Records that the recording of a process's calls pauses or goes on.

        Args:
            now_ns: CLOCK_MONOTONIC.
            tracee: the process.
            on: whether calls are recorded from now on.
            loss: share of its time that the target was estimated to lose.
            but: threads whose calls are not recorded yet.
            tid: the only thread that this is about; 0 for all.
        """
        args = (int(on), round(loss * 1000), but, tid)
        self._windows.append((now_ns, tracee.pid, tracee.ordinal, args))

    def has_announced(self, tid: int, entered: Entered) -> bool:
        """Tells whether the call a thread is in has an IN_FLIGHT record already."""
        return self._announced.get(tid) == entered[0]

    def drain(self, now_ns: int, everything: bool = False) -> List[Batch]:
        """Returns the records taken since the last call; see `Engine.drain`."""
        watermark = now_ns if everything else now_ns - WATERMARK_NS
        heads, data = self._in_flight(watermark, now_ns)
        batches = self._queue.dequeue(watermark, (self._window_heads() + heads, data))
        if everything:
            # Only now is there room for a note of each process.
            self._queue.flush_losses(now_ns)
            batches += self._queue.dequeue(watermark)
        if batches:
            self._last_records = now_ns
        elif now_ns - self._last_records <= 2 * WATERMARK_NS or now_ns - self._last_mark >= IDLE_NS:
            # What was sent last is printed once the watermark has passed it; after that the
            # watermark shows that calls in flight grow older, and how little can be missing when
            # nothing follows because the container has died.
            batches = [self._queue.empty(watermark)]
        if batches:
            self._last_mark = now_ns
        return batches

    def mark(self, now_ns: int) -> Batch:
        """Returns a batch without records, for a reader that waits for this source's watermark.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        self._last_mark = now_ns
        return self._queue.empty(now_ns - WATERMARK_NS)

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        sent, lost = self._queue.sent(), self._queue.lost()
        return {
            ordinal: Counters(sent.get(ordinal, 0) + lost.get(ordinal, 0), lost.get(ordinal, 0))
            for ordinal in {*sent, *lost}
        }

    def _window_heads(self) -> bytes:
        """Returns the notes about windows of tracing, as heads."""
        heads, abi = [], self._reader.abi
        while self._windows:
            start, tid, ordinal, args = self._windows.popleft()
            heads.append(HEAD.pack(start, 0, 0, *args, 0, 0, tid, ordinal, 0, Kind.WINDOW, abi, 0))
        return b"".join(heads)

    def _in_flight(self, before: int, now: int) -> Tuple[bytes, bytes]:
        """Notes calls that started before the watermark and have not been noted yet.

        The open calls are listed before the queue is taken: one that returns meanwhile stands in
        front of its own SYSCALL record, never behind it.
        """
        heads, parts = [], []
        open_calls = [*self._loop.open_calls(), *list(self._tracees.interrupted.items())]
        announced = {}
        for tid, entered in open_calls:
            start = entered[0]
            if start >= before:
                continue
            announced[tid] = start
            if self._announced.get(tid) == start:
                continue
            tracee = self._tracees.owners.get(tid)
            if tracee is not None:
                head, data = self._reader.open_record(tid, tracee, entered, now)
                heads.append(head)
                parts.append(data)
        self._announced = announced
        return b"".join(heads), b"".join(parts)
