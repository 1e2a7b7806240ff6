"""The interfaces of a view: what one capture tells it, and what the command does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gatherer.target.values import TargetName
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.status import CaptureStatus, FleetStatus, Start, Waiting
from gatherer.view.summary import Summary


class CaptureView(Protocol):
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


class View(Protocol):
    """Shows any number of captures; to the only one, which names no target, it is a `CaptureView`.

    What has a target names it; status and summary are of all of them.
    """

    def waiting(self, waiting: Waiting, target: TargetName | None = None) -> None:
        """A target does not run; at once when the reason changes, and every now and then."""
        ...

    def started(self, start: Start, target: TargetName | None = None) -> None:
        """The hunter of a target runs."""
        ...

    def event(
        self,
        time: str,
        event: str,
        pid: int | None,
        fields: Mapping[str, Any],
        target: TargetName | None = None,
    ) -> None:
        """Something happened in a target; the values are those of its events.jsonl."""
        ...

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Something gatherer has to say, about one target or all of them."""
        ...

    def status(self, status: CaptureStatus | FleetStatus) -> None:
        """The state of things, about once a second."""
        ...

    def rendering(self, done: int, total: int) -> None:
        """Bytes of all spools rendered, after the streams have ended."""
        ...

    def summary(self, summary: Summary | FleetSummary) -> None:
        """All captures have ended."""
        ...

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        ...
