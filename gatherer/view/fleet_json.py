"""JSON lines about many targets: those of `gatherer.view.json_lines`, with the target in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from gatherer.target.values import TargetName
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.json_lines import (
    WAITING_SECONDS,
    JsonLines,
    event_object,
    start_object,
    waiting_object,
)
from gatherer.view.status import FleetStatus, Start, Waiting, WaitingNews


class FleetJsonView:
    """Writes what the events.jsonl of all targets get, and `start`, `note`, `status`, `summary`.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._lines = JsonLines(stream)
        self._waits: dict[TargetName, WaitingNews] = {}

    def waiting(self, target: TargetName, waiting: Waiting) -> None:
        """Writes `waiting`, when the reason changes and every 10 s."""
        if self._waits.setdefault(target, WaitingNews()).worth(waiting, WAITING_SECONDS):
            self._lines.write(waiting_object(waiting, target.as_json()))

    def started(self, target: TargetName, start: Start) -> None:
        """Writes `start`; its target has the fields of session.json."""
        self._lines.write(start_object(start))

    def event(
        self, target: TargetName, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        """Writes the event as events.jsonl has it, and its target."""
        self._lines.write(event_object(time, event, pid, fields, {"target": target.as_json()}))

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes `note`; one without a target is about all of them."""
        about = {"target": target.as_json()} if target is not None else {}
        self._lines.write({"event": "note", **about, "text": text})

    def status(self, status: FleetStatus) -> None:
        """Writes `status`: totals, and the state of each target."""
        targets = [
            {
                "target": target.name.as_json(),
                "state": target.state,
                **(asdict(target.status) if target.status is not None else {}),
            }
            for target in status.targets
        ]
        self._lines.write(
            {
                "event": "status",
                "seconds": status.seconds,
                "received": status.received,
                "lost": status.lost,
                "backlog_bytes": status.backlog_bytes,
                "waiting": status.waiting,
                "stopping": status.stopping,
                "targets": targets,
            }
        )

    def rendering(self, done: int, total: int) -> None:
        """Writes `rendering`."""
        self._lines.write({"event": "rendering", "done_bytes": done, "total_bytes": total})

    def summary(self, summary: FleetSummary) -> None:
        """Writes `summary`."""
        self._lines.write({"event": "summary", **summary.as_json()})

    def close(self) -> None:
        """Does nothing: the stream is not the view's own."""
