"""The live view: a table of the traced processes that is redrawn in place, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gatherer.summary import Summary
from gatherer.text import byte_count, duration, printable
from gatherer.view import ProcessStatus, Start, Status, Waiting, WaitingNews
from gatherer.view.sentences import event_line, start_lines, status_line, waiting_line

MAX_ROWS = 20


class _Terminal(Console):
    """A console that falls silent when nobody reads it, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Screen:
    """Lines, and under them something that is redrawn.

    Args:
        stream: a terminal.
        color: whether colours may be used.
    """

    def __init__(self, stream: TextIO, color: bool) -> None:
        self._console = _Terminal(
            file=stream, no_color=not color, highlight=False, markup=False, emoji=False
        )
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._broken = False

    def say(self, *lines: str) -> None:
        """Writes lines above what is redrawn."""
        text = Text("\n".join(lines))
        self._guarded(lambda: self._console.print(text, soft_wrap=True))

    def draw(self, drawn: RenderableType) -> None:
        """Draws, in the place of what was drawn before."""
        self._guarded(lambda: self._live.start(refresh=False))
        self._guarded(lambda: self._live.update(drawn, refresh=True))

    def close(self) -> None:
        """Takes away what was drawn, and gives the terminal back; may be called twice."""
        self._guarded(self._live.stop)

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
        self._screen.say(f"{time[11:23]} {event_line(event, pid, fields)}")

    def note(self, text: str) -> None:
        """Writes the note above the table."""
        self._screen.say(printable(text, 500))

    def status(self, status: Status) -> None:
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

    def table(self, status: Status) -> Table:
        """Returns the table of a status.

        Args:
            status: the capture at one moment.
        """
        table = Table(box=None, pad_edge=False)
        table.add_column("PROCESS", no_wrap=True)
        for name in ("RSS", "LIMIT", "RECORDS/S", "RECORDS", "LOST"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("LOG", overflow="fold")
        limit = byte_count(status.limit_bytes) if status.limit_bytes else "-"
        shown = status.processes[-MAX_ROWS:]
        for process in shown:
            name = f"{printable(process.command, 30)} {process.pid}"
            if process.state != "traced":
                name += f" ({printable(process.state, 40)})"
            table.add_row(
                Text(name),
                byte_count(process.rss_bytes),
                limit,
                f"{self._rate(process, status.seconds):.0f}",
                str(process.records),
                Text(str(process.lost), style="bold red" if process.lost else ""),
                Text(process.log),
            )
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
