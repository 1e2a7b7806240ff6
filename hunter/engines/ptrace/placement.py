"""CPU placement: tracees on their tracer's CPU, where a stop costs no wake-up of another CPU.

On virtual machines this is worth 3 to 18 times. Whether it is, is tried: a while each way, and the
better is kept. Masks are saved before they are narrowed, in memory that a watchdog shares, and
restored on every way out: detach, stop, death of hunter by SIGKILL.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Callable, Dict, List, Set

from hunter.memory import procfs
from hunter.watchdog.masks import MaskTable, SavedMask, restore

# Shorter than a window of the overhead budget, in which a probe must fit.
PROBE_NS = 120_000_000
# What the better way must be better by to be worth narrowing masks for.
GAIN = 1.25
# Below this many stops a second the price of a stop does not matter.
BUSY_STOPS = 2000
# After a trial that brought nothing; twice as long each time.
RETRY_NS = 10_000_000_000
LONGEST_RETRY_NS = 320_000_000_000
# A program that is just starting may size its pools from its mask.
SETTLED_NS = 5_000_000_000


class _State(Enum):
    OFF = 0
    MEASURING = 1
    TRYING = 2
    PLACED = 3


class Placement:
    """Tries placement and keeps it where it is faster. Called by the control thread.

    Args:
        table: where saved masks are kept.
        tracers: returns the thread ids of the tracers.
        tracer_of: returns which of them traces a thread, -1 when none does yet.
        report: told what was decided: name and values.
    """

    def __init__(
        self,
        table: MaskTable,
        tracers: Callable[[], List[int]],
        tracer_of: Callable[[int], int],
        report: Callable[[Dict[str, object]], None],
    ) -> None:
        self._table = table
        self._tracers = tracers
        self._tracer_of = tracer_of
        self._report = report
        self._mine = frozenset(os.sched_getaffinity(tracers()[0]))
        self._state = _State.OFF
        self._since = 0
        self._stops = 0
        self._before = 0.0
        self._retry_at = 0
        self._retry_ns = RETRY_NS
        self._refused = False
        self._paused = False
        self._resume_as = _State.OFF
        self._pids: List[int] = []
        self._gone: Set[int] = set()
        self.cpus: List[int] = []
        """CPU of each tracer while masks are narrowed."""
        self._saved: Dict[int, SavedMask] = {}

    @property
    def placed(self) -> bool:
        """Whether masks are narrowed now."""
        return self._state in (_State.TRYING, _State.PLACED)

    def release_child(self, child: int, parent: int) -> None:
        """Gives a new process the mask its parent had before, if it inherited a narrowed one.

        Called by the tracer at the child's first stop.

        Args:
            child: the new process.
            parent: the process that started it.
        """
        saved = self._saved.get(parent)
        try:
            mask = saved.mask if saved is not None else frozenset(os.sched_getaffinity(parent))
            if len(mask) > 1 and len(os.sched_getaffinity(child)) == 1:
                os.sched_setaffinity(child, mask)
        except OSError:
            pass  # one of the two has ended

    def tick(self, now: int, stops: int, pids: Dict[int, int]) -> None:
        """Goes on with the trial; called every few tens of milliseconds.

        Args:
            now: CLOCK_MONOTONIC ns.
            stops: syscall stops handled so far.
            pids: traced processes, and when each started, CLOCK_MONOTONIC ns.
        """
        # A program that has just started may size its pools from its mask.
        self._pids = [pid for pid, started in pids.items() if now - started > SETTLED_NS]
        self._prune(pids)
        if len(self._mine) < 2 or self._paused:
            return
        if not pids:
            if self.placed:
                self.undo()
            self._state = _State.OFF
            return
        elapsed = now - self._since
        rate = (stops - self._stops) * 1e9 / elapsed if elapsed else 0.0
        if self._state == _State.OFF:
            if now >= self._retry_at:
                self._begin(_State.MEASURING, now, stops)
        elif elapsed < PROBE_NS:
            return
        elif self._state == _State.MEASURING:
            self._before = rate
            if rate >= BUSY_STOPS and self._narrow(self._pids):
                self._begin(_State.TRYING, now, stops)
            else:
                self._state = _State.OFF
                self._retry_at = now + RETRY_NS // 10
        elif self._state == _State.TRYING:
            self._evaluate(now, stops, rate)
        else:
            self._keep(now, stops, rate)

    def pause(self, paused: bool, now: int, stops: int) -> None:
        """Gives masks back while tracing pauses, when rates of stops say nothing.

        Args:
            paused: whether tracing pauses.
            now: CLOCK_MONOTONIC ns.
            stops: syscall stops handled so far.
        """
        if paused:
            self._resume_as = self._state if self.placed else _State.OFF
            if self.placed:
                self.undo()
        elif self._resume_as != _State.OFF and self._narrow(self._pids):
            self._state = self._resume_as
        self._paused = paused
        self._since, self._stops = now, stops

    def _begin(self, state: _State, now: int, stops: int) -> None:
        self._state, self._since, self._stops = state, now, stops

    def _evaluate(self, now: int, stops: int, rate: float) -> None:
        values: Dict[str, object] = {
            "cpus": list(self.cpus),
            "threads": len(self._saved),
            "stops_per_second_before": round(self._before),
            "stops_per_second": round(rate),
        }
        if rate >= GAIN * self._before:
            self._begin(_State.PLACED, now, stops)
            self._retry_ns, self._refused = RETRY_NS, False
            self._report({"placement": "on", **values})
            return
        self.undo()
        self._retry_at = now + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, LONGEST_RETRY_NS)
        if not self._refused:
            self._refused = True
            self._report({"placement": "off", **values})

    def _keep(self, now: int, stops: int, rate: float) -> None:
        """While placed: new processes are narrowed too; a target that calmed down is left alone."""
        self._begin(_State.PLACED, now, stops)
        if rate < BUSY_STOPS / 2:
            self.undo()
            self._retry_at = now + RETRY_NS
        else:
            self._narrow(self._pids)

    def _prune(self, pids: Dict[int, int]) -> None:
        """Forgets the masks of processes that have ended, whose numbers others may get.

        Not at once: a child may be about to ask for the mask of the parent it has outlived.
        """
        gone = {saved.pid for saved in self._saved.values()} - pids.keys()
        forgotten, self._gone = gone & self._gone, gone
        if forgotten:
            kept = {tid: saved for tid, saved in self._saved.items() if saved.pid not in forgotten}
            self._saved = kept
            self._table.replace(list(kept.values()))

    def _narrow(self, pids: List[int]) -> bool:
        """Moves tracers and tracees to one CPU each; returns whether anything was moved."""
        if not self.cpus:
            first = self._choose(pids)
            if first < 0:
                return False
            self.cpus.append(first)
            os.sched_setaffinity(self._tracers()[0], {first})
        for tracer in self._tracers()[len(self.cpus) :]:
            cpu = min(self._mine - set(self.cpus), default=self.cpus[0])
            self.cpus.append(cpu)
            os.sched_setaffinity(tracer, {cpu})
        for pid in pids:
            for tid in procfs.thread_ids(pid):
                if tid not in self._saved:
                    self._narrow_thread(tid, pid)
        return bool(self._saved)

    def _narrow_thread(self, tid: int, pid: int) -> None:
        tracer = self._tracer_of(tid)
        if not 0 <= tracer < len(self.cpus):
            return
        cpu = self.cpus[tracer]
        try:
            mask = frozenset(os.sched_getaffinity(tid))
            original = self._saved.get(pid)
            if len(mask) == 1 and mask <= set(self.cpus) and original is not None:
                mask = original.mask  # started by a thread that had been narrowed
            if cpu not in mask or len(mask) < 2:
                return
            saved = SavedMask(tid, pid, mask, cpu)
            if self._table.save(saved):
                self._saved[tid] = saved
                os.sched_setaffinity(tid, {cpu})
        except OSError:
            pass  # it has ended, or may not be moved

    def _choose(self, pids: List[int]) -> int:
        """Returns the CPU the busiest leader ran on last, if hunter may use it; -1 for none."""
        for pid in pids:
            fields = procfs.read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
            try:
                allowed = self._mine & os.sched_getaffinity(pid)
            except OSError:
                continue
            if len(fields) > 36 and allowed:
                last = int(fields[36])
                return last if last in allowed else min(allowed)
        return -1

    def undo(self) -> None:
        """Gives every mask back."""
        if self.cpus:
            restore(list(self._saved.values()))
            for tracer in self._tracers():
                try:
                    os.sched_setaffinity(tracer, self._mine)
                except OSError:
                    pass  # the tracer has ended
        self._saved.clear()
        self._table.clear()
        self.cpus.clear()
        self._state = _State.OFF
