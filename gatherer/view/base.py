"""The interface of a view of one capture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gatherer.view.status import CaptureStatus, Start, Waiting
from gatherer.view.summary import Summary


class View(Protocol):
    """Shows one capture."""

    def waiting(self, waiting: Waiting) -> None:
        """The target does not run; about once a second, and at once when the reason changes."""
        ...

    def started(self, start: Start) -> None:
        """Hunter runs."""
        ...

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Something happened; the values are those of events.jsonl."""
        ...

    def note(self, text: str) -> None:
        """Something gatherer has to say."""
        ...

    def status(self, status: CaptureStatus) -> None:
        """The state of things, about once a second."""
        ...

    def rendering(self, done: int, total: int) -> None:
        """Bytes of the spool rendered, after the stream has ended."""
        ...

    def summary(self, summary: Summary) -> None:
        """The capture has ended."""
        ...

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        ...
