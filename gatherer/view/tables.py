"""The tables of the live view: a row for each process, or of many targets for each target."""

from __future__ import annotations

from collections.abc import Hashable

from rich.table import Table
from rich.text import Text

from gatherer.text import byte_count, printable
from gatherer.view.status import CaptureStatus, FleetStatus, TargetStatus

MAX_PROCESSES, MAX_TARGETS = 20, 30
"""Rows of a table at most."""
OTHER_ROWS = 5
"""Rows of the terminal for the head of the table and the lines below it."""
LOG_WIDTH = 70
"""Columns of a terminal from which on the names of logs are shown."""
_PROCESS_COLUMNS = (("RSS", 0), ("LIMIT", 60), ("RECORDS/S", 60), ("RECORDS", 0), ("LOST", 0))
_TARGET_COLUMNS = (
    ("TRACED", 0), ("USAGE", 60), ("LIMIT", 80), ("RECORDS/S", 80), ("RECORDS", 0), ("LOST", 60),
)  # fmt: skip
"""Columns of the tables, and from which width on they are shown."""
_ORDER = ("running", "starting", "rendering", "failed", "ended")


class RecordRates:
    """Records per second of processes or targets, each since it was asked for last."""

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[float, int]] = {}

    def rate(self, key: Hashable, now: float, records: int) -> float:
        """Returns the rate of one, 0.0 the first time.

        Args:
            key: which one.
            now: seconds.
            records: so many there are now.
        """
        then, count = self._before.get(key, (now, records))
        self._before[key] = (now, records)
        return (records - count) / (now - then) if now > then else 0.0


def process_rows(status: CaptureStatus, width: int, height: int, rates: RecordRates) -> Table:
    """Returns the table of one capture, the latest of its processes.

    Args:
        status: the capture at one moment.
        width: columns of the terminal.
        height: its rows.
        rates: what was asked for before.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("PROCESS", no_wrap=True)
    names = [name for name, least in _PROCESS_COLUMNS if width >= least]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if width >= LOG_WIDTH:
        table.add_column("LOG", overflow="fold")
    limit = byte_count(status.limit_bytes) if status.limit_bytes else "-"
    shown = status.processes[-max(1, min(MAX_PROCESSES, height - OTHER_ROWS)) :]
    for process in shown:
        name = f"{printable(process.command, 30)} {process.pid}"
        if process.state != "traced":
            name += f" ({printable(process.state, 40)})"
        rate = rates.rate((process.pid, process.log), status.seconds, process.records)
        cells: dict[str, str | Text] = {
            "RSS": byte_count(process.rss_bytes),
            "LIMIT": limit,
            "RECORDS/S": f"{rate:.0f}",
            "RECORDS": str(process.records),
            "LOST": _lost(process.lost),
        }
        row: list[str | Text] = [Text(name), *(cells[each] for each in names)]
        table.add_row(*row, *([Text(process.log)] if width >= LOG_WIDTH else []))
    if len(status.processes) > len(shown):
        table.add_row(Text(f"and {len(status.processes) - len(shown)} more"))
    if not shown:
        table.add_row(Text("no process is over the threshold yet"))
    return table


def target_rows(status: FleetStatus, width: int, height: int, rates: RecordRates) -> Table:
    """Returns the table of many captures, what goes on first.

    Args:
        status: the captures at one moment.
        width: columns of the terminal.
        height: its rows.
        rates: what was asked for before.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("TARGET", overflow="fold")
    table.add_column("STATE", no_wrap=True)
    kept = [number for number, (_, least) in enumerate(_TARGET_COLUMNS) if width >= least]
    for number in kept:
        table.add_column(_TARGET_COLUMNS[number][0], justify="right", no_wrap=True)
    ordered = sorted(status.targets, key=lambda target: _ORDER.index(target.state))
    rows = max(1, min(MAX_TARGETS, height - OTHER_ROWS))
    for target in ordered[:rows]:
        cells = _target_cells(target, status.seconds, rates)
        table.add_row(
            Text(printable(f"{target.name.pod}/{target.name.container}", 80)),
            Text(target.state, style="bold red" if target.state == "failed" else ""),
            *(cells[number] for number in kept if cells),
        )
    if len(ordered) > rows:
        table.add_row(Text(f"and {len(ordered) - rows} more"))
    return table


def _target_cells(target: TargetStatus, now: float, rates: RecordRates) -> list[str | Text]:
    latest = target.status
    if latest is None:
        return []
    traced = sum(process.state == "traced" for process in latest.processes)
    return [
        str(traced if target.state == "running" else 0),
        byte_count(latest.usage_bytes),
        byte_count(latest.limit_bytes) if latest.limit_bytes else "-",
        f"{rates.rate(target.name, now, latest.received):.0f}",
        str(latest.received),
        _lost(latest.lost),
    ]


def _lost(records: int) -> Text:
    return Text(str(records), style="bold red" if records else "")
