"""What people and scripts see while many targets are captured: each line names its target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

from gatherer.config import ViewConfig
from gatherer.target.values import TargetName
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.status import CaptureStatus, FleetStatus, Start, Waiting
from gatherer.view.summary import Summary


class FleetView(Protocol):
    """Shows the captures of many targets."""

    def waiting(self, target: TargetName, waiting: Waiting) -> None:
        """A target does not run; at once when the reason changes, and every now and then."""
        ...

    def started(self, target: TargetName, start: Start) -> None:
        """The hunter of a target runs."""
        ...

    def event(
        self, target: TargetName, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        """Something happened in a target; the values are those of its events.jsonl."""
        ...

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Something gatherer has to say, about one target or all of them."""
        ...

    def status(self, status: FleetStatus) -> None:
        """The state of things, about once a second."""
        ...

    def rendering(self, done: int, total: int) -> None:
        """Bytes of all spools rendered, after the streams have ended."""
        ...

    def summary(self, summary: FleetSummary) -> None:
        """All captures have ended."""
        ...

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        ...


class TargetView:
    """Shows the capture of one of many targets; see `gatherer.view.View`.

    Args:
        name: of the target.
        fleet: shows all of them.
        greeted: called when its hunter runs.
        rested: called when its container does not run, nor will at once.

    Attributes:
        latest: the latest state, None before there is one.
        rendered: bytes of the spool that are rendered, and all of them, once its stream has ended.
    """

    def __init__(
        self,
        name: TargetName,
        fleet: FleetView,
        greeted: Callable[[], None],
        rested: Callable[[], None] = lambda: None,
    ) -> None:
        self.latest: CaptureStatus | None = None
        self.rendered: tuple[int, int] | None = None
        self._name = name
        self._fleet = fleet
        self._greeted = greeted
        self._rested = rested

    def waiting(self, waiting: Waiting) -> None:
        """Passes on why it does not run."""
        self._rested()
        self._fleet.waiting(self._name, waiting)

    def started(self, start: Start) -> None:
        """Passes the start on."""
        self._fleet.started(self._name, start)
        self._greeted()

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Passes the event on."""
        self._fleet.event(self._name, time, event, pid, fields)

    def note(self, text: str) -> None:
        """Passes the note on."""
        self._fleet.note(text, self._name)

    def status(self, status: CaptureStatus) -> None:
        """Keeps the state."""
        self.latest = status

    def rendering(self, done: int, total: int) -> None:
        """Keeps how much is rendered."""
        self.rendered = (done, total)

    def summary(self, summary: Summary) -> None:
        """Does nothing: there is one summary for all targets."""

    def close(self) -> None:
        """Does nothing: the view of all targets is closed once."""


def make_fleet_view(config: ViewConfig, stream: TextIO) -> FleetView:
    """Returns the view that was asked for.

    Args:
        config: style, colours, verbosity.
        stream: where it writes.
    """
    if config.style == "json":
        from gatherer.view.fleet_json import FleetJsonView

        return FleetJsonView(stream)
    if config.style == "live":
        from gatherer.view.fleet_live import FleetLiveView

        return FleetLiveView(stream, color=config.color)
    from gatherer.view.fleet_plain import FleetPlainView

    return FleetPlainView(stream, verbosity=config.verbosity)
