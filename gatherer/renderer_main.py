"""The renderer's process: what is started as a program of its own and reads only the spool.

Its standard input tells how many bytes of the spool are written, a number on a line each time, and
`end` when there will be no more; its standard output takes reports, see gatherer.progress. Without
a gatherer, when its standard input is closed, it stops where it is.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from pathlib import Path

from gatherer.errors import GathererError, StreamError
from gatherer.logs import LogDirectory, write_all
from gatherer.progress import Reporter, failure_report
from gatherer.renderer import CHUNK, Rendering, lines_factory
from gatherer.spool import SpoolReader

REPORT_SECONDS = 0.1
"""Time between two reports while there is something to render."""
_STDIN, _STDOUT = 0, 1


class Orders:
    """What gatherer says.

    Attributes:
        available: bytes of the spool that are written.
        ended: whether that is all of it.
        abandoned: whether nobody wants the rest.
    """

    def __init__(self, descriptor: int) -> None:
        self.available = 0
        self.ended = False
        self.abandoned = False
        self._descriptor = descriptor
        self._rest = b""

    def read(self, seconds: float | None) -> None:
        """Takes what has been said, and waits for it.

        Args:
            seconds: how long at most, None for ever.
        """
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return
        data = os.read(self._descriptor, 1 << 16)
        if not data:
            self.abandoned = True
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"end":
                self.ended = True
            else:
                self.available = int(line)


def render(spool: Path, rendering: Rendering, orders: Orders, descriptor: int) -> bool:
    """Renders a spool as it grows; returns whether that was to its end.

    Args:
        spool: the spool.
        rendering: turns it into logs.
        orders: how far it may be read.
        descriptor: takes the reports.

    Raises:
        GathererError: the spool cannot be read, or a log cannot be written.
    """
    reporter = Reporter()
    reported_at = 0.0
    reported = -1
    with SpoolReader(spool) as reader:
        while not orders.abandoned:
            behind = orders.available > reader.offset
            if orders.ended and not behind:
                rendering.finish()
                write_all(descriptor, reporter.report(rendering.progress(reader.offset), True))
                return True
            orders.read(0 if behind else _until_report(reported == reader.offset, reported_at))
            if orders.available > reader.offset:
                data = reader.read(min(CHUNK, orders.available - reader.offset))
                if not data:
                    raise StreamError(
                        f"the spool ends after {reader.offset} of {orders.available} bytes",
                        "leave the capture directory in place until the end",
                    )
                rendering.receive_data(data)
            now = time.monotonic()
            if reported != reader.offset and now - reported_at >= REPORT_SECONDS:
                reported_at, reported = now, reader.offset
                write_all(descriptor, reporter.report(rendering.progress(reported)))
    return False


def _until_report(told: bool, reported_at: float) -> float | None:
    """Returns how long to wait for orders: until a report is due, or for ever."""
    return None if told else max(0.0, reported_at + REPORT_SECONDS - time.monotonic())


def main() -> int:
    """Renders the spool and the directory that the command line names; returns the exit code."""
    # Ctrl-C is for gatherer, which decides what becomes of the rest.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spool, directory, string_size, max_log_size = sys.argv[-4:]
    rendering = Rendering(
        LogDirectory(Path(directory)), lines_factory(int(string_size)), int(max_log_size)
    )
    try:
        return 0 if render(Path(spool), rendering, Orders(_STDIN), _STDOUT) else 1
    except BrokenPipeError:
        return 1
    except GathererError as error:
        report = failure_report(error)
    except Exception as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        failure = GathererError(f"the renderer failed: {what}", "report it; the spool is kept")
        report = failure_report(failure, traceback.format_exc())
    write_all(_STDOUT, report)
    return 1
