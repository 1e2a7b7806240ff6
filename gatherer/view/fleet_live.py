"""The live view of many targets: one row for each, redrawn in place, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Group
from rich.table import Table
from rich.text import Text

from gatherer.target.values import TargetName
from gatherer.text import byte_count, printable
from gatherer.view.fleet_summary import FleetSummary
from gatherer.view.live import OTHER_ROWS, Screen
from gatherer.view.sentences import (
    fleet_status_line,
    prefix,
    target_line,
    waiting_line,
)
from gatherer.view.status import FleetStatus, Start, TargetStatus, Waiting, WaitingNews

MAX_ROWS = 30
_COLUMNS = (
    ("TRACED", 0), ("USAGE", 60), ("LIMIT", 80), ("RECORDS/S", 80), ("RECORDS", 0), ("LOST", 60),
)  # fmt: skip
"""Columns of the table, and from which width on they are shown."""
_ORDER = ("running", "starting", "rendering", "failed", "ended")


class FleetLiveView:
    """Keeps a table of targets under the lines of what happened.

    Args:
        stream: a terminal.
        color: whether colours may be used.
    """

    def __init__(self, stream: TextIO, color: bool = True) -> None:
        self._screen = Screen(stream, color)
        self._rates: dict[TargetName, tuple[float, int]] = {}
        self._waits: dict[TargetName, WaitingNews] = {}

    def waiting(self, target: TargetName, waiting: Waiting) -> None:
        """Writes above the table why a target does not run, when that changes."""
        if self._waits.setdefault(target, WaitingNews()).worth(waiting, math.inf):
            self._screen.say(prefix(target) + waiting_line(waiting))

    def started(self, target: TargetName, start: Start) -> None:
        """Writes one line about the target and its hunter."""
        self._screen.say(prefix(target) + target_line(start))

    def event(
        self, target: TargetName, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        """Writes the event above the table."""
        self._screen.events.add(time, event, pid, fields, prefix(target))

    def note(self, text: str, target: TargetName | None = None) -> None:
        """Writes the note above the table."""
        about = prefix(target) if target is not None else ""
        self._screen.say(about + printable(text, 500))

    def status(self, status: FleetStatus) -> None:
        """Draws the table."""
        hint = "stopping" if status.stopping else "Ctrl-C ends the capture"
        footer = Text(f"{fleet_status_line(status)}; {hint}", style="dim")
        self._screen.draw(Group(self.table(status), footer))

    def rendering(self, done: int, total: int) -> None:
        """Draws how much is rendered."""
        percent = 100 * done // max(total, 1)
        self._screen.draw(Text(f"rendering: {percent}%; Ctrl-C stops at once, keeps the spools"))

    def summary(self, summary: FleetSummary) -> None:
        """Takes the table away and writes the summary."""
        self.close()
        self._screen.say(*summary.lines())

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        self._screen.close()

    def table(self, status: FleetStatus) -> Table:
        """Returns the table of a status, what goes on first.

        Args:
            status: the captures at one moment.
        """
        table = Table(box=None, pad_edge=False)
        width, height = self._screen.size
        table.add_column("TARGET", overflow="fold")
        table.add_column("STATE", no_wrap=True)
        kept = [number for number, (_, least) in enumerate(_COLUMNS) if width >= least]
        for number in kept:
            table.add_column(_COLUMNS[number][0], justify="right", no_wrap=True)
        ordered = sorted(status.targets, key=lambda target: _ORDER.index(target.state))
        rows = max(1, min(MAX_ROWS, height - OTHER_ROWS))
        for target in ordered[:rows]:
            head, cells = self._row(target, status.seconds)
            table.add_row(*head, *(cells[number] for number in kept if cells))
        if len(ordered) > rows:
            table.add_row(Text(f"and {len(ordered) - rows} more"))
        return table

    def _row(self, target: TargetStatus, now: float) -> tuple[list[Text], list[str | Text]]:
        """Returns name and state of a target, and the rest of its row."""
        latest = target.status
        head = [
            Text(printable(f"{target.name.pod}/{target.name.container}", 80)),
            Text(target.state, style="bold red" if target.state == "failed" else ""),
        ]
        if latest is None:
            return head, []
        traced = sum(process.state == "traced" for process in latest.processes)
        return head, [
            str(traced if target.state == "running" else 0),
            byte_count(latest.usage_bytes),
            byte_count(latest.limit_bytes) if latest.limit_bytes else "-",
            f"{self._rate(target.name, now, latest.received):.0f}",
            str(latest.received),
            Text(str(latest.lost), style="bold red" if latest.lost else ""),
        ]

    def _rate(self, name: TargetName, now: float, records: int) -> float:
        then, count = self._rates.get(name, (now, records))
        self._rates[name] = (now, records)
        return (records - count) / (now - then) if now > then else 0.0
