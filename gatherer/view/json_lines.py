"""JSON lines on stdout: one object per event, for scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from gatherer.clock import rfc3339
from gatherer.target.values import TargetName
from gatherer.text import json_line
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.status import CaptureStatus, FleetStatus, Start, Waiting, WaitingNews
from gatherer.view.summary import Summary

WAITING_SECONDS = 10.0
"""Time between two objects about a target that does not run, for the same reason."""


class JsonLines:
    """Writes objects, a line each.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def write(self, value: Mapping[str, Any]) -> None:
        """Writes one object; when nobody reads any more, it does nothing."""
        if self._stream is None:
            return
        try:
            self._stream.write(json_line(value) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Whoever read it is gone. The capture goes on.
            self._stream = None


def start_object(start: Start) -> dict[str, Any]:
    """Returns the object that says that a hunter runs."""
    return {
        "time": rfc3339(start.hello.realtime_ns),
        "event": "start",
        "target": asdict(start.target),
        "hunter": asdict(start.hello),
        "inject": start.inject,
        "threshold": start.threshold,
        "directory": str(start.directory),
    }


def event_object(
    when: str,
    event: str,
    pid: int | None,
    fields: Mapping[str, Any],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns an event as one object; its own fields cannot take the place of the first ones.

    Args:
        when: RFC 3339 on the capture clock.
        event: its name.
        pid: the process concerned, None for none.
        fields: its own fields.
        about: what stands before them: which target it is about, where there are many.
    """
    head: dict[str, Any] = {"time": when, "event": event, **about}
    if pid is not None:
        head["pid"] = pid
    return head | {key: fields[key] for key in fields if key not in head}


def waiting_object(waiting: Waiting, about: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the object that says why a target does not run.

    Args:
        waiting: its state.
        about: which target it is about, where there are many.
    """
    return {
        "time": rfc3339(time.time_ns()),
        "event": "waiting",
        **about,
        "reason": waiting.reason,
        "message": waiting.message or None,
        "seconds": round(waiting.seconds, 3),
        "limit_seconds": waiting.limit,
    }


class JsonView:
    """Writes what events.jsonl gets, `waiting`, `start`, `note`, `status`, `rendering`, `summary`.

    Of many targets each of these that concerns one names it.

    Args:
        stream: where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._lines = JsonLines(stream)
        self._waits = WaitingNews()

    def waiting(self, waiting: Waiting, target: TargetName | None = None) -> None:
        """Writes `waiting`, when the reason changes and every 10 s."""
        if self._waits.worth(waiting, WAITING_SECONDS, target):
            self._lines.write(waiting_object(waiting, _about(target)))

    def started(self, start: Start, target: TargetName | None = None) -> None:
        """Writes `start`; its target has the fields of session.json."""
        self._lines.write(start_object(start))

    def event(
        self,
        time: str,
        event: str,
        pid: int | None,
        fields: Mapping[str, Any],
        target: TargetName | None = None,
    ) -> None:
        """Writes the event as events.jsonl has it, and its target."""
        self._lines.write(event_object(time, event, pid, fields, _about(target)))

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes `note`; of many targets one that names none is about all of them."""
        self._lines.write({"event": "note", **_about(target), "text": text})

    def status(self, status: CaptureStatus | FleetStatus) -> None:
        """Writes `status`; of many targets totals, and the state of each."""
        self._lines.write({"event": "status", **status_object(status)})

    def rendering(self, done: int, total: int) -> None:
        """Writes `rendering`."""
        self._lines.write({"event": "rendering", "done_bytes": done, "total_bytes": total})

    def summary(self, summary: Summary | FleetSummary) -> None:
        """Writes `summary`."""
        self._lines.write({"event": "summary", **summary.as_json()})

    def close(self) -> None:
        """Does nothing: the stream is not the view's own."""


def status_object(status: CaptureStatus | FleetStatus) -> dict[str, Any]:
    """Returns the state of one capture, or of all of them.

    Args:
        status: the state.
    """
    if isinstance(status, CaptureStatus):
        return asdict(status)
    return {
        "seconds": status.seconds,
        "received": status.received,
        "lost": status.lost,
        "backlog_bytes": status.backlog_bytes,
        "waiting": status.waiting,
        "stopping": status.stopping,
        "targets": [
            {
                "target": target.name.as_json(),
                "state": target.state,
                **(asdict(target.status) if target.status is not None else {}),
            }
            for target in status.targets
        ],
    }


def _about(target: TargetName | None) -> dict[str, Any]:
    return {"target": target.as_json()} if target is not None else {}
