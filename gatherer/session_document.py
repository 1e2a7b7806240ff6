"""What session.json says: the state of one capture, as a value that is written again and again."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gatherer.accounting import Accounts, Settlement
from gatherer.clock import CaptureClock, local_zone, rfc3339
from gatherer.ending import Conclusion
from gatherer.errors import GathererError
from gatherer.instances import ContainerMemory, Instance
from gatherer.logs import MAX_PROCESSES, LogNames, too_many_processes
from gatherer.runtimes import Target
from gatherer.summary import ProcessSummary, Summary
from gatherer.view import ProcessStatus, Status
from hg_shared.messages import Event, Goodbye, Heartbeat, Hello, Sample, TracedProcess
from hg_shared.version import __version__

SCHEMA = 1
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
        cmdline: its arguments, at most `MAX_CMDLINE` characters.
        log: name of its log file; null in session.json when it was never attached.
        attached: when tracing began, None when it has not.
        ended: when tracing ended, None while it goes on.
        end_reason: why.
        records: records received.
        lost: records lost.
        dropped_lines: lines left out of its log, which had reached its size limit.
        rss_bytes: the latest sample.
        peak_rss_bytes: the highest sample.
        ordinals: hunter's numbers for it.
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
    lost: int = 0
    dropped_lines: int = 0
    rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    ordinals: set[int] = field(default_factory=set)

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
        for name in ("ordinals", "rss_bytes"):
            del entry[name]
        if not self.has_log:
            entry["log"] = None
        return entry


class AgentAccount(Protocol):
    """What a node agent gave."""

    def as_json(self) -> dict[str, Any]:
        """Returns it as session.json holds it."""
        ...

    def text(self) -> list[str]:
        """Returns it as lines of the summary, harmless for terminals."""
        ...


class SessionDocument:
    """The state of one capture.

    Attributes:
        target: what is captured.
        processes: traced processes in the order in which they were chosen, by instance, pid and
            start time.
        instance: the present or last instance of the target.
        end_reason: why the capture ended, empty while it runs.
        complete: whether everything hunter saw is in the logs.
        exit_code: None while it runs.
        discrepancies: what does not add up, once the capture has ended.
        agents: what node agents gave.
        reconnects: how often hunter was lost and found.
    """

    def __init__(
        self, target: Target, options: Mapping[str, Any], started_ns: int, restart: int = 0
    ) -> None:
        self.processes: dict[tuple[int, int, int], ProcessEntry] = {}
        self.instance = Instance(restart, target.container_id)
        self.inject = ""
        self.explanation = ""
        self.container = ""
        self.end_reason = ""
        self.error = ""
        self.complete = False
        self.exit_code: int | None = None
        self.discrepancies: list[str] = []
        self.agents: list[AgentAccount] = []
        self.reconnects = 0
        self.ended: str | None = None
        self.target = target
        self._options = dict(options)
        self._started = rfc3339(started_ns)
        self._instances = [self.instance]
        self._names = LogNames(restart)
        self._ordinals: dict[int, ProcessEntry] = {}
        self._pids: dict[int, ProcessEntry] = {}
        self._denied = ""
        self._room = MAX_CMDLINES
        self._cpu_seconds: float | None = None
        self._peak_pss: int | None = None

    @property
    def clock(self) -> CaptureClock | None:
        """The capture clock, None before the Hello."""
        return self.instance.clock

    @property
    def hello(self) -> Hello | None:
        """Hunter's Hello, None before it."""
        return self.instance.hello

    @property
    def goodbye(self) -> Goodbye | None:
        """Hunter's Goodbye, None before it."""
        return self.instance.goodbye

    @property
    def restarts(self) -> int:
        """How many more instances of the target were traced after the first."""
        return len(self._instances) - 1

    @property
    def seen(self) -> int:
        """Records hunter took in all instances."""
        return sum(instance.seen for instance in self._instances)

    @property
    def received(self) -> int:
        """Records that arrived from all instances."""
        return sum(instance.received for instance in self._instances)

    @property
    def lost(self) -> int:
        """Records that did not arrive from all instances."""
        return sum(instance.lost for instance in self._instances)

    def begin_instance(self, target: Target) -> Instance:
        """Goes over to the next instance of the target, whose hunter counts from one again.

        Args:
            target: as the runtime found it now.
        """
        number = len(self._instances)
        self.target = target
        self.instance = Instance(number, target.container_id)
        self._instances.append(self.instance)
        self._names = LogNames(number)
        self._ordinals, self._pids = {}, {}
        return self.instance

    def greet(self, hello: Hello, clock: CaptureClock) -> None:
        """Takes the Hello; the capture starts with the first one, on the node's clock."""
        instance = self.instance
        instance.hello = hello
        instance.clock = clock
        instance.started = rfc3339(hello.realtime_ns)
        instance.memory = ContainerMemory(
            hello.monotonic_ns, hello.memory_usage_bytes, hello.memory_limit_bytes
        )
        if instance is self._instances[0]:
            self._started = instance.started

    def declare(self, process: TracedProcess) -> ProcessEntry:
        """Takes a process that is about to be traced; the same process is one entry.

        Raises:
            StreamError: there are more than there can be.
        """
        key = (self.instance.number, process.pid, process.start_time)
        entry = self.processes.get(key)
        if entry is None:
            entry = ProcessEntry(
                process.pid,
                process.start_time,
                self.instance.number,
                process.command[:MAX_COMMAND],
                self._bounded(process.cmdline),
                self._names.assign(process.pid, process.start_time, process.command),
            )
            self.processes[key] = entry
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
        elif event.event == "attach_failed" and event.fields.get("denied") is True:
            # It is watched all the same: its memory goes on to be sampled.
            cause = str(event.fields.get("cause", ""))[:MAX_CMDLINE]
            entry.end_reason = f"not traced: {cause}"
            self._denied = self._denied or cause
        elif event.event in ("exit", "detach", "attach_failed"):
            entry.ended = time
            denied = event.event == "exit" and entry.attached is None and entry.end_reason
            if event.event == "attach_failed":
                entry.end_reason = f"not attached: {event.fields.get('cause', '')}"[:MAX_CMDLINE]
            elif event.event == "detach":
                entry.end_reason = "detached"
            else:
                words = _exit_words(event.fields)
                entry.end_reason = f"{words}, {denied}" if denied else words

    def sampled(self, sample: Sample) -> None:
        """Takes a memory sample."""
        if sample.pid is None:
            self.instance.memory = self.instance.memory.after(sample)
        entry = self._pids.get(sample.pid) if sample.pid is not None else None
        rss = sample.values.get("rss_bytes")
        if entry is None or rss is None or rss < 0:
            return
        entry.rss_bytes = rss
        entry.peak_rss_bytes = max(entry.peak_rss_bytes or 0, rss)

    def alive(self, heartbeat: Heartbeat) -> None:
        """Takes what hunter uses itself."""
        self._cpu_seconds = heartbeat.cpu_seconds
        self._peak_pss = max(self._peak_pss or 0, heartbeat.pss_bytes)

    def farewell(self, goodbye: Goodbye) -> None:
        """Takes hunter's last words."""
        self.instance.goodbye = goodbye
        self._cpu_seconds = goodbye.cpu_seconds
        self._peak_pss = max(self._peak_pss or 0, goodbye.peak_pss_bytes)

    def count(self, accounts: Accounts) -> None:
        """Takes what arrived so far from the present instance."""
        instance = self.instance
        instance.record_bytes = accounts.bytes
        for entry in self.own_processes():
            got = [accounts.processes[o] for o in entry.ordinals if o in accounts.processes]
            entry.records = sum(account.received for account in got)
            entry.lost = sum(account.lost for account in got)
        instance.received = sum(account.received for account in accounts.processes.values())
        instance.lost = (
            sum(account.lost for account in accounts.processes.values())
            + accounts.missing
            + accounts.undeclared
        )
        instance.seen = instance.received + instance.lost

    @property
    def tracing(self) -> str | None:
        """`on`, or `denied: <cause>` when no process could be traced for want of a right.

        None before the Hello.
        """
        if self.hello is None or self.hello.tracing != "on":
            return self.hello.tracing if self.hello else None
        traced = any(entry.attached is not None for entry in self.processes.values())
        return f"denied: {self._denied}" if self._denied and not traced else "on"

    @property
    def dropped_lines(self) -> int:
        """Lines left out of all logs."""
        return sum(entry.dropped_lines for entry in self.processes.values())

    def dropped_lines_of(self, instance: Instance) -> int:
        """Returns how many lines were left out of the logs of one instance."""
        return sum(
            entry.dropped_lines
            for entry in self.processes.values()
            if entry.instance == instance.number
        )

    def settle(self, settlement: Settlement) -> None:
        """Takes the final books of the present instance."""
        instance = self.instance
        instance.seen = settlement.seen
        instance.received = settlement.received
        instance.lost = settlement.lost
        for entry in self.own_processes():
            got = [settlement.processes[o] for o in entry.ordinals if o in settlement.processes]
            entry.records = sum(process.received for process in got)
            entry.lost = sum(process.lost for process in got)
            reasons = [process.end_reason for process in got if process.end_reason]
            if reasons and not entry.end_reason:
                entry.end_reason = reasons[-1][:MAX_CMDLINE]

    def fail(self, failure: GathererError, ended_ns: int) -> None:
        """Takes what kept the capture from starting.

        Args:
            failure: the error.
            ended_ns: nanoseconds since the epoch.
        """
        self.error, self.exit_code = str(failure), failure.exit_code
        self.end_reason = "not started"
        self.ended = rfc3339(ended_ns)

    def conclude(
        self, conclusion: Conclusion, failure: GathererError | None, ended_ns: int
    ) -> None:
        """Takes how the capture ended.

        Args:
            conclusion: reason, completeness, exit code.
            failure: what made it end, None when it ended as it should.
            ended_ns: nanoseconds since the epoch, on the capture clock.
        """
        self.end_reason = conclusion.end_reason
        self.complete = conclusion.complete
        self.exit_code = conclusion.exit_code
        self.discrepancies = list(conclusion.notes)
        self.error = str(failure) if failure is not None else ""
        self.ended = rfc3339(ended_ns)

    def _bounded(self, cmdline: list[str]) -> list[str]:
        """Returns what is kept of a command line; of very many processes little is."""
        kept: list[str] = []
        room = min(MAX_CMDLINE, self._room)
        for argument in cmdline:
            if room <= 0:
                break
            kept.append(argument[:room])
            # An argument costs at least one, or a million empty ones would be kept.
            room -= len(argument) + 1
        self._room -= sum(len(argument) + 1 for argument in kept)
        return kept

    def own_processes(self) -> list[ProcessEntry]:
        """Returns the processes of the present instance."""
        number = self.instance.number
        return [entry for entry in self.processes.values() if entry.instance == number]

    def command_of(self, ordinal: int) -> str:
        """Returns the name of a process for sentences."""
        entry = self._ordinals.get(ordinal)
        return f"{entry.command}-{entry.pid}" if entry else f"process {ordinal}"

    def entry(self, ordinal: int) -> ProcessEntry | None:
        """Returns the process that hunter gave this number."""
        return self._ordinals.get(ordinal)

    def declared(self) -> dict[int, str]:
        """Returns the names of all processes by ordinal."""
        return {ordinal: self.command_of(ordinal) for ordinal in self._ordinals}

    def status(
        self,
        seconds: float,
        backlog_bytes: int,
        stopping: bool,
        attempts: int = 0,
    ) -> Status:
        """Returns the capture at this moment, for a view.

        Args:
            seconds: since the Hello.
            backlog_bytes: what waits to be rendered.
            stopping: whether hunter has been asked to stop.
            attempts: how often a lost hunter has been looked for; 0 when it is there.
        """
        processes = tuple(
            ProcessStatus(
                entry.command,
                entry.pid,
                entry.log,
                entry.state,
                entry.rss_bytes,
                entry.records,
                entry.lost,
            )
            for entry in self.processes.values()
        )
        memory = self.instance.memory
        return Status(
            seconds,
            processes,
            self.received,
            self.lost,
            memory.usage_bytes,
            memory.limit_bytes,
            backlog_bytes,
            stopping,
            attempts,
        )

    def summary(self, directory: Path, spool: Path | None) -> Summary:
        """Returns the end of the capture for a view.

        Args:
            directory: the capture directory.
            spool: the spool when it was kept.
        """
        processes = tuple(
            ProcessSummary(
                entry.command,
                entry.pid,
                directory / entry.log if entry.has_log else None,
                entry.records,
                entry.lost,
                entry.dropped_lines,
                entry.peak_rss_bytes,
                entry.end_reason,
            )
            for entry in self.processes.values()
        )
        return Summary(
            directory,
            processes,
            self.seen,
            self.received,
            self.lost,
            self.end_reason,
            self.complete,
            tuple(self.discrepancies),
            self._peak_pss,
            self._cpu_seconds,
            spool,
            self.exit_code or 0,
            self.tracing or "on",
            tuple(filter(None, (instance.end_line() for instance in self._instances))),
            tuple(line for agent in self.agents for line in agent.text()),
        )

    def as_json(self) -> dict[str, Any]:
        """Returns the document, JSON values only."""
        hello = self.hello
        return {
            "schema": SCHEMA,
            "engine": {
                "name": hello.engine if hello else None,
                "reason": hello.engine_reason if hello else None,
            },
            "tracing": self.tracing,
            "target": asdict(self.target),
            "started": self._started,
            "ended": self.ended,
            "end_reason": self.end_reason or None,
            "error": self.error or None,
            "options": self._options,
            "restarts": self.restarts,
            "instances": [instance.as_json() for instance in self._instances],
            "tail": {"unknown_ms": self.instance.tail_unknown_ms},
            "gatherer": {
                "version": __version__,
                "python": platform.python_version(),
                "platform": sys.platform,
            },
            "clock": {
                "node_minus_gatherer_seconds": (
                    round(self.clock.offset_ns / 1e9, 6) if self.clock else None
                ),
                "time_zone": local_zone(),
            },
            "agents": [agent.as_json() for agent in self.agents],
            "hunter": {
                "version": hello.version if hello else None,
                "python": hello.python if hello else None,
                "executable": hello.executable if hello else None,
                "arch": hello.arch if hello else None,
                "pid": hello.pid if hello else None,
                "uid": hello.uid if hello else None,
                "sha256": hello.sha256 if hello else None,
                "inject": self.inject or None,
                "inject_reason": self.explanation or None,
                "container": self.container or None,
                "peak_pss_bytes": self._peak_pss,
                "cpu_seconds": self._cpu_seconds,
            },
            "host": {
                "kernel": hello.kernel if hello else None,
                "cpus": hello.cpus if hello else None,
                "cgroup_version": hello.cgroup_version if hello else None,
                "memory_limit_bytes": hello.memory_limit_bytes if hello else None,
                "memory_usage_bytes": hello.memory_usage_bytes if hello else None,
                "memory_source": hello.memory_source if hello else None,
                "node_memory_bytes": hello.node_memory_bytes if hello else None,
                "yama_ptrace_scope": hello.yama_ptrace_scope if hello else None,
                "seccomp": hello.seccomp if hello else None,
                "no_new_privs": hello.no_new_privs if hello else None,
                "capabilities": hello.capabilities if hello else [],
            },
            "processes": [entry.as_json() for entry in self.processes.values()],
            "records": {"seen": self.seen, "received": self.received, "lost": self.lost},
            "reconnects": self.reconnects,
            "lines": {"dropped": self.dropped_lines},
            "bytes": {
                "wire": sum(instance.wire_bytes for instance in self._instances),
                "records": sum(instance.record_bytes for instance in self._instances),
            },
            "discrepancies": self.discrepancies,
            "complete": self.complete,
            "exit_code": self.exit_code,
        }


def _exit_words(fields: Mapping[str, Any]) -> str:
    """Returns how a process ended: `exited`, or what killed it."""
    signal = fields.get("signal")
    if not isinstance(signal, str):
        return "exited"
    return f"killed by {signal[:20]}" + (", out of memory" if fields.get("oom") is True else "")
