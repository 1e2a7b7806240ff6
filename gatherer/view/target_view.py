"""The view of one of many targets: what it is told goes to the view of all, with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gatherer.target.values import TargetName
from gatherer.view.base import View
from gatherer.view.status import CaptureStatus, Start, Waiting


class TargetView:
    """Shows the capture of one of many targets; see `gatherer.view.base.CaptureView`.

    Args:
        name: of the target.
        fleet: shows all of them.
        on_hello: called when its hunter runs.
        rested: called when its container does not run, nor will at once.

    Attributes:
        latest: the latest state, None before there is one.
        rendered: bytes of the spool that are rendered, and all of them, once its stream has ended.
    """

    def __init__(
        self,
        name: TargetName,
        fleet: View,
        on_hello: Callable[[], None],
        rested: Callable[[], None] = lambda: None,
    ) -> None:
        self.latest: CaptureStatus | None = None
        self.rendered: tuple[int, int] | None = None
        self._name = name
        self._fleet = fleet
        self._on_hello = on_hello
        self._rested = rested

    def waiting(self, waiting: Waiting) -> None:
        """Passes on why it does not run."""
        self._rested()
        self._fleet.waiting(waiting, self._name)

    def started(self, start: Start) -> None:
        """Passes the start on."""
        self._fleet.started(start, self._name)
        self._on_hello()

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Passes the event on."""
        self._fleet.event(time, event, pid, fields, self._name)

    def note(self, text: str) -> None:
        """Passes the note on."""
        self._fleet.note(text, self._name)

    def status(self, status: CaptureStatus) -> None:
        """Keeps the state."""
        self.latest = status

    def rendering(self, done: int, total: int) -> None:
        """Keeps how much is rendered."""
        self.rendered = (done, total)
