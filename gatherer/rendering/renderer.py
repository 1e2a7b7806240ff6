"""Interfaces of rendering: the renderer of one spool, the lines of one process, their logs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gatherer.rendering.progress import Progress
from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from hg_shared.messages import Hello, TracedProcess


class Lines(Protocol):
    """Renders the records of one process; see gatherer.rendering.strace.lines.process_lines.

    Attributes:
        table: what its descriptors refer to, None where that is not shown.
    """

    table: DescriptorTable | None

    @property
    def undecoded(self) -> int:
        """Calls printed raw because their memory could not be made sense of."""
        ...

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        ...

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Takes the next records and returns the lines that can be written now.

        Args:
            heads: record heads in the order in which they were taken.
            captures: the captures of all of them.
            watermark: CLOCK_MONOTONIC ns; no record that starts before it follows.
        """
        ...

    def note(self, time_ns: int, text: str) -> bytes:
        """Returns a line about the log itself.

        Args:
            time_ns: CLOCK_MONOTONIC ns.
            text: what it says.
        """
        ...

    def finish(self) -> bytes:
        """Returns the lines that were held back."""
        ...


class Logs(Protocol):
    """Takes the lines of all processes; see gatherer.storage.logs.LogDirectory.

    Attributes:
        written: bytes taken.
    """

    written: int

    def append(self, name: str, data: bytes) -> None:
        """Takes whole lines of a log; none at all when the log begins.

        Raises:
            LogWriteError: they cannot be written.
        """
        ...


class Renderer(Protocol):
    """Renders one growing spool.

    Attributes:
        done: finished when everything was rendered, or with the error that stopped it.
    """

    done: asyncio.Future[None]

    @property
    def offset(self) -> int:
        """Bytes of the spool that are rendered."""
        ...

    @property
    def full(self) -> bool:
        """Whether more has to be rendered before the spool may grow on."""
        ...

    async def start(self) -> None:
        """Gets ready to render.

        Raises:
            GathererError: it cannot run.
        """
        ...

    def open(self) -> None:
        """Begins to render; the spool is there."""
        ...

    def notify(self, available: int) -> None:
        """Says how many bytes of the spool are written, whole frames all of them."""
        ...

    def finish(self) -> None:
        """Says that the spool does not grow any more."""
        ...

    def progress(self) -> Progress:
        """Returns how far it is, and takes the losses it met."""
        ...

    async def aclose(self) -> None:
        """Stops where it is; does nothing when everything is rendered."""
        ...


LinesFactory = Callable[[Hello, TracedProcess], Lines]
