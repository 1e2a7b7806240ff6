"""Plain lines about many targets, each with its target in front as kubectl logs --prefix has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from gatherer.fleet_summary import FleetSummary
from gatherer.targets import FleetStatus, TargetName
from gatherer.text import printable
from gatherer.view import Start
from gatherer.view.plain import PlainLines, percent_line
from gatherer.view.sentences import event_line, fleet_status_line, prefix, target_line

STATUS_SECONDS = 10.0
"""Time between two status lines."""


class FleetPlainView:
    """Writes a line for everything that happens.

    Args:
        stream: where to.
        verbosity: -1: only the summary; 1: a status line every second.
    """

    def __init__(self, stream: TextIO, verbosity: int = 0) -> None:
        self._lines = PlainLines(stream)
        self._quiet = verbosity < 0
        self._status_seconds = STATUS_SECONDS if verbosity < 1 else 0.9
        self._said_at = 0.0
        self._said = ""
        self._percent = -1

    def started(self, target: TargetName, start: Start) -> None:
        """Writes one line about the target and its hunter."""
        self._say(prefix(target) + target_line(start))

    def event(
        self, target: TargetName, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        """Writes the event."""
        self._say(f"{time[11:23]} {prefix(target)}{event_line(event, pid, fields)}")

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes the note."""
        about = prefix(target) if target is not None else ""
        self._say(about + printable(text, 500))

    def status(self, status: FleetStatus) -> None:
        """Writes a status line, every 10 s and only when something changed but the time."""
        if status.seconds - self._said_at < self._status_seconds:
            return
        self._said_at = status.seconds
        line = fleet_status_line(status)
        said = line.partition(":")[2]
        if said != self._said:
            self._said = said
            self._say(line)

    def rendering(self, done: int, total: int) -> None:
        """Writes every tenth percent."""
        line, self._percent = percent_line(done, total, self._percent)
        if line:
            self._say(line)

    def summary(self, summary: FleetSummary) -> None:
        """Writes the summary, whatever the verbosity."""
        self._lines.write(summary.lines())

    def close(self) -> None:
        """Does nothing: the stream is not the view's own."""

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._lines.write([line])
