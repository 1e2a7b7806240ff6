"""A terminal: lines that stay, and under them something that is redrawn in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from gatherer.text import fitted
from gatherer.view.event_lines import EventLines


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
        self.events.write_due()
        self._guarded(lambda: self._draw(drawn))

    def close(self) -> None:
        """Takes away what was drawn, and gives the terminal back; may be called twice."""
        self.events.close()
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
