"""Overhead of tracing in the target, and what is done about it: placement, and the budget."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable, Dict, Optional

from hunter.config import Config
from hunter.control.budget import PLACED_STOP_NS, PROGRAM_NS, REMOTE_STOP_NS, Budget
from hunter.control.traced_processes import TracedProcesses
from hunter.engines.base import Engine
from hunter.engines.fallback import Fallback
from hunter.engines.ptrace.multi_tracer import MultiTracer
from hunter.engines.ptrace.placement import Placement
from hunter.engines.ptrace.ptrace_engine import PtraceEngine
from hunter.memory import procfs
from hunter.watchdog.masks import MaskTable

SECOND = 1_000_000_000


class Overhead:
    """Keeps the tracer on the CPU of its target where that helps, and the loss within its budget.

    Args:
        config: what to do.
        engine: the engine.
        processes: the processes that were chosen.
        table: where masks are saved for the watchdog, None where there is none.
        report: told of placements, as values of an event.
    """

    def __init__(
        self,
        config: Config,
        engine: Engine,
        processes: TracedProcesses,
        table: Optional[MaskTable],
        report: Callable[[Dict[str, object]], None],
    ) -> None:
        self._config = config
        self._engine = engine
        self._tracer = engine.first if isinstance(engine, Fallback) else engine
        self._processes = processes
        self._report = report
        self._budget = Budget(config.max_overhead) if config.max_overhead else None
        self._table = table
        self._placement: Optional[Placement] = None

    def prepare(self) -> None:
        """Prepares the placement; without a watchdog no mask is touched."""
        engine, table = self._tracer, self._table
        if (
            self._config.placement == "off"
            or not isinstance(engine, (PtraceEngine, MultiTracer))
            or len(os.sched_getaffinity(0)) < 2
            or table is None
        ):
            return
        tracer = threading.get_native_id()
        report = self._report
        if isinstance(engine, PtraceEngine):
            placement = Placement(table, lambda: [tracer], lambda _: 0, report)
            engine.set_release_child(placement.release_child)
        else:
            placement = Placement(table, engine.tracer_ids, engine.tracer_of, report)
            engine.set_release_child(placement.release_child)
        self._placement = placement

    def tick(self, now: int) -> None:
        """Places the tracer anew, and pauses tracing or goes on with it, as it is due.

        Args:
            now: CLOCK_MONOTONIC ns.
        """
        self._place(now)
        self._keep_budget(now)

    def undo(self) -> None:
        """Gives every thread its CPU mask back."""
        if self._placement is not None:
            self._placement.undo()

    def _place(self, now: int) -> None:
        if self._placement is None:
            return
        boot_offset = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now
        pids = {
            traced.key[0]: traced.key[1] * SECOND // procfs.CLOCK_TICKS - boot_offset
            for traced in self._processes.active()
            if traced.attached
        }
        self._placement.tick(now, self._engine.stops(), pids)

    def _keep_budget(self, now: int) -> None:
        """Pauses tracing, or goes on with it, as the overhead budget wants it."""
        engine = self._engine
        if self._budget is None:
            return
        if not isinstance(self._tracer, (PtraceEngine, MultiTracer)):
            cost = PROGRAM_NS
        elif self._placement is not None and self._placement.placed:
            cost = PLACED_STOP_NS
        else:
            cost = REMOTE_STOP_NS
        turn = self._budget.tick(now, engine.stops(), cost)
        if turn.changed:
            if self._placement is not None:
                self._placement.pause(not turn.tracing, now, engine.stops())
            engine.set_tracing(turn.tracing, turn.share, now)
