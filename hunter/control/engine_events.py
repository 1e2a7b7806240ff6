"""Events of the engine about its processes: remembered, and passed on to gatherer."""

from __future__ import annotations

import os
import signal
import time
from typing import Callable, Dict, List, Optional, Set, Tuple

from hg_shared import rights
from hg_shared.linux_abi import signal_name
from hg_shared.messages import Event, Message
from hunter.control.announcer import ProcessAnnouncer
from hunter.control.probation import Probation, ours
from hunter.control.traced_processes import Traced, TracedProcesses
from hunter.engines.base import TRACED_ALREADY, Engine, EngineEvent
from hunter.engines.choose import Choice
from hunter.memory import procfs
from hunter.memory.container import Container
from hunter.memory.evidence import Evidence
from hunter.memory.procfs import ProcessKey
from hunter.memory.sampler import Sampler
from hunter.scan.recognition import OURS, foreign_tracer, tracer_message
from hunter.scan.scanner import Scanner


class EngineEventHandler:
    """Handles the engine's events.

    Args:
        engine: the engine.
        choice: why it is this one.
        own: hunter's rights.
        processes: the processes that were chosen.
        announcer: sends tables of descriptors.
        scanner: told of processes that cannot be attached.
        evidence: kept of those that may not be traced.
        sampler: told of processes that have ended.
        put: sends a message to gatherer.
        container: remembers the groups of processes.
        killed: tells whether the kernel has killed a process for want of memory around a time.
    """

    def __init__(
        self,
        engine: Engine,
        choice: Choice,
        own: rights.Rights,
        processes: TracedProcesses,
        announcer: ProcessAnnouncer,
        scanner: Scanner,
        evidence: Evidence,
        sampler: Sampler,
        put: Callable[[Message], None],
        container: Container,
        killed: Callable[[int, int], bool],
    ) -> None:
        self._engine = engine
        self._choice = choice
        self._rights = own
        self._processes = processes
        self._announcer = announcer
        self._scanner = scanner
        self._evidence = evidence
        self._sampler = sampler
        self._put = put
        self._container = container
        self._killed = killed
        self._refused: Dict[ProcessKey, str] = {}
        self._probation = Probation()
        self._expelled: Set[int] = set()

    def handle(self) -> None:
        """Handles all events since the last time."""
        for event in self._engine.events():
            traced = self._processes.get(event.ordinal)
            if traced is not None:
                self._handle(event, traced)
        self._expel(self._probation.inspect(time.monotonic_ns()))

    def expel_ours(self) -> None:
        """Lets processes go that have become a hunter's or a gatherer's; once a scan."""
        self._expel(ours(each for each in self._processes.active() if each.attached))

    def _expel(self, found: List[Traced]) -> None:
        for traced in found:
            if traced.ordinal not in self._expelled:
                self._expelled.add(traced.ordinal)
                self._engine.detach(traced.ordinal)

    def refuse_held(self, traced: Traced, tracer: int, when: int) -> None:
        """Keeps the evidence of a process that somebody else traces, and says who does.

        Args:
            traced: the process.
            tracer: the tracer's thread id.
            when: CLOCK_MONOTONIC ns.
        """
        traced.end_reason = "attach_failed"
        self._refuse(traced, tracer_message(tracer), True, when)

    def _refuse(self, traced: Traced, cause: str, denied: bool, when: int) -> None:
        if self._refused.get(traced.key) != cause:
            self._refused[traced.key] = cause
            if denied:
                self._container.watch(traced.key[0])
                self._evidence.begin(traced.key)
            fields: Dict[str, object] = {"cause": cause, "denied": denied}
            self._put(Event(when, "attach_failed", traced.key[0], fields))

    def _handle(self, event: EngineEvent, traced: Traced) -> None:
        pid = traced.key[0]
        when = event.time_ns
        fields: Dict[str, object]
        if event.kind == "attached":
            traced.attached = True
            self._evidence.end(traced.key)
            self._refused.pop(traced.key, None)
            self._probation.begin(traced, when)
            fields = {"threads": event.value}
            if event.text:
                # Not the engine of the others; and why.
                fields["engine"], _, fields["reason"] = event.text.partition("; ")
            # Before it is told: whoever waits for that may change them.
            self._announcer.send_fd_table(traced)
            self._put(Event(when, "attach", pid, fields))
            self._begin(pid)
        elif event.kind == "followed":
            traced.attached = True
            self._probation.begin(traced, when)
            creator = self._processes.get(event.value)
            fields = {"threads": 1, "parent": creator.key[0] if creator else None}
            self._put(Event(when, "attach", pid, fields))
            self._begin(pid, creator)
        elif event.kind == "unfollowed":
            cause = f"{event.text} of its children are not followed: too many at a time"
            self._put(Event(when, "attach_failed", None, {"parent": pid, "cause": cause}))
        elif event.kind == "attach_failed":
            traced.end_reason = "attach_failed"
            self._scanner.failed(traced.key)
            cause, denied = self._why_refused(pid, event.text)
            self._refuse(traced, cause, denied, when)
        elif event.kind == "exec":
            self._probation.begin(traced, when)
            self._put(Event(when, "exec", pid, {"command": event.text}))
            self._announcer.send_fd_table(traced)
        elif event.kind == "ended":
            traced.end_reason = event.text
            traced.held_ns += self._sampler.forget(pid)
            fields = {}
            if event.text == "exited":
                if os.WIFSIGNALED(event.value):
                    fields["signal"] = signal_name(os.WTERMSIG(event.value))
                    if os.WTERMSIG(event.value) == signal.SIGKILL:
                        fields["oom"] = self._killed(pid, when)
                else:
                    fields["code"] = event.value >> 8
            if event.ordinal in self._expelled:
                fields["cause"] = OURS
            name = "exit" if event.text == "exited" else "detach"
            self._container.forget(pid)
            self._put(Event(when, name, pid, fields))

    def _begin(self, pid: int, creator: Optional[Traced] = None) -> None:
        """Remembers where the memory of a process is accounted, and takes its first sample."""
        self._container.watch(pid, creator.key[0] if creator is not None else 0)
        sample = self._sampler.beginning(pid, time.monotonic_ns(), creator is not None)
        if sample is not None:
            self._put(sample)

    def _why_refused(self, pid: int, text: str) -> Tuple[str, bool]:
        """Returns why a process is not traced, and whether a right is missing."""
        status = procfs.status_fields(procfs.living_thread(pid))
        if not status:
            return "it is gone", False
        if text in (OURS, TRACED_ALREADY):
            return text, False
        if not self._choice.engine:
            return self._choice.reason, True
        tracer = foreign_tracer(status)
        if tracer:
            return tracer_message(tracer), True
        if "not permitted" not in text and "Permission" not in text:
            return text, True
        return str(rights.why_refused(self._rights, status)), True
