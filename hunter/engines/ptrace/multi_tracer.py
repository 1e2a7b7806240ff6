"""Several tracers in one hunter: threads of its own, each with its tracees, its queue and its CPU.

ptrace(2) binds a tracee to the thread that seized it. The first tracer is the main thread; others
are started when a target keeps more than one CPU busy, which one tracer would hold to one. While
tracees are busy the loops run in C, so the tracers do not wait for each other.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Union

from hg_shared.batch import Batch, SlotBatch
from hunter.engines.base import Counters, EngineEvent, Follow, sum_counters
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.engines.ptrace.shares import share
from hunter.memory import procfs

# How long a process is looked at to see how many CPUs it keeps busy.
LOOK_NS = 100_000_000


class _Requested(NamedTuple):
    """A process that is looked at before it is attached: what its threads had by then, ns."""

    ordinal: int
    pid: int
    begun: int
    wanted: Dict[int, int]


class _Shared:
    """A process with several tracers: who has not answered yet, and who has threads of it."""

    __slots__ = ("announced", "ended", "failure", "holders", "since", "threads", "until", "waiting")

    def __init__(self, tracers: Set[int]) -> None:
        self.waiting = set(tracers)
        self.holders: Set[int] = set()
        self.threads = 0
        self.since = 0
        self.until = 0
        self.announced = False
        self.failure: Optional[EngineEvent] = None
        self.ended: Optional[EngineEvent] = None


class MultiTracer:
    """The `ptrace` engine with a tracer for each CPU that a target needs; see `Engine`.

    Args:
        make: makes a tracer from its number, the first being 0.
        tracers: how many there may be.
    """

    name = "ptrace"
    shares = False

    def __init__(self, make: Callable[[int], PtraceEngine], tracers: int) -> None:
        self._make = make
        self._most = tracers
        self._tracers = [make(0)]
        self._threads: List[threading.Thread] = []
        self._pending: List[_Requested] = []
        self._shared: Dict[int, _Shared] = {}
        self._events: List[EngineEvent] = []
        self._stopping = False
        self._paused = False
        self._resuming: Optional[float] = None
        self.follow: Optional[Follow] = None
        """Always None: with --follow-forks there is one tracer, which knows all parents."""

    @property
    def first(self) -> PtraceEngine:
        """The tracer of the main thread."""
        return self._tracers[0]

    @property
    def ended(self) -> bool:
        """Whether every tracer has let everything go."""
        return all(tracer.ended for tracer in self._tracers)

    @property
    def interval(self) -> float:
        """Seconds after which the writer must look again."""
        return min(tracer.interval for tracer in self._tracers)

    def set_release_child(self, release: Callable[[int, int], None]) -> None:
        """Has each child process and its parent told before the child runs.

        Args:
            release: told of the child and of its parent.
        """
        make = self._make

        def make_with_release(number: int) -> PtraceEngine:
            tracer = make(number)
            tracer.set_release_child(release)
            return tracer

        self._make = make_with_release
        for tracer in self._tracers:
            tracer.set_release_child(release)

    def tracer_ids(self) -> List[int]:
        """Returns the thread ids of the tracers, the first first."""
        return [tracer.thread_id for tracer in self._tracers]

    def tracer_of(self, tid: int) -> int:
        """Returns the number of the tracer of a thread, -1 for one that is not traced yet."""
        for number, tracer in enumerate(self._tracers):
            if tracer.owns(tid):
                return number
        return -1

    # Main thread.

    def run(self) -> None:
        """Traces until `stop`, then returns when every tracee has been let go."""
        self.first.run()
        for thread in self._threads:
            thread.join()

    # Control thread.

    def attach(self, ordinal: int, pid: int) -> None:
        """Asks for a process to be traced, by one tracer or, when it needs more, by several."""
        wanted = _wanted_ns(pid)
        if min(self._most, len(wanted), _cpus(pid)) > 1 and not self._stopping:
            self._pending.append(_Requested(ordinal, pid, time.monotonic_ns(), wanted))
        else:
            self.first.attach(ordinal, pid)

    def _attach_pending(self) -> None:
        now = time.monotonic_ns()
        pending, self._pending = self._pending, []
        for each in pending:
            elapsed = now - each.begun
            if elapsed < LOOK_NS:
                self._pending.append(each)
                continue
            wanted = _wanted_ns(each.pid)
            used = {tid: (ns - each.wanted.get(tid, ns)) / elapsed for tid, ns in wanted.items()}
            self._attach_shared(each, share(used, each.pid, min(self._most, _cpus(each.pid))))

    def _attach_shared(self, each: _Requested, shares: Dict[int, int]) -> None:
        numbers = {0, *shares.values()}
        if len(numbers) == 1:
            self.first.attach(each.ordinal, each.pid)
            return
        while len(self._tracers) <= max(numbers):
            self._start()
        self._shared[each.ordinal] = _Shared(numbers)
        for number in numbers:
            others = {tid for tid, chosen in shares.items() if chosen != number}
            self._tracers[number].attach_but(each.ordinal, each.pid, others)

    def _start(self) -> None:
        tracer = self._make(len(self._tracers))
        thread = threading.Thread(
            target=tracer.run_beside, name=f"tracer-{len(self._tracers)}", daemon=True
        )
        thread.start()
        tracer.wait_ready()
        if self._paused:
            tracer.begin_turn(False)
        self._threads.append(thread)
        self._tracers.append(tracer)

    def detach(self, ordinal: int) -> None:
        """Asks for a process to be let go."""
        if not self._drop_pending(ordinal):
            for tracer in self._tracers:
                tracer.detach(ordinal)

    def _drop_pending(self, ordinal: Optional[int]) -> bool:
        dropped = [each for each in self._pending if ordinal in (None, each.ordinal)]
        self._pending = [each for each in self._pending if each not in dropped]
        now = time.monotonic_ns()
        self._events += [EngineEvent("ended", each.ordinal, now, "detached") for each in dropped]
        return bool(dropped)

    def stop(self) -> None:
        """Asks for everything to be let go and `run` to return."""
        self._stopping = True
        self._drop_pending(None)
        for tracer in self._tracers:
            tracer.stop()

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Pauses tracing, or goes on with it; see `PtraceEngine.set_tracing`."""
        for tracer in self._tracers:
            tracer.begin_turn(on)
        self._paused = not on
        if on:
            self._resuming = loss
        elif self._resuming is None:
            self._record_windows(False, loss, now_ns)
        else:
            self._resuming = None  # that it went on has not been told yet

    def _record_windows(self, on: bool, loss: float, now_ns: int) -> None:
        recorded: Set[int] = set()
        for tracer in self._tracers:
            recorded |= tracer.record_windows(on, loss, now_ns, recorded)

    def poke(self) -> None:
        """Goes on with what was asked for, and signals tracers for which requests wait."""
        self._attach_pending()
        for tracer in self._tracers:
            tracer.poke()
        if self._resuming is not None and all(tracer.is_armed for tracer in self._tracers):
            self._record_windows(True, self._resuming, time.monotonic_ns())
            self._resuming = None

    def events(self) -> List[EngineEvent]:
        """Returns what happened since the last call, once for each process."""
        found, self._events = self._events, []
        for number, tracer in enumerate(self._tracers):
            for event in tracer.events():
                shared = self._shared.get(event.ordinal)
                if shared is None:
                    found.append(event)
                else:
                    found += self._merge(number, event, shared)
        return found

    def _merge(self, number: int, event: EngineEvent, shared: _Shared) -> List[EngineEvent]:
        """Takes one tracer's event of a shared process; returns what is to be told of it."""
        if event.kind == "attached":
            shared.holders.add(number)
            shared.threads += event.value
            shared.since = max(shared.since, event.time_ns)
        elif event.kind == "attach_failed":
            shared.failure = shared.failure or event
        elif event.kind == "exec":
            for other in shared.holders - {number}:
                self._tracers[other].supersede(event.ordinal)
            return [event]
        elif event.kind == "ended":
            shared.holders.discard(number)
            if event.text == "detached":
                shared.until = min(shared.until or event.time_ns, event.time_ns)
            if shared.ended is None or event.value:
                # A leader whose place an execve has taken has no status.
                shared.ended = event
        shared.waiting.discard(number)
        if shared.waiting:
            return []
        told = []
        if not shared.announced:
            shared.announced = True
            if shared.threads:
                told.append(
                    EngineEvent("attached", event.ordinal, shared.since, "", shared.threads)
                )
            elif shared.failure is not None:
                told.append(shared.failure)
        if not shared.holders:
            del self._shared[event.ordinal]
            if shared.ended is not None:
                ended = shared.ended
                # Until then no tracer had let go.
                let_go = ended.text == "detached"
                told.append(ended._replace(time_ns=shared.until) if let_go else ended)
        return told

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> List[Union[Batch, SlotBatch]]:
        """Returns the records taken since the last call; see `Engine.drain`."""
        tracers = list(self._tracers)
        drained = [tracer.drain(now_ns, everything) for tracer in tracers]
        batches: List[Union[Batch, SlotBatch]] = []
        for tracer, taken in zip(tracers, drained):
            # A reader waits for the watermark of every source.
            batches += taken or ([tracer.mark(now_ns)] if any(drained) else [])
        return batches

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        return sum_counters(self._tracers)

    def stops(self) -> int:
        """Returns how many syscall stops there were."""
        return sum(tracer.stops() for tracer in self._tracers)

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return sum(tracer.queued_bytes() for tracer in self._tracers)


def _wanted_ns(pid: int) -> Dict[int, int]:
    """Returns how long each thread of a process ran or waited for a CPU, ns (proc(5) schedstat).

    Nothing where the kernel does not tell.
    """
    found = {}
    for tid in procfs.thread_ids(pid):
        fields = procfs.read_text(f"/proc/{pid}/task/{tid}/schedstat").split()
        if len(fields) > 1:
            found[tid] = int(fields[0]) + int(fields[1])
    return found


def _cpus(pid: int) -> int:
    """Returns on how many CPUs a process may run."""
    try:
        return len(os.sched_getaffinity(pid))
    except OSError:
        return 1
