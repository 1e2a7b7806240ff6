"""Plain lines: for pipes, files and terminals that shall not be redrawn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TextIO

from gatherer.target.values import TargetName
from gatherer.text import fitted, printable
from gatherer.view.event_lines import EventLines
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.sentences import first_lines, prefix, status_line, waiting_line
from gatherer.view.status import CaptureStatus, FleetStatus, Start, Waiting, WaitingNews
from gatherer.view.summary import Summary

STATUS_SECONDS = 10.0
"""Time between two status lines."""
WAITING_SECONDS = 30.0
"""Time between two lines about a target that does not run, for the same reason."""


class PlainLines:
    """Writes lines of text about a capture, or about many.

    Args:
        stream: where to.
        verbosity: -1: only what is written; 1: a status line every second, and all events.

    Attributes:
        events: shows events.
    """

    def __init__(self, stream: TextIO, verbosity: int = 0) -> None:
        self.events = EventLines(self._say, verbosity > 0)
        self._stream: TextIO | None = stream
        self._quiet = verbosity < 0
        self._status_seconds = STATUS_SECONDS if verbosity < 1 else 0.9
        self._said_at = 0.0
        self._said = ""
        self._percent = -1

    def write(self, lines: tuple[str, ...] | list[str]) -> None:
        """Writes lines, whatever the verbosity; when nobody reads any more, it does nothing."""
        if self._stream is None:
            return
        width = self._width()
        text = "".join(f"{part}\n" for line in lines for part in fitted(line, width))
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            # Whoever read it is gone. The capture goes on.
            self._stream = None

    def say(self, *lines: str) -> None:
        """Writes lines, unless only the summary is wanted."""
        self.events.flush()
        self._say(*lines)

    def _say(self, *lines: str) -> None:
        if not self._quiet:
            self.write(lines)

    def _width(self) -> int:
        """Returns the columns of a terminal, 0 for anything else: a line stays a line there."""
        try:
            assert self._stream is not None
            tty = self._stream.isatty()
            return os.get_terminal_size(self._stream.fileno()).columns if tty else 0
        except (OSError, ValueError):
            return 0

    def status(self, seconds: float, line: str) -> None:
        """Writes a status line, every 10 s and only when something changed but the time.

        Args:
            seconds: since the capture began.
            line: the same time, a colon and the state.
        """
        self.events.write_due()
        if seconds - self._said_at < self._status_seconds:
            return
        self._said_at = seconds
        said = line.partition(":")[2]
        if said != self._said:
            self._said = said
            self.say(line)

    def rendering(self, done: int, total: int) -> None:
        """Writes every tenth percent.

        Args:
            done: bytes rendered.
            total: bytes to render.
        """
        percent = 100 if done >= total else done * 10 // total * 10
        news = percent != self._percent and (self._percent >= 0 or percent < 100)
        self._percent = percent
        if news:
            self.say(f"rendering: {percent}%")


class PlainView:
    """Writes a line for everything that happens; of many targets with its target in front.

    Args:
        stream: where to.
        verbosity: -1: only the summary; 1: a status line every second.
    """

    def __init__(self, stream: TextIO, verbosity: int = 0) -> None:
        self._lines = PlainLines(stream, verbosity)
        self._waits = WaitingNews()

    def waiting(self, waiting: Waiting, target: TargetName | None = None) -> None:
        """Writes why a target does not run, when that changes and every 30 s."""
        if self._waits.worth(waiting, WAITING_SECONDS, target):
            self._lines.say(prefix(target) + waiting_line(waiting))

    def started(self, start: Start, target: TargetName | None = None) -> None:
        """Writes the first lines, of many targets one for each."""
        self._lines.say(*first_lines(start, target))

    def event(
        self,
        time: str,
        event: str,
        pid: int | None,
        fields: Mapping[str, Any],
        target: TargetName | None = None,
    ) -> None:
        """Writes the event."""
        self._lines.events.add(time, event, pid, fields, prefix(target))

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes the note."""
        self._lines.say(prefix(target) + printable(text, 500))

    def status(self, status: CaptureStatus | FleetStatus) -> None:
        """Writes a status line, every 10 s and only when something changed but the time."""
        self._lines.status(status.seconds, status_line(status))

    def rendering(self, done: int, total: int) -> None:
        """Writes every tenth percent."""
        self._lines.rendering(done, total)

    def summary(self, summary: Summary | FleetSummary) -> None:
        """Writes the summary, whatever the verbosity."""
        self.close()
        self._lines.write(summary.lines())

    def close(self) -> None:
        """Writes the events that still wait; the stream is not the view's own."""
        self._lines.events.close()
