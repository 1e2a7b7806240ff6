"""JSON lines on stdout: one object per event, for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from gatherer.capture_dir import json_line
from gatherer.clock import rfc3339
from gatherer.summary import Summary
from gatherer.view import Start, Status


class JsonView:
    """Writes what events.jsonl gets, and `start`, `note`, `status`, `rendering` and `summary`.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def started(self, start: Start) -> None:
        """Writes `start`."""
        self._write(
            {
                "time": rfc3339(start.hello.realtime_ns),
                "event": "start",
                "target": asdict(start.target),
                "hunter": asdict(start.hello),
                "inject": start.inject,
                "threshold": start.threshold,
                "directory": str(start.directory),
            }
        )

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Writes the event as events.jsonl has it."""
        head: dict[str, Any] = {"time": time, "event": event}
        if pid is not None:
            head["pid"] = pid
        self._write(head | {key: fields[key] for key in fields if key not in head})

    def note(self, text: str) -> None:
        """Writes `note`."""
        self._write({"event": "note", "text": text})

    def status(self, status: Status) -> None:
        """Writes `status`."""
        self._write({"event": "status", **asdict(status)})

    def rendering(self, done: int, total: int) -> None:
        """Writes `rendering`."""
        self._write({"event": "rendering", "done_bytes": done, "total_bytes": total})

    def summary(self, summary: Summary) -> None:
        """Writes `summary`."""
        self._write({"event": "summary", **summary.as_json()})

    def close(self) -> None:
        """Does nothing: the stream is not the view's own."""

    def _write(self, value: Mapping[str, Any]) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(json_line(value) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Whoever read it is gone. The capture goes on.
            self._stream = None
