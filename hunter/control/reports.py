"""Reports of hunter about itself: at the beginning, every few seconds, and at the end."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Dict, List

from hg_shared.messages import PROTOCOL_VERSION, Goodbye, Heartbeat, Hello
from hg_shared.rights import Rights
from hg_shared.version import __version__
from hunter.control.traced_processes import TracedProcesses
from hunter.engines.base import Engine
from hunter.engines.choose import Choice
from hunter.engines.idle import IdleEngine
from hunter.memory import procfs
from hunter.memory.container import Container
from hunter.memory.holds import HOLDS
from hunter.scan.scanner import Scanner
from hunter.stream.writer import Writer
from hunter.watchdog.launch import Watchdog


class Reports:
    """Makes these messages.

    Args:
        sha256: digest of the zipapp, as gatherer verified it.
        rights: hunter's.
        container: where its memory is accounted.
        scanner: says what percentages are of.
        watchdog: whose memory counts too.
        processes: the processes that were chosen.
        writer: what sends them.
    """

    def __init__(
        self,
        sha256: str,
        rights: Rights,
        container: Container,
        scanner: Scanner,
        watchdog: Watchdog,
        processes: TracedProcesses,
        writer: Writer,
    ) -> None:
        self._sha256 = sha256
        self._rights = rights
        self._container = container
        self._scanner = scanner
        self._engine: Engine = IdleEngine()
        self._choice = Choice("", "")
        self._loading = True
        self._watchdog = watchdog
        self._processes = processes
        self._writer = writer
        self._peak_pss = 0

    def use(self, engine: Engine, choice: Choice) -> None:
        """Gives the engine, and why it is this one."""
        self._engine, self._choice = engine, choice
        self._loading = False

    def hello(self) -> Hello:
        """Returns the first message; before there is an engine the one that says so."""
        memory = self._container.memory()
        against = self._scanner.denominator("self")
        usage = None if memory.usage is None else memory.usage - memory.inactive_file
        return Hello(
            protocol=PROTOCOL_VERSION,
            version=__version__,
            sha256=self._sha256,
            python=platform.python_version(),
            executable=sys.executable,
            arch=platform.machine(),
            kernel=platform.release(),
            pid=os.getpid(),
            uid=self._rights.uid,
            monotonic_ns=time.monotonic_ns(),
            realtime_ns=time.time_ns(),
            boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            engine=self._choice.engine,
            engine_reason=self._choice.reason,
            tracing=self._choice.tracing,
            cgroup_version=memory.version,
            memory_limit_bytes=memory.limit,
            memory_usage_bytes=usage,
            memory_source=against.source,
            node_memory_bytes=procfs.node_memory(),
            yama_ptrace_scope=self._rights.yama,
            seccomp=self._rights.seccomp,
            no_new_privs=self._rights.no_new_privs,
            capabilities=self._rights.capabilities,
            page_size=procfs.PAGE_SIZE,
            cpus=len(os.sched_getaffinity(0)),
            loading=self._loading,
        )

    def heartbeat(self) -> Heartbeat:
        """Returns how hunter is doing."""
        seen, lost, _ = self._totals()
        waiting = self._engine.queued_bytes() + self._writer.waiting_bytes()
        used, pss = round(time.process_time(), 3), self.measure_self()
        # Both clocks at one moment: what lies between them would look like a step of the clock.
        now, wall = time.monotonic_ns(), time.time_ns()
        return Heartbeat(now, wall, seen, lost, waiting, used, pss)

    def goodbye(self, frames: int, reason: str, error: str) -> Goodbye:
        """Returns the last message.

        Args:
            frames: how many frames there were.
            reason: why hunter ends.
            error: what went wrong, empty when nothing did.
        """
        for traced in self._processes.active():
            if traced.followed and self._engine.ended:
                traced.end_reason = "detached"  # born while everything was let go
        seen, lost, processes = self._totals()
        return Goodbye(
            time.monotonic_ns(),
            reason,
            seen,
            lost,
            processes,
            round(time.process_time(), 3),
            self._peak_pss,
            frames,
            error,
            self._writer.dropped_messages,
        )

    def measure_self(self) -> int:
        """Returns how much memory hunter has now, PSS in bytes, with the watchdog."""
        pss = procfs.rollup(os.getpid()).get("pss_bytes", 0)
        if self._watchdog.pid:
            pss += procfs.rollup(self._watchdog.pid).get("pss_bytes", 0)
        self._peak_pss = max(self._peak_pss, pss)
        return pss

    def _totals(self) -> tuple[int, int, List[Dict[str, object]]]:
        counters = self._engine.counters()
        processes: List[Dict[str, object]] = []
        for traced in self._processes.all():
            count = counters.get(traced.ordinal)
            open_ = traced.end_reason in ("", "attach_failed")
            processes.append(
                {
                    "ordinal": traced.ordinal,
                    "seen": count.seen if count else 0,
                    "lost": count.lost if count else 0,
                    "end_reason": traced.end_reason,
                    "held_ns": traced.held_ns + (HOLDS.spent_ns(traced.key[0]) if open_ else 0),
                }
            )
        seen = sum(count.seen for count in counters.values())
        lost = sum(count.lost for count in counters.values())
        return seen, lost, processes
