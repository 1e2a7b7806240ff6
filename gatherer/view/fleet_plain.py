"""Plain lines about many targets, each with its target in front as kubectl logs --prefix has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from gatherer.target.values import TargetName
from gatherer.text import printable
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.plain import WAITING_SECONDS, PlainLines
from gatherer.view.sentences import fleet_status_line, prefix, target_line, waiting_line
from gatherer.view.status import FleetStatus, Start, Waiting, WaitingNews


class FleetPlainView:
    """Writes a line for everything that happens.

    Args:
        stream: where to.
        verbosity: -1: only the summary; 1: a status line every second.
    """

    def __init__(self, stream: TextIO, verbosity: int = 0) -> None:
        self._lines = PlainLines(stream, verbosity)
        self._waits: dict[TargetName, WaitingNews] = {}

    def waiting(self, target: TargetName, waiting: Waiting) -> None:
        """Writes why a target does not run, when that changes and every 30 s."""
        if self._waits.setdefault(target, WaitingNews()).worth(waiting, WAITING_SECONDS):
            self._lines.say(prefix(target) + waiting_line(waiting))

    def started(self, target: TargetName, start: Start) -> None:
        """Writes one line about the target and its hunter."""
        self._lines.say(prefix(target) + target_line(start))

    def event(
        self, target: TargetName, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        """Writes the event."""
        self._lines.events.add(time, event, pid, fields, prefix(target))

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes the note."""
        about = prefix(target) if target is not None else ""
        self._lines.say(about + printable(text, 500))

    def status(self, status: FleetStatus) -> None:
        """Writes a status line, every 10 s and only when something changed but the time."""
        self._lines.status(status.seconds, fleet_status_line(status))

    def rendering(self, done: int, total: int) -> None:
        """Writes every tenth percent."""
        self._lines.rendering(done, total)

    def summary(self, summary: FleetSummary) -> None:
        """Writes the summary, whatever the verbosity."""
        self.close()
        self._lines.write(summary.lines())

    def close(self) -> None:
        """Writes the events that still wait; the stream is not the view's own."""
        self._lines.events.flush()
