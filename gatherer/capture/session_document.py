"""session.json: the state of one capture, as a value that is written again and again."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from gatherer.capture.container_run import ContainerMemory, ContainerRun
from gatherer.capture.process_table import ProcessTable
from gatherer.capture.result import Conclusion
from gatherer.clock import CaptureClock, local_zone, rfc3339
from gatherer.errors import GathererError
from gatherer.rendering.accounting import Accounts, Reconciliation, known_sum
from gatherer.target.values import Target
from gatherer.text import counted, printable
from gatherer.view.status import CaptureStatus
from gatherer.view.summary import Summary
from hg_shared.messages import Goodbye, Heartbeat, Hello, Sample
from hg_shared.version import __version__

SCHEMA = 1
SOME_PROFILE = "a seccomp profile"
PROFILE_REMEDY = (
    "; allow ptrace in it, set seccompProfile RuntimeDefault on the container, or use"
    " --inject ephemeral"
)


class AgentAccount(Protocol):
    """The account of what a node agent gave."""

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
        processes: traced processes.
        instance: the present or last instance of the target.
        end_reason: why the capture ended, empty while it runs.
        complete: whether everything hunter saw is in the logs.
        incomplete: why it is not, empty while it runs and when it is.
        exit_code: None while it runs.
        discrepancies: what does not add up, once the capture has ended.
        agents: what node agents gave.
        hidden: which processes could not be seen and why, empty when all could.
        reconnects: how often hunter was lost and found.
    """

    def __init__(
        self, target: Target, options: Mapping[str, Any], started_ns: int, restart: int = 0
    ) -> None:
        self.processes = ProcessTable(restart)
        self.instance = ContainerRun(restart, target.container_id)
        self.inject = ""
        self.explanation = ""
        self.container = ""
        self.end_reason = ""
        self.error = ""
        self.complete = False
        self.incomplete = ""
        self.exit_code: int | None = None
        self.discrepancies: list[str] = []
        self.agents: list[AgentAccount] = []
        self.hidden = ""
        self.reconnects = 0
        self.ended: str | None = None
        self.target = target
        self._options = dict(options)
        self._started = rfc3339(started_ns)
        self._instances = [self.instance]
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
        """The number of instances of the target that were traced after the first."""
        return sum(not instance.again for instance in self._instances) - 1

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

    @property
    def undecoded(self) -> int:
        """Calls of all instances whose lines have their arguments in hexadecimal."""
        return sum(instance.undecoded for instance in self._instances)

    def begin_instance(self, target: Target) -> ContainerRun:
        """Goes over to the next instance of the target, whose hunter counts from one again.

        Args:
            target: as the runtime found it now.
        """
        number = len(self._instances)
        self.target = target
        self.instance = ContainerRun(number, target.container_id)
        self._instances.append(self.instance)
        self.processes.begin_instance(number)
        return self.instance

    def begin_again(self) -> None:
        """Goes over to another hunter in the same instance, which counts from one."""
        self.begin_instance(self.target).again = True

    def replace_instance(self, target: Target) -> None:
        """Takes another instance in the place of the present one, of which hunter saw nothing.

        Args:
            target: as the runtime found it now.
        """
        self.target = target
        self.instance.container_id = target.container_id

    def on_hello(self, hello: Hello, clock: CaptureClock) -> None:
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

    def with_profile(self, text: str, *, denied: bool = True) -> str:
        """Returns a cause that names the seccomp profile, where hunter is under the target's.

        Args:
            text: hunter's, which knows only that there may be one.
            denied: whether it keeps hunter from tracing, so that a remedy is wanted.
        """
        elsewhere = self.container and self.container != self.target.container
        if not self.target.seccomp or elsewhere or SOME_PROFILE not in text:
            return text
        name = printable(self.target.seccomp, 200)
        remedy = PROFILE_REMEDY if denied and "; " not in text else ""
        return text.replace(SOME_PROFILE, f"the seccomp profile ({name})") + remedy

    def sampled(self, sample: Sample) -> None:
        """Takes a memory sample."""
        if sample.pid is None:
            self.instance.memory = self.instance.memory.after(sample)
        else:
            self.processes.sampled(sample)

    def alive(self, heartbeat: Heartbeat) -> None:
        """Takes what hunter uses itself."""
        self._cpu_seconds = heartbeat.cpu_seconds
        self._peak_pss = max(self._peak_pss or 0, heartbeat.pss_bytes)

    def on_goodbye(self, goodbye: Goodbye) -> None:
        """Takes hunter's final message."""
        self.instance.goodbye = goodbye
        self._cpu_seconds = goodbye.cpu_seconds
        self._peak_pss = max(self._peak_pss or 0, goodbye.peak_pss_bytes)

    def count(self, accounts: Accounts) -> None:
        """Takes what arrived so far from the present instance."""
        instance = self.instance
        instance.record_bytes = accounts.bytes
        instance.undecoded = accounts.undecoded
        self.processes.count(accounts.processes)
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
        if self.instance.again and self.processes.traced:
            return "on"  # by the hunter before, until it was stuck
        if self.hello is None or self.hello.tracing != "on":
            return self.hello.tracing if self.hello else None
        denied = self.processes.denied
        return f"denied: {denied}" if denied and not self.processes.traced else "on"

    def reconcile(self, reconciliation: Reconciliation) -> None:
        """Takes the final accounting of the present instance."""
        instance = self.instance
        instance.seen = reconciliation.seen
        instance.received = reconciliation.received
        instance.lost = reconciliation.lost
        self.processes.reconcile(reconciliation.processes)

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
        self.incomplete = conclusion.incomplete
        self.exit_code = conclusion.exit_code
        self.discrepancies = list(conclusion.notes)
        self.error = str(failure) if failure is not None else ""
        self.ended = rfc3339(ended_ns)

    def status(
        self,
        seconds: float,
        backlog_bytes: int,
        stopping: bool,
        attempts: int = 0,
    ) -> CaptureStatus:
        """Returns the capture at this moment, for a view.

        Args:
            seconds: since the Hello.
            backlog_bytes: what waits to be rendered.
            stopping: whether hunter has been asked to stop.
            attempts: how often a lost hunter has been looked for; 0 when it is there.
        """
        memory = self.instance.memory
        return CaptureStatus(
            seconds,
            self.processes.status(),
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
        records = self.records()
        return Summary(
            directory,
            self.processes.summary(directory, spool is None),
            records["seen"],
            self.received,
            records["lost"],
            self.end_reason,
            self.complete,
            (*self.discrepancies, *self._remarks()),
            self._peak_pss,
            self._cpu_seconds,
            spool,
            self.exit_code or 0,
            self.tracing or "on",
            tuple(filter(None, (instance.end_line() for instance in self._instances))),
            tuple(line for agent in self.agents for line in agent.text()),
            self.incomplete,
            self.hidden,
        )

    def _remarks(self) -> list[str]:
        """Numbers that are told where they are not 0, and make no capture incomplete."""
        unknown = sum(instance.unknown_frames for instance in self._instances)
        remarks: list[str] = []
        if self.undecoded:
            remarks.append(
                f"{counted(self.undecoded, 'call')} could not be decoded:"
                " their arguments are in hexadecimal"
            )
        if unknown:
            verb = "was" if unknown == 1 else "were"
            remarks.append(
                f"{counted(unknown, 'frame')} of a kind that this gatherer does not know {verb}"
                " left out"
            )
        return remarks

    def records(self) -> dict[str, int | None]:
        """Returns what all hunters saw, as session.json has it: null where it is not known."""
        parts = [instance.records() for instance in self._instances]
        return {name: known_sum(part[name] for part in parts) for name in parts[0]}

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
            "processes": self.processes.as_json(),
            "records": self.records(),
            "reconnects": self.reconnects,
            "lines": {"dropped": self.processes.dropped_lines, "undecoded": self.undecoded},
            "frames": {
                "unknown": sum(instance.unknown_frames for instance in self._instances),
                "repeated": sum(instance.repeated_frames for instance in self._instances),
            },
            "bytes": {
                "wire": sum(instance.wire_bytes for instance in self._instances),
                "records": sum(instance.record_bytes for instance in self._instances),
            },
            "discrepancies": self.discrepancies,
            "complete": self.complete,
            "incomplete_reason": self.incomplete or None,
            "hidden": self.hidden or None,
            "exit_code": self.exit_code,
        }
