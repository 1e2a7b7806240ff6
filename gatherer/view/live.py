"""The live view: a table of the traced processes that is redrawn in place, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gatherer.text import byte_count, duration, fitted, printable
from gatherer.view.event_lines import EventLines
from gatherer.view.sentences import start_lines, status_line, waiting_line
from gatherer.view.status import CaptureStatus, ProcessStatus, Start, Waiting, WaitingNews
from gatherer.view.summary import Summary

MAX_ROWS = 20
OTHER_ROWS = 5
"""Rows of the terminal for the head of the table and the lines below it."""
LOG_WIDTH = 70
"""Columns of a terminal from which on the names of logs are shown."""
_COLUMNS = (("RSS", 0), ("LIMIT", 60), ("RECORDS/S", 60), ("RECORDS", 0), ("LOST", 0))
"""Columns of the table, and from which width on they are shown."""


class _Terminal(Console):
    """A console that falls silent when nobody reads it, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Screen:
    """Lines, and under them something that is redrawn.

    Args:
        stream: a terminal.
        color: whether colours may be used.

    Attributes:
        events: shows events.
    """

    def __init__(self, stream: TextIO, color: bool) -> None:
        self.events = EventLines(self._say)
        self._console = _Terminal(
            file=stream, no_color=not color, highlight=False, markup=False, emoji=False
        )
        self._live = self._make_live()
        self._drawn: list[int] = []
        self._stranded: list[int] = []
        self._size = self.size
        self._broken = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal."""
        return self._console.size.width, self._console.size.height

    def say(self, *lines: str) -> None:
        """Writes lines above what is redrawn."""
        self.events.flush()
        self._say(*lines)

    def draw(self, drawn: RenderableType) -> None:
        """Draws, in the place of what was drawn before."""
        self.events.reconcile()
        self._guarded(lambda: self._draw(drawn))

    def close(self) -> None:
        """Takes away what was drawn, and gives the terminal back; may be called twice."""
        self.events.flush()
        self._guarded(self._clear)

    def _make_live(self) -> Live:
        return Live(console=self._console, auto_refresh=False, transient=True)

    def _say(self, *lines: str) -> None:
        self._guarded(lambda: self._print(lines))

    def _print(self, lines: tuple[str, ...]) -> None:
        self._fit()
        self._stranded = []
        width = self.size[0]
        text = Text("\n".join(part for line in lines for part in fitted(line, width)))
        self._console.print(text, soft_wrap=True)

    def _draw(self, drawn: RenderableType) -> None:
        self._fit()
        self._live.start(refresh=False)
        rows = self._console.render_lines(drawn, pad=False)
        self._drawn = [sum(part.cell_length for part in row) for row in rows[: self.size[1]]]
        self._live.update(drawn, refresh=True)

    def _fit(self) -> None:
        """Begins anew on a terminal of another size."""
        if self.size != self._size:
            self._clear()
            self._live = self._make_live()
            self._size = self.size

    def _clear(self) -> None:
        """Takes away what was drawn, of which a terminal that became narrower has made more rows.

        Most terminals break the lines of what is on the screen anew when they are resized; rich
        goes up by as many rows as it had drawn.
        """
        drawn, self._drawn = self._drawn, []
        self._live.update(Text(""))
        self._live.stop()
        if not drawn or self.size == self._size:
            return
        width, height = max(1, self.size[0]), self.size[1]
        lines = [*self._stranded, *drawn]
        rows = [max(1, -(-cells // width)) for cells in lines]
        more = sum(rows) - len(drawn)
        if more:
            self._console.file.write(f"\x1b[{more}A\r\x1b[J")
            self._console.file.flush()
        # What is above the first row comes back when there are more rows again.
        self._stranded = lines[: self._above(lines, width, height)]

    @staticmethod
    def _above(lines: list[int], width: int, height: int) -> int:
        """Returns how many of the lines above the last row of a terminal are not on it.

        Args:
            lines: the cells of each.
            width: columns of the terminal.
            height: its rows.
        """
        left = height
        for index in range(len(lines) - 1, -1, -1):
            left -= max(1, -(-lines[index] // width))
            if left < 0:
                return index + 1
        return 0

    def _guarded(self, draw: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            draw()
        except (OSError, ValueError):
            # The terminal is gone. The capture goes on.
            self._broken = True


class LiveView:
    """Keeps a table under the lines of what happened.

    Args:
        stream: a terminal.
        color: whether colours may be used.
    """

    def __init__(self, stream: TextIO, color: bool = True) -> None:
        self._screen = Screen(stream, color)
        self._rates: dict[tuple[int, str], tuple[float, int]] = {}
        self._waits = WaitingNews()

    def waiting(self, waiting: Waiting) -> None:
        """Draws why it is waited, and how long; in a line that stays when the reason changes."""
        if self._waits.worth(waiting, math.inf):
            self._screen.say(waiting_line(waiting))
        of = f" of {duration(waiting.limit)}" if waiting.limit is not None else ""
        line = f"{duration(waiting.seconds)}{of}: waiting for the container to run; Ctrl-C ends it"
        self._screen.draw(Text(line, style="dim"))

    def started(self, start: Start) -> None:
        """Writes the first lines."""
        self._screen.say(*start_lines(start))

    def event(self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]) -> None:
        """Writes the event above the table."""
        self._screen.events.add(time, event, pid, fields)

    def note(self, text: str) -> None:
        """Writes the note above the table."""
        self._screen.say(printable(text, 500))

    def status(self, status: CaptureStatus) -> None:
        """Draws the table."""
        table = self.table(status)
        hint = "stopping" if status.stopping else "Ctrl-C ends the capture"
        footer = Text(f"{status_line(status)}; {hint}", style="dim")
        self._screen.draw(Group(table, footer))

    def rendering(self, done: int, total: int) -> None:
        """Draws how much is rendered."""
        percent = 100 * done // max(total, 1)
        line = Text(f"rendering: {percent}%; Ctrl-C stops at once and keeps the spool")
        self._screen.draw(line)

    def summary(self, summary: Summary) -> None:
        """Takes the table away and writes the summary."""
        self.close()
        self._screen.say(*summary.lines())

    def close(self) -> None:
        """Gives the terminal back; may be called twice."""
        self._screen.close()

    def table(self, status: CaptureStatus) -> Table:
        """Returns the table of a status.

        Args:
            status: the capture at one moment.
        """
        width, height = self._screen.size
        table = Table(box=None, pad_edge=False)
        table.add_column("PROCESS", no_wrap=True)
        names = [name for name, least in _COLUMNS if width >= least]
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        if width >= LOG_WIDTH:
            table.add_column("LOG", overflow="fold")
        limit = byte_count(status.limit_bytes) if status.limit_bytes else "-"
        shown = status.processes[-max(1, min(MAX_ROWS, height - OTHER_ROWS)) :]
        for process in shown:
            name = f"{printable(process.command, 30)} {process.pid}"
            if process.state != "traced":
                name += f" ({printable(process.state, 40)})"
            cells: dict[str, str | Text] = {
                "RSS": byte_count(process.rss_bytes),
                "LIMIT": limit,
                "RECORDS/S": f"{self._rate(process, status.seconds):.0f}",
                "RECORDS": str(process.records),
                "LOST": Text(str(process.lost), style="bold red" if process.lost else ""),
            }
            row: list[str | Text] = [Text(name), *(cells[each] for each in names)]
            table.add_row(*row, *([Text(process.log)] if width >= LOG_WIDTH else []))
        if len(status.processes) > len(shown):
            table.add_row(Text(f"and {len(status.processes) - len(shown)} more"))
        if not shown:
            table.add_row(Text("no process is over the threshold yet"))
        return table

    def _rate(self, process: ProcessStatus, now: float) -> float:
        key = (process.pid, process.log)
        then, count = self._rates.get(key, (now, process.records))
        self._rates[key] = (now, process.records)
        return (process.records - count) / (now - then) if now > then else 0.0
