"""The traced processes of one capture: which there are, and how each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gatherer.redaction.masking import masked
from gatherer.rendering.accounting import ProcessAccount, ProcessReconciliation
from gatherer.storage.logs import MAX_PROCESSES, LogNames, too_many_processes
from gatherer.text import counted
from gatherer.view.status import ProcessStatus
from gatherer.view.summary import ProcessSummary
from hg_shared.messages import Event, Sample, TracedProcess
from hg_shared.open_files import FEW_FILES

MAX_CMDLINE = 4096
"""Characters of a command line that are kept."""
MAX_CMDLINES = 8 << 20
"""Characters of all of them."""
MAX_COMMAND = 64
"""Characters of a process name that are kept; the kernel has 15."""


@dataclass
class ProcessEntry:
    """One traced process, as session.json lists it.

    Attributes:
        pid: process id in hunter's PID namespace.
        start_time: clock ticks since boot.
        instance: which instance of the target it belongs to, 0 for the first.
        command: its name when it was chosen.
        cmdline: its arguments, at most `MAX_CMDLINE` characters, secrets masked.
        log: name of its log file; null in session.json when it was never attached.
        attached: when tracing began, None when it has not.
        ended: when tracing ended, None while it goes on.
        end_reason: why.
        records: records received.
        lost: records lost, None when that is not known.
        dropped_lines: lines left out of its log, which had reached its size limit.
        rss_bytes: the latest sample.
        peak_rss_bytes: the highest sample.
        mmap_lock_ms: how long reads of its memory held up its mmap and munmap together, None while
            hunter has not said.
        tracing: `on`, `denied: <cause>`, or None when neither is known.
        engine: the engine that traces it where that is not the capture's, else None.
        ordinals: hunter's numbers for it.
        short: it could not be traced for want of descriptors, which is nobody's refusal.
    """

    pid: int
    start_time: int
    instance: int
    command: str
    cmdline: list[str]
    log: str
    attached: str | None = None
    ended: str | None = None
    end_reason: str = ""
    records: int = 0
    lost: int | None = 0
    dropped_lines: int = 0
    rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    mmap_lock_ms: float | None = None
    tracing: str | None = None
    engine: str | None = None
    ordinals: set[int] = field(default_factory=set)
    short: bool = False

    @property
    def has_log(self) -> bool:
        """Whether there is a log: the process was attached, or records of it came."""
        return self.attached is not None or self.records > 0

    @property
    def state(self) -> str:
        """`traced`, or why it is not."""
        if self.ended is not None:
            return self.end_reason or "ended"
        if self.attached is not None:
            return "traced"
        return "not traced" if self.end_reason else "chosen"

    def as_json(self) -> dict[str, Any]:
        """Returns the entry as session.json holds it."""
        entry = asdict(self)
        for name in ("ordinals", "rss_bytes", "short"):
            del entry[name]
        if not self.has_log:
            entry["log"] = None
        return entry


class ProcessTable:
    """The processes of all instances of the target.

    Args:
        instance: number of the first instance.

    Attributes:
        entries: in the order in which they were chosen, by instance, pid and start time.
        denied: why a process could not be traced for want of a right, empty when none was refused.
    """

    def __init__(self, instance: int = 0) -> None:
        self.entries: dict[tuple[int, int, int], ProcessEntry] = {}
        self.denied = ""
        self._room = MAX_CMDLINES
        self.begin_instance(instance)

    def begin_instance(self, number: int) -> None:
        """Goes over to another instance, whose hunter counts from one again.

        Args:
            number: of the instance.
        """
        self._instance = number
        self._names = LogNames(number)
        self._ordinals: dict[int, ProcessEntry] = {}
        self._pids: dict[int, ProcessEntry] = {}

    def declare(self, process: TracedProcess) -> ProcessEntry:
        """Takes a process that is about to be traced; the same process is one entry.

        Raises:
            StreamError: there are more than there can be.
        """
        key = (self._instance, process.pid, process.start_time)
        entry = self.entries.get(key)
        if entry is None:
            entry = ProcessEntry(
                process.pid,
                process.start_time,
                self._instance,
                process.command[:MAX_COMMAND],
                self._bounded(process.cmdline),
                self._names.assign(process.pid, process.start_time, process.command),
            )
            self.entries[key] = entry
        self._pids[process.pid] = entry
        if process.ordinal not in self._ordinals:
            if len(self._ordinals) >= MAX_PROCESSES:
                raise too_many_processes(MAX_PROCESSES)
            entry.ordinals.add(process.ordinal)
            self._ordinals[process.ordinal] = entry
        return entry

    def happened(self, event: Event, time: str) -> None:
        """Takes an event: beginnings and ends of tracing are kept with the process."""
        entry = self._pids.get(event.pid) if event.pid is not None else None
        if entry is None:
            return
        if event.event == "attach":
            entry.attached = entry.attached or time
            entry.ended, entry.end_reason = None, ""
            engine = event.fields.get("engine")
            entry.engine = engine[:MAX_COMMAND] if isinstance(engine, str) else None
            entry.tracing = "on"
        elif event.event == "attach_failed" and event.fields.get("denied") is True:
            # It is watched all the same: its memory goes on to be sampled.
            cause = str(event.fields.get("cause", ""))[:MAX_CMDLINE]
            entry.end_reason = f"not traced: {cause}"
            entry.tracing = f"denied: {cause}"
            entry.short = FEW_FILES in cause
            self.denied = self.denied or cause
        elif event.event in ("exit", "detach", "attach_failed"):
            entry.ended = time
            denied = event.event == "exit" and entry.attached is None and entry.end_reason
            if event.event == "attach_failed":
                entry.end_reason = f"not attached: {event.fields.get('cause', '')}"[:MAX_CMDLINE]
            elif event.event == "detach":
                cause = str(event.fields.get("cause", ""))[:MAX_CMDLINE]
                entry.end_reason = f"detached: {cause}" if cause else "detached"
            else:
                status = _exit_status(event.fields)
                entry.end_reason = f"{status}, {denied}" if denied else status

    def sampled(self, sample: Sample) -> None:
        """Takes a memory sample of a process."""
        entry = self._pids.get(sample.pid) if sample.pid is not None else None
        rss = sample.values.get("rss_bytes")
        if entry is None or rss is None or rss < 0:
            return
        entry.rss_bytes = rss
        entry.peak_rss_bytes = max(entry.peak_rss_bytes or 0, rss)

    def count(self, accounts: Mapping[int, ProcessAccount]) -> None:
        """Takes what arrived so far from the present instance, by ordinal."""
        for entry in self.present():
            got = [accounts[o] for o in entry.ordinals if o in accounts]
            entry.records = sum(account.received for account in got)
            entry.lost = sum(account.lost for account in got)

    def reconcile(self, reconciled: Mapping[int, ProcessReconciliation]) -> None:
        """Takes the final accounting of the present instance, by ordinal."""
        for entry in self.present():
            got = [reconciled[o] for o in entry.ordinals if o in reconciled]
            entry.records = sum(process.received for process in got)
            entry.lost = sum(process.lost for process in got)
            reasons = [process.end_reason for process in got if process.end_reason]
            held = [process.held_ns for process in got if process.held_ns is not None]
            entry.mmap_lock_ms = round(sum(held) / 1e6, 3) if held else None
            if reasons and not entry.end_reason:
                entry.end_reason = reasons[-1][:MAX_CMDLINE]

    def close(self, time: str, reason: str, unknown: bool) -> None:
        """Ends the processes of the present instance whose end nobody told.

        Args:
            time: RFC 3339, when the last was heard of them.
            reason: what is known of their end.
            unknown: what was lost of them at their end is not known.
        """
        for entry in self.present():
            if entry.ended is not None or not (entry.has_log or not entry.end_reason):
                continue
            entry.ended = time if entry.attached is not None else None
            entry.end_reason = entry.end_reason or reason
            if unknown:
                entry.lost = None

    @property
    def refused(self) -> ProcessEntry | None:
        """The first process of the present instance that may not be traced; None for none."""
        return next((e for e in self.present() if (e.tracing or "on") != "on"), None)

    @property
    def traced(self) -> bool:
        """Whether any process was ever traced."""
        return any(entry.attached is not None for entry in self.entries.values())

    def shortages(self) -> tuple[str, ...]:
        """Returns a sentence about processes of the present instance that hunter had no files for.

        None when each could be traced, if only later.
        """
        short = [entry for entry in self.present() if entry.short and entry.attached is None]
        if not short:
            return ()
        first = short[0].end_reason.removeprefix("not traced: ")
        verb = "was" if len(short) == 1 else "were"
        return (f"{counted(len(short), 'process')} {verb} not traced: {first}",)

    @property
    def dropped_lines(self) -> int:
        """Lines left out of all logs."""
        return sum(entry.dropped_lines for entry in self.entries.values())

    def dropped_lines_of(self, instance: int) -> int:
        """Returns how many lines were left out of the logs of one instance.

        Args:
            instance: its number.
        """
        return sum(
            entry.dropped_lines for entry in self.entries.values() if entry.instance == instance
        )

    def present(self) -> list[ProcessEntry]:
        """Returns the processes of the present instance."""
        return [entry for entry in self.entries.values() if entry.instance == self._instance]

    def command_of(self, ordinal: int) -> str:
        """Returns the name of a process for sentences."""
        entry = self._ordinals.get(ordinal)
        return f"{entry.command}-{entry.pid}" if entry else f"process {ordinal}"

    def entry(self, ordinal: int) -> ProcessEntry | None:
        """Returns the process that hunter gave this number."""
        return self._ordinals.get(ordinal)

    def names(self) -> dict[int, str]:
        """Returns the names of all processes by ordinal."""
        return {ordinal: self.command_of(ordinal) for ordinal in self._ordinals}

    def status(self) -> tuple[ProcessStatus, ...]:
        """Returns the processes at this moment, for a view."""
        return tuple(
            ProcessStatus(
                entry.command,
                entry.pid,
                entry.log,
                entry.state,
                entry.rss_bytes,
                entry.records,
                entry.lost or 0,
            )
            for entry in self.entries.values()
        )

    def summary(self, directory: Path, whole: bool = True) -> tuple[ProcessSummary, ...]:
        """Returns the processes at the end of the capture, for a view.

        Args:
            directory: the capture directory.
            whole: whether the logs of the present instance are written to their end.
        """
        return tuple(
            ProcessSummary(
                entry.command,
                entry.pid,
                directory / entry.log if entry.has_log else None,
                entry.records,
                entry.lost,
                entry.dropped_lines,
                entry.peak_rss_bytes,
                entry.end_reason,
                None if whole or entry.instance != self._instance else _size(directory / entry.log),
            )
            for entry in self.entries.values()
        )

    def as_json(self) -> list[dict[str, Any]]:
        """Returns the processes as session.json lists them."""
        return [entry.as_json() for entry in self.entries.values()]

    def _bounded(self, cmdline: list[str]) -> list[str]:
        """Returns what is kept of a command line, without secrets; of very many little is."""
        kept: list[str] = []
        room = min(MAX_CMDLINE, self._room)
        # What hunter reads of it has an end too.
        size = sum(len(argument) + 1 for argument in cmdline)
        for argument in masked(cmdline[:room], size >= MAX_CMDLINE):
            if room <= 0:
                break
            kept.append(argument[:room])
            # An argument costs at least one, or a million empty ones would be kept.
            room -= len(argument) + 1
        self._room -= sum(len(argument) + 1 for argument in kept)
        return kept


def _size(path: Path) -> int:
    """Returns the bytes of a log, 0 when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _exit_status(fields: Mapping[str, Any]) -> str:
    """Returns how a process ended: `exited`, or what killed it."""
    signal = fields.get("signal")
    if not isinstance(signal, str):
        # Of one that was watched and not traced nobody tells the signal.
        oom = fields.get("oom") is True
        return "ended, the kernel killed for want of memory" if oom else "exited"
    return f"killed by {signal[:20]}" + (", out of memory" if fields.get("oom") is True else "")
