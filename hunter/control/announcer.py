"""The processes to trace: announced to gatherer, and asked of the engine."""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Optional

from hg_shared.messages import Event, FdTable, Message, TracedProcess
from hunter.calls.fds import fd_table
from hunter.control.traced_processes import MAX_PROCESSES, Traced, TracedProcesses
from hunter.engines.base import Engine
from hunter.memory import procfs
from hunter.scan.scanner import MatchedProcess

# A child's start as the engine sees it and as /proc has it: a tick is 10 ms.
START_TIME_TICKS = 5
# Processes whose descriptors are read at each scan.
REFRESHED_PROCESSES = 64
SECOND = 1_000_000_000


class ProcessAnnouncer:
    """Announces processes to gatherer and asks the engine for them; see also `Follow`.

    Args:
        engine: the engine.
        processes: the processes that were chosen.
        put: sends a message to gatherer.
        decode_fds: say what descriptors refer to, all the time.
    """

    def __init__(
        self,
        engine: Engine,
        processes: TracedProcesses,
        put: Callable[[Message], None],
        decode_fds: bool,
    ) -> None:
        self._engine = engine
        self._processes = processes
        self._put = put
        self._decode_fds = decode_fds
        self._boot_offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(
            time.CLOCK_BOOTTIME
        )
        self._full = False

    def begin(self, process: MatchedProcess, now: int) -> None:
        """Announces a process and asks the engine for it."""
        known = self.announce(process, now)
        if known is not None:
            known.end_reason = ""
            self._engine.attach(known.ordinal, process.key[0])

    def announce(self, process: MatchedProcess, now: int) -> Optional[Traced]:
        """Announces a process, once; returns None when there were as many as there can be."""
        pid, start_time = process.key
        known = self._processes.find(process.key)
        if known is None:
            if len(self._processes) >= MAX_PROCESSES:
                self._report_full("no more are looked at", now)
                return None
            known = self._processes.add(process.key, process.rss, process.command)
            self.report_decision(process, now, {})
            self._put(
                TracedProcess(
                    known.ordinal,
                    pid,
                    start_time,
                    self._boot_offset + start_time * SECOND // procfs.CLOCK_TICKS,
                    process.command,
                    procfs.command_line(pid),
                    now,
                )
            )
        return known

    def report_decision(self, process: MatchedProcess, now: int, more: Dict[str, object]) -> None:
        """Tells gatherer why a process is traced, or is not.

        Args:
            process: the process.
            now: CLOCK_MONOTONIC ns.
            more: further values of the event.
        """
        decision, against = process.decision, process.against
        fields: Dict[str, object] = {
            "command": process.command,
            "reason": decision.reason,
            "rss_bytes": process.rss,
            "threshold_bytes": decision.threshold_bytes,
            "percent": decision.percent,
            "of": against.of,
            "of_bytes": against.size,
            "source": against.source,
        }
        if decision.growth is not None:
            fields["growth_bytes_per_second"] = round(decision.growth)
        fields.update(more)
        self._put(Event(now, "scan", process.key[0], fields))

    # Children of traced processes; called by the engine's threads.

    def reserve(self) -> int:
        """Returns an ordinal for a child; see `hunter.engines.base.Follow`."""
        ordinal = self._processes.reserve()
        if not ordinal:
            self._report_full("no more children are followed", time.monotonic_ns())
        return ordinal

    def _report_full(self, consequence: str, now: int) -> None:
        if not self._full:
            self._full = True
            cause = f"{MAX_PROCESSES} processes were chosen; {consequence}"
            self._put(Event(now, "attach_failed", None, {"cause": cause}))

    def declare(
        self, ordinal: int, pid: int, creator: int, born_ns: int, command: str = ""
    ) -> None:
        """Announces a child that is followed; see `hunter.engines.base.Follow`."""
        now = time.monotonic_ns()
        boot_offset = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now
        start_time = ((born_ns or now) + boot_offset) * procfs.CLOCK_TICKS // SECOND
        stat = procfs.stat(pid)
        words: List[str] = []
        if stat is not None and (
            not born_ns or abs(stat.start_time - start_time) <= START_TIME_TICKS
        ):
            start_time = stat.start_time
            command = command or stat.command
            words = procfs.command_line(pid)
        traced = self._processes.add((pid, start_time), 0, command, ordinal)
        traced.followed = True
        started = self._boot_offset + start_time * SECOND // procfs.CLOCK_TICKS
        self._put(TracedProcess(ordinal, pid, start_time, started, command, words, now, creator))
        if self._decode_fds:
            self.send_fd_table(traced)

    # What descriptors refer to.

    def send_fd_table(self, traced: Traced) -> None:
        """Sends the descriptors of a process, unless they are what was sent before."""
        # What is closed while they are read has a record of its own, what was closed before not.
        now = time.monotonic_ns()
        entries = fd_table(traced.key[0])
        if entries and entries != traced.descriptors:
            traced.descriptors = entries if self._decode_fds else {}
            self._put(FdTable(now, traced.ordinal, entries))

    def refresh_fd_tables(self) -> None:
        """Sends what has changed without a call: by SCM_RIGHTS, while records were lost."""
        for traced in self._processes.active()[:REFRESHED_PROCESSES]:
            if traced.attached:
                self.send_fd_table(traced)
