"""The live view: a table that is redrawn in place under the lines of what happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gatherer.target.values import TargetName
from gatherer.text import duration, printable
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.screen import Screen
from gatherer.view.sentences import first_lines, prefix, status_line, waiting_line
from gatherer.view.status import CaptureStatus, FleetStatus, Start, Waiting, WaitingNews
from gatherer.view.summary import Summary
from gatherer.view.tables import RecordRates, process_rows, target_rows


class LiveView:
    """A table under the lines of what happened: of processes, or of many targets.

    Args:
        stream: a terminal.
        color: whether colours may be used.
    """

    def __init__(self, stream: TextIO, color: bool = True) -> None:
        self._screen = Screen(stream, color)
        self._rates = RecordRates()
        self._waits = WaitingNews()
        self._keeps = " and keeps the spool"

    def waiting(self, waiting: Waiting, target: TargetName | None = None) -> None:
        """Writes why a target does not run, when that changes; of the only one draws how long."""
        if self._waits.worth(waiting, math.inf, target):
            self._screen.say(prefix(target) + waiting_line(waiting))
        if target is None:
            of = f" of {duration(waiting.limit)}" if waiting.limit is not None else ""
            line = f"{duration(waiting.seconds)}{of}: waiting for the container to run"
            self._screen.draw(Text(f"{line}; Ctrl-C ends it", style="dim"))

    def started(self, start: Start, target: TargetName | None = None) -> None:
        """Writes the first lines, of many targets one for each."""
        if target is not None:
            self._keeps = ", keeps the spools"
        self._screen.say(*first_lines(start, target))

    def event(
        self,
        time: str,
        event: str,
        pid: int | None,
        fields: Mapping[str, Any],
        target: TargetName | None = None,
    ) -> None:
        """Writes the event above the table."""
        self._screen.events.add(time, event, pid, fields, prefix(target))

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes the note above the table."""
        self._screen.say(prefix(target) + printable(text, 500))

    def status(self, status: CaptureStatus | FleetStatus) -> None:
        """Draws the table."""
        hint = "stopping" if status.stopping else "Ctrl-C ends the capture"
        footer = Text(f"{status_line(status)}; {hint}", style="dim")
        self._screen.draw(Group(self.table(status), footer))

    def rendering(self, done: int, total: int) -> None:
        """Draws how much is rendered."""
        percent = 100 * done // max(total, 1)
        self._screen.draw(Text(f"rendering: {percent}%; Ctrl-C stops at once{self._keeps}"))

    def summary(self, summary: Summary | FleetSummary) -> None:
        """Takes the table away and writes the summary."""
        self.close()
        self._screen.say(*summary.lines())

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        self._screen.close()

    def table(self, status: CaptureStatus | FleetStatus) -> Table:
        """Returns the table of a status.

        Args:
            status: of one capture or of many.
        """
        if isinstance(status, CaptureStatus):
            return process_rows(status, *self._screen.size, self._rates)
        return target_rows(status, *self._screen.size, self._rates)
