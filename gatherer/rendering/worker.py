"""The renderer's process: what is started as a program of its own and reads only spools.

Its standard input takes orders, a line each, about spools that gatherer numbers: `open N "PATH"`
when there is one, `resume N OFFSET "PATH"` when another process has reported that it had rendered
so much of it, `to N BYTES` for how many bytes of it are written, `end N` when there will be no
more, `close N` when nobody wants the rest. Its standard output takes reports, see
gatherer.rendering.progress. The logs of a spool are beside it. Without a gatherer, when its
standard input is closed, it stops where it is.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gatherer.config import LinesConfig
from gatherer.errors import GathererError, StreamError
from gatherer.rendering.pipeline import CHUNK, Rendering, lines_factory
from gatherer.rendering.progress import Reporter, closed_report, failure_report
from gatherer.storage.logs import LogDirectory, ResumedLogs, write_all
from gatherer.storage.spool import SpoolReader, restart_of

REPORT_SECONDS = 0.1
"""Time between two reports of a spool while there is something to render."""
NICE = 5
"""How much the renderer gives way to what receives the stream, on a machine that is full."""
GC_THRESHOLD = 100_000
"""Objects allocated between two collections."""
_STDIN, _STDOUT = 0, 1

RenderingFactory = Callable[[Path, bool], Rendering]
"""Makes what turns a spool into logs beside it, whether or not a part of it is in them already."""


class Orders:
    """The orders of gatherer.

    Args:
        descriptor: where it says it.

    Attributes:
        ended: whether it will say no more.
    """

    def __init__(self, descriptor: int) -> None:
        self.ended = False
        self._descriptor = descriptor
        self._rest = b""

    def read(self, seconds: float | None) -> list[tuple[str, int, str]]:
        """Waits for orders and returns them: verb, number of the spool, argument.

        Args:
            seconds: how long at most, None for ever.
        """
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return []
        data = os.read(self._descriptor, 1 << 16)
        if not data:
            self.ended = True
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        orders = []
        for line in lines:
            verb, number, argument = (line.decode("ascii") + " ").split(" ", 2)
            orders.append((verb, int(number), argument.strip()))
        return orders


class GrowingSpool:
    """A spool that is rendered as it grows.

    Args:
        path: the spool.
        rendering: turns it into logs.
        reporter: makes its reports.
        told: bytes of it whose rendering another process has reported.

    Attributes:
        available: bytes of it that may be read.
        ended: whether that is all of it.
    """

    def __init__(self, path: Path, rendering: Rendering, reporter: Reporter, told: int = 0) -> None:
        self.available = 0
        self.ended = False
        self._rendering = rendering
        self._reporter = reporter
        self._reader = SpoolReader(path)
        self._told = told
        self._reported = -1
        self._reported_at = 0.0

    @property
    def behind(self) -> bool:
        """Whether there is something to render."""
        return self.available > self._reader.offset

    @property
    def report_due(self) -> float | None:
        """The time of the next report, CLOCK_MONOTONIC seconds; None when everything is told."""
        if self._reader.offset < self._told:
            return None
        told = self._reported == self._reader.offset
        return None if told else self._reported_at + REPORT_SECONDS

    def advance(self) -> None:
        """Renders the next chunk.

        Raises:
            GathererError: the spool cannot be read, or a log cannot be written.
        """
        offset = self._reader.offset
        end = self._told if offset < self._told <= self.available else self.available
        data = self._reader.read(min(CHUNK, end - offset))
        if not data:
            raise StreamError(
                f"the spool ends after {offset} of {self.available} bytes",
                "leave the capture directory in place until the end",
            )
        self._rendering.receive_data(data)
        if self._reader.offset == self._told:
            # The losses up to here have been told.
            self._rendering.progress(self._told)

    def report(self) -> bytes:
        """Returns how far it is."""
        self._reported_at, self._reported = time.monotonic(), self._reader.offset
        return self._reporter.report(self._rendering.progress(self._reported))

    def finish(self) -> bytes:
        """Writes what was held back, and returns the last report.

        Raises:
            GathererError: a log cannot be written.
        """
        self._rendering.finish()
        return self._reporter.report(self._rendering.progress(self._reader.offset), True)

    def close(self) -> None:
        """Closes the spool."""
        self._reader.close()


class Renderings:
    """All spools of a process, each rendered a chunk at a time, in turn.

    Args:
        make: makes what turns a spool into logs.
        descriptor: takes the reports.
    """

    def __init__(self, make: RenderingFactory, descriptor: int) -> None:
        self._make = make
        self._descriptor = descriptor
        self._spools: dict[int, GrowingSpool] = {}

    @property
    def timeout(self) -> float | None:
        """The time to wait for orders: seconds until something is to be done, or None."""
        if any(spool.behind for spool in self._spools.values()):
            return 0.0
        due = [spool.report_due for spool in self._spools.values()]
        times = [time for time in due if time is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def carry_out(self, verb: str, number: int, argument: str) -> None:
        """Takes an order; one about a spool that has ended means nothing any more."""
        if verb in ("open", "resume"):
            told, _, path = argument.partition(" ") if verb == "resume" else ("", "", argument)
            self._guarded(number, partial(self._open, number, path, told))
            return
        spool = self._spools.get(number)
        if verb == "close":
            if spool is not None:
                self._drop(number)
            self._say(closed_report(number))
        elif spool is not None and verb == "to":
            spool.available = int(argument)
        elif spool is not None and verb == "end":
            spool.ended = True

    def work(self) -> None:
        """Renders a chunk of each spool that is behind, and reports what is due."""
        now = time.monotonic()
        for number in list(self._spools):
            self._guarded(number, partial(self._advance, number, now))

    def close(self) -> None:
        """Leaves all spools where they are."""
        for number in list(self._spools):
            self._drop(number)

    def _open(self, number: int, argument: str, told: str) -> None:
        path = Path(json.loads(argument))
        rendering = self._make(path, bool(told))
        self._spools[number] = GrowingSpool(path, rendering, Reporter(number), int(told or 0))

    def _advance(self, number: int, now: float) -> None:
        spool = self._spools[number]
        if spool.behind:
            spool.advance()
        if spool.ended and not spool.behind:
            last = spool.finish()
            self._drop(number)
            self._say(last)
        elif spool.report_due is not None and spool.report_due <= now:
            self._say(spool.report())

    def _guarded(self, number: int, work: Callable[[], None]) -> None:
        """Does something for a spool; its error ends that spool alone, and is reported."""
        try:
            work()
            return
        except BrokenPipeError:
            raise
        except GathererError as error:
            report = failure_report(number, error)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".rstrip(": ")
            failure = GathererError(f"the renderer failed: {what}", "report it; the spool is kept")
            report = failure_report(number, failure, traceback.format_exc())
        if number in self._spools:
            self._drop(number)
        self._say(report)

    def _drop(self, number: int) -> None:
        self._spools.pop(number).close()

    def _say(self, report: bytes) -> None:
        write_all(self._descriptor, report)


def serve(orders: Orders, renderings: Renderings) -> None:
    """Renders what is ordered, until no more orders can come.

    Args:
        orders: from gatherer.
        renderings: the spools.
    """
    try:
        while not orders.ended:
            for order in orders.read(renderings.timeout):
                renderings.carry_out(*order)
            renderings.work()
    finally:
        renderings.close()


def main() -> int:
    """Renders as the command line says; returns the exit code."""
    # Ctrl-C is for gatherer, which decides what becomes of the rest.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is not rendered yet is on disk; what is not received in time is lost.
    os.nice(NICE)
    # Records are tuples by the hundred thousand, none in a cycle.
    gc.set_threshold(GC_THRESHOLD)
    lines, max_log_size = LinesConfig(**json.loads(sys.argv[-2])), int(sys.argv[-1])

    def make(spool: Path, resumed: bool) -> Rendering:
        logs = ResumedLogs(spool.parent) if resumed else LogDirectory(spool.parent)
        return Rendering(logs, lines_factory(lines), max_log_size, restart_of(spool.name) or 0)

    try:
        serve(Orders(_STDIN), Renderings(make, _STDOUT))
    except BrokenPipeError:
        return 1
    return 0
