"""Plain lines: for pipes, files and terminals that shall not be redrawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from gatherer.summary import Summary
from gatherer.text import printable
from gatherer.view import Start, Status
from gatherer.view.sentences import event_line, start_lines, status_line

STATUS_SECONDS = 10.0
"""Time between two status lines."""


class PlainLines:
    """Writes lines of text.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, lines: tuple[str, ...] | list[str]) -> None:
        """Writes lines; when nobody reads any more, it does nothing."""
        if self._stream is None:
            return
        text = "".join(f"{line}\n" for line in lines)
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            # Whoever read it is gone. The capture goes on.
            self._stream = None


def percent_line(done: int, total: int, said: int) -> tuple[str, int]:
    """Returns a line for every tenth percent, else an empty one, and the percentage.

    Args:
        done: bytes rendered.
        total: bytes to render.
        said: the percentage of the call before, -1 for none.
    """
    percent = 100 if done >= total else done * 10 // total * 10
    news = percent != said and (said >= 0 or percent < 100)
    return (f"rendering: {percent}%" if news else ""), percent


class PlainView:
    """Writes a line for everything that happens.

    Args:
        stream: where to.
        verbosity: -1: only the summary; 1: a status line every second.
    """

    def __init__(self, stream: TextIO, verbosity: int = 0) -> None:
        self._lines = PlainLines(stream)
        self._verbosity = verbosity
        self._said_at = 0.0
        self._said = ""
        self._percent = -1
        self._status_seconds = STATUS_SECONDS if verbosity < 1 else 0.9

    def started(self, start: Start) -> None:
        """Writes the first lines."""
        self._say(*start_lines(start))

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Writes the event."""
        self._say(f"{time[11:23]} {event_line(event, pid, fields)}")

    def note(self, text: str) -> None:
        """Writes the note."""
        self._say(printable(text, 500))

    def status(self, status: Status) -> None:
        """Writes a status line, every 10 s and only when something changed but the time."""
        if status.seconds - self._said_at < self._status_seconds:
            return
        self._said_at = status.seconds
        line = status_line(status)
        said = line.partition(":")[2]
        if said != self._said:
            self._said = said
            self._say(line)

    def rendering(self, done: int, total: int) -> None:
        """Writes every tenth percent."""
        line, self._percent = percent_line(done, total, self._percent)
        if line:
            self._say(line)

    def summary(self, summary: Summary) -> None:
        """Writes the summary, whatever the verbosity."""
        self._lines.write(summary.lines())

    def close(self) -> None:
        """Does nothing: the stream is not the view's own."""

    def _say(self, *lines: str) -> None:
        if self._verbosity >= 0:
            self._lines.write(lines)
