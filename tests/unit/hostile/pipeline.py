"""All of gatherer that a stream goes through, without processes, sockets and files."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatherer.capture.recorder import CaptureRecorder
from gatherer.capture.result import EndFacts, conclude
from gatherer.config import CaptureConfig, LinesConfig
from gatherer.errors import GathererError
from gatherer.kube.exec.channels import STDOUT, V5, ExecChannels, StreamData
from gatherer.rendering.accounting import reconcile
from gatherer.rendering.pipeline import Rendering, lines_factory
from gatherer.rendering.progress import ReportedProgress, Reporter
from gatherer.storage.capture_directory import CaptureDirectory, json_line
from gatherer.storage.logs import LogDirectory
from gatherer.stream.receiver import Receiver
from gatherer.target.values import Exit, Target
from gatherer.view.json_lines import JsonView
from gatherer.view.plain import PlainView
from hg_shared.errors import UnsupportedVersion
from tests.unit.gatherer.scripted import config


class NoLogs(LogDirectory):
    """Takes lines and checks that a terminal can take them."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))

    def append(self, name: str, data: bytes) -> None:
        text = data.decode("ascii")
        assert name.isprintable()
        assert "/" not in name
        assert text.replace("\n", "").isprintable()
        self.written += len(data)


class NoDirectory(CaptureDirectory):
    """Turns everything into JSON, and keeps nothing."""

    begun = True

    def __init__(self) -> None:
        pass

    def write_session(self, document: Mapping[str, Any]) -> None:
        json_line(document)

    def append_event(
        self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        json_line({"time": time, "event": event, "pid": pid, "fields": fields})

    def append_memory(self, time: str, pid: int | None, values: Mapping[str, Any]) -> None:
        json_line({"time": time, "pid": pid, "values": values})

    def append_own_memory(self, time: str, values: Mapping[str, Any]) -> None:
        json_line({"time": time, "hunter": values})


class Terminal(io.StringIO):
    """Checks that nothing moves the cursor, and forgets it."""

    def write(self, text: str) -> int:
        assert text.replace("\n", "").isprintable()
        return len(text)


class Pipeline:
    """Takes exec messages to the end and returns the accounting."""

    def __init__(self) -> None:
        settings: CaptureConfig = config(Path("nowhere"))
        target = Target("kubernetes", pod="p")
        self.views = (PlainView(Terminal(), 1), JsonView(Terminal()))
        self.recorder = CaptureRecorder(settings, target, NoDirectory(), self.views[0])
        self.channels = ExecChannels(V5)
        self.receiver = Receiver()
        self.rendering = Rendering(NoLogs(), lines_factory(LinesConfig()), 1 << 20)
        self.reporter = Reporter(1)
        self.failed: GathererError | UnsupportedVersion | None = None

    def receive_message(self, message: bytes) -> None:
        """Takes one message; after a failure nothing more."""
        if self.failed is not None:
            return
        try:
            event = self.channels.receive_message(message)
            if isinstance(event, StreamData) and event.channel == STDOUT:
                self.receive_data(event.data)
        except (GathererError, UnsupportedVersion) as error:
            self.failed = error
        if self.failed is not None:
            assert str(self.failed).isprintable()

    def receive_data(self, data: bytes) -> None:
        """Takes bytes of the stream."""
        for arrival in self.receiver.receive_data(data):
            if arrival.frame.seq or arrival.frame.type == 1:
                self.rendering.receive_data(arrival.frame.encode())
            self.recorder.receive(arrival)
            if arrival.message is not None:
                self.views[1].note(str(type(arrival.message)))

    def finish(self) -> None:
        """Reconciles the accounting, which must add up whatever came."""
        self.receiver.receive_eof()
        self.rendering.finish()
        report = self.reporter.report(self.rendering.progress(0), True)
        reported = ReportedProgress()
        reported.apply(json.loads(report))
        progress = reported.progress()
        document = self.recorder.document
        self.recorder.update(progress)
        self.recorder.show(0, False)
        self.recorder.write()
        instance = document.instance
        books = reconcile(progress.accounts, instance.goodbye, document.processes.names())
        assert books.seen == books.received + books.lost
        for process in books.processes.values():
            assert process.seen == process.received + process.lost
            assert min(process.seen, process.received, process.lost) >= 0
        ended = Exit(None, "the exec channel ended without a status")
        evidence = EndFacts(
            "", instance.goodbye, ended, None, False, None, True, books, self.receiver,
            tuple(instance.discrepancies), document.processes.dropped_lines,
        )  # fmt: skip
        conclusion = conclude(evidence)
        self.recorder.end_instance(evidence, conclusion)
        summary = self.recorder.conclude(conclusion, None, (), None)
        for view in self.views:
            view.summary(summary)
        assert len(json_line(document.as_json())) < 64 << 20
