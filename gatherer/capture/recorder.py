"""The written record of a capture: session.json, events.jsonl, memory.jsonl, and what is shown.

Hunter's messages and the worker's progress come in; files and the view are what comes out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gatherer.capture.process_table import ProcessEntry
from gatherer.capture.result import Conclusion, EndFacts, fate
from gatherer.capture.session_document import AgentAccount, SessionDocument
from gatherer.clock import CaptureClock, rfc3339
from gatherer.config import CaptureConfig
from gatherer.errors import GathererError, LogWriteError, OutputUnusable
from gatherer.rendering.progress import Progress
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.stream.events import Reconnected
from gatherer.stream.receiver import Arrival, Receiver
from gatherer.target.values import Target, TargetEnd
from gatherer.text import counted
from gatherer.view.base import CaptureView
from gatherer.view.sentences import hidden_processes
from gatherer.view.status import Start
from gatherer.view.summary import Summary
from gatherer.view.threshold import describe_threshold
from hg_shared.messages import Event, Goodbye, Heartbeat, Hello, Sample, TracedProcess


class CaptureRecorder:
    """The record of one capture.

    Args:
        config: what was asked for.
        target: what is captured.
        directory: where it is written.
        view: what is shown.

    Attributes:
        document: what session.json says; it is changed here alone.
        known_at: CLOCK_MONOTONIC seconds of gatherer up to which everything hunter saw is known.
        ended_at: the same of the end of the stream, 0.0 while it goes on.
    """

    def __init__(
        self,
        config: CaptureConfig,
        target: Target,
        directory: CaptureDirectory,
        view: CaptureView,
    ) -> None:
        self.document = SessionDocument(target, config.as_json(), time.time_ns())
        self.known_at = 0.0
        self.ended_at = 0.0
        self._config = config
        self._directory = directory
        self._view = view
        self._started_at = 0.0
        self._said = ""

    def begin(self) -> None:
        """Makes room for the capture in its directory, and writes session.json for the first time.

        Raises:
            OutputUnusable: the directory cannot be used any more.
        """
        if self._directory.begun:
            return
        self._directory.begin()
        try:
            self.write()
            self._directory.prepare()
        except LogWriteError as error:
            raise OutputUnusable(error.cause, error.remedy) from error
        if self._directory.moved_to is not None:
            self._view.note(f"an earlier capture was moved to {self._directory.moved_to}")

    def receive(self, arrival: Arrival) -> None:
        """Writes and shows what a message says.

        Args:
            arrival: a frame with its message; one without changes nothing.

        Raises:
            LogWriteError: a file cannot be written.
        """
        message = arrival.message
        document = self.document
        if isinstance(message, Hello):
            self._on_hello(message)
        elif document.clock is None:
            return
        elif isinstance(message, TracedProcess):
            document.processes.declare(message)
        elif isinstance(message, Event):
            message = self._with_profile(message)
            when = document.clock.time(message.time_ns)
            document.processes.happened(message, when)
            if message.event == "hidden":
                document.hidden = hidden_processes(message.fields)
            self._event(when, message.event, message.pid, message.fields)
        elif isinstance(message, Sample):
            self._sample(message, document.clock)
        elif isinstance(message, Heartbeat):
            self._beat(message, document.clock)
        elif isinstance(message, Goodbye):
            document.on_goodbye(message)
            if message.frames != arrival.frame.seq - 1:
                document.instance.disagree(
                    f"hunter says it sent {counted(message.frames, 'frame')}, its Goodbye is number"
                    f" {arrival.frame.seq}"
                )

    def update(self, progress: Progress) -> None:
        """Takes the renderer's progress: counts, and losses as events.

        Args:
            progress: the losses in it are told once.

        Raises:
            LogWriteError: a file cannot be written.
        """
        document = self.document
        document.count(progress.accounts)
        if document.clock is None:
            return
        step = document.clock.take_own_step()
        if step:
            own: dict[str, object] = {"seconds": round(step / 1e9, 6), "whose": "gatherer"}
            self._event(rfc3339(document.clock.now_ns()), "clock_step", None, own)
        for loss in progress.losses:
            cause = "output queue full" if loss.ordinal else "lost in transit"
            entry = document.processes.entry(loss.ordinal)
            fields: dict[str, object] = {"records": loss.count, "cause": cause}
            when = document.clock.time(loss.time_ns)
            self._event(when, "lost", entry.pid if entry else None, fields)
        for drop in progress.drops:
            entry = document.processes.entry(drop.ordinal)
            if entry is None:
                continue
            if not entry.dropped_lines:
                self._dropped(entry, document.clock.time(drop.time_ns))
            entry.dropped_lines = drop.lines

    def reconnected(self, reconnection: Reconnected) -> None:
        """Takes that hunter was lost and is there again.

        Args:
            reconnection: how it went.

        Raises:
            LogWriteError: a file cannot be written.
        """
        document = self.document
        document.reconnects += 1
        if document.clock is not None:
            fields: dict[str, object] = {
                "cause": reconnection.cause,
                "seconds": round(reconnection.seconds, 3),
                "attempts": reconnection.attempts,
                "missing_frames": reconnection.missing,
            }
            self._event(rfc3339(document.clock.now_ns()), "reconnect", None, fields)

    def quiet(self, seconds: float) -> None:
        """Takes that hunter says nothing, as when it is stopped, frozen or without CPU.

        Args:
            seconds: for how long.

        Raises:
            LogWriteError: the event cannot be written.
        """
        self._event(rfc3339(self.ended_ns()), "silent", None, {"seconds": round(seconds, 1)})

    def heard(self, seconds: float) -> None:
        """Takes that hunter says something again.

        Args:
            seconds: how long it had said nothing.

        Raises:
            LogWriteError: the event cannot be written.
        """
        self._event(rfc3339(self.ended_ns()), "heard", None, {"seconds": round(seconds, 1)})

    def stuck(self, why: str, then: str) -> None:
        """Takes that hunter's watchdog has ended it.

        Args:
            why: what hunter was stuck in.
            then: what is done about it, empty for nothing.
        """
        fields: dict[str, object] = {"cause": why, "then": then or None}
        try:
            self._event(rfc3339(self.ended_ns()), "stuck", None, fields)
        except LogWriteError as error:
            self._view.note(str(error))

    def show(self, backlog_bytes: int, stopping: bool, attempts: int = 0) -> None:
        """Shows the capture at this moment.

        Args:
            backlog_bytes: what waits to be rendered.
            stopping: whether hunter has been asked to stop.
            attempts: how often a lost hunter has been looked for; 0 when it is there.
        """
        if self.document.clock is not None:
            seconds = time.monotonic() - self._started_at
            self._view.status(self.document.status(seconds, backlog_bytes, stopping, attempts))

    def paused(self, seconds: float) -> None:
        """Writes and shows that gatherer itself did not run for a while.

        Args:
            seconds: how long.

        Raises:
            LogWriteError: the event cannot be written.
        """
        self._event(rfc3339(self.ended_ns()), "gatherer_paused", None, {"seconds": seconds})

    def write(self) -> None:
        """Replaces session.json, once the capture has begun.

        Raises:
            LogWriteError: it cannot be written; the former one stays.
        """
        if not self._directory.begun:
            return
        self._directory.write_session(self.document.as_json())

    def write_last(self) -> None:
        """Replaces session.json; when that cannot be, the last one that fitted stays."""
        try:
            self.write()
        except LogWriteError as error:
            if str(error) != self._said:
                self._said = str(error)
                self._view.note(self._said)

    def ended_ns(self) -> int:
        """Returns when the capture ended, nanoseconds since the epoch on the capture clock."""
        clock, goodbye = self.document.clock, self.document.goodbye
        if clock is None:
            return time.time_ns()
        if goodbye is not None:
            return clock.realtime_ns(goodbye.time_ns)
        # Learning how the target ended and rendering the rest take their time.
        since = time.monotonic() - self.ended_at if self.ended_at else 0.0
        return clock.now_ns() - int(since * 1e9)

    def received(self, inject: str, explanation: str, container: str, receiver: Receiver) -> None:
        """Takes how hunter got in, and how much it has sent.

        Args:
            inject: the way in.
            explanation: why that one.
            container: that hunter runs in, where it is not the target.
            receiver: the state of the present stream.
        """
        document = self.document
        document.inject, document.explanation, document.container = inject, explanation, container
        document.instance.wire_bytes = receiver.wire_bytes
        document.instance.count_frames(receiver)

    def end_instance(self, facts: EndFacts, conclusion: Conclusion) -> None:
        """Writes down what is only known at the end of an instance of the target.

        Args:
            facts: of the end.
            conclusion: what follows from them.
        """
        document, instance = self.document, self.document.instance
        document.reconcile(facts.reconciliation)
        instance.count_frames(facts.receiver)
        instance.end = facts.end
        instance.end_reason = conclusion.end_reason
        instance.tail_unknown_ms = facts.unknown_ms
        instance.totals_unknown = facts.totals_unknown
        instance.ended = instance.ended or rfc3339(self.ended_ns())
        if instance.goodbye is None:
            document.processes.close(instance.ended, fate(facts.end), facts.totals_unknown)
        when = rfc3339(self.ended_ns())
        try:
            for entry in document.processes.present():
                if entry.dropped_lines:
                    self._dropped(entry, when, entry.dropped_lines)
            if instance.end is not None:
                self._event(when, "target_ended", None, instance.end_fields())
        except LogWriteError as error:
            self._view.note(str(error))
        self.write_last()

    def next_instance(self, target: Target) -> None:
        """Goes over to the next instance of the target, whose hunter counts from one again."""
        self.document.begin_instance(target)

    def replace_instance(self, target: Target) -> None:
        """Takes another instance in the place of the present one, of which hunter saw nothing."""
        self.document.replace_instance(target)

    def begin_again(self) -> None:
        """Goes over to another hunter in the same instance."""
        self.document.begin_again()

    def not_started(self, cause: str) -> None:
        """Takes that hunter could not be started in the present instance."""
        self.document.instance.end_reason = f"not started: {cause}"

    def missed(self, end: TargetEnd) -> None:
        """Takes that the present instance has ended before hunter was in it, or what is new of it.

        Args:
            end: how.
        """
        self.document.instance.end = end

    def conclude(
        self,
        conclusion: Conclusion,
        failure: GathererError | None,
        agents: Sequence[AgentAccount],
        spool: Path | None,
    ) -> Summary:
        """Writes session.json for the last time, and returns the summary.

        Args:
            conclusion: reason, completeness, exit code.
            failure: what made the capture end, None when it ended as it should.
            agents: what node agents gave.
            spool: the spool when it was kept.
        """
        document = self.document
        document.agents = list(agents)
        document.conclude(conclusion, failure, self.ended_ns())
        self.write_last()
        return replace(document.summary(self._config.output, spool), failure=failure)

    def _with_profile(self, event: Event) -> Event:
        """Returns an event whose cause names the seccomp profile that hunter can only suspect."""
        cause = event.fields.get("cause")
        if event.event != "attach_failed" or not isinstance(cause, str):
            return event
        return replace(event, fields={**event.fields, "cause": self.document.with_profile(cause)})

    def _on_hello(self, hello: Hello) -> None:
        document = self.document
        hello = replace(
            hello,
            tracing=document.with_profile(hello.tracing),
            engine_reason=document.with_profile(hello.engine_reason, denied=False),
        )
        document.on_hello(hello, CaptureClock(hello, time.time_ns()))
        self.known_at, self.ended_at = time.monotonic(), 0.0
        self._started_at = self._started_at or self.known_at
        threshold = describe_threshold(self._config, hello)
        output: Path = self._config.output
        self._view.started(
            Start(
                document.target,
                hello,
                document.inject,
                document.explanation,
                threshold,
                output,
                self._config.max_overhead,
            )
        )

    def _sample(self, sample: Sample, clock: CaptureClock) -> None:
        self.document.sampled(sample)
        self._directory.append_memory(clock.time(sample.time_ns), sample.pid, sample.values)

    def _beat(self, heartbeat: Heartbeat, clock: CaptureClock) -> None:
        self.document.alive(heartbeat)
        self._directory.append_own_memory(
            clock.time(heartbeat.time_ns),
            {"pss_bytes": heartbeat.pss_bytes, "cpu_seconds": heartbeat.cpu_seconds},
        )
        if not heartbeat.queued_bytes:
            self.known_at = time.monotonic()
        step = clock.observe(heartbeat, time.time_ns())
        if step is not None:
            when = clock.time(heartbeat.time_ns)
            self._event(when, "clock_step", None, {"seconds": round(step, 6)})

    def _dropped(self, entry: ProcessEntry, when: str, lines: int | None = None) -> None:
        fields: dict[str, object] = {"cause": "log size limit"}
        if lines is not None:
            fields["lines"] = lines
        fields["limit_bytes"] = self._config.max_log_size
        self._event(when, "dropped", entry.pid, fields)

    def _event(self, when: str, event: str, pid: int | None, fields: dict[str, object]) -> None:
        if self._directory.begun:
            self._directory.append_event(when, event, pid, fields)
        self._view.event(when, event, pid, fields)
