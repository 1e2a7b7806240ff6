"""The progress of rendering: reports of the renderer's process, which gatherer's own adds up.

A report is one JSON object on a line. It names the spool that it is about; counts of processes are
in it only when they changed, losses only once, everything else is the total so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatherer.errors import GathererError, LogWriteError, StreamError
from gatherer.rendering.accounting import Accounts, ProcessAccount
from gatherer.stream.damage import Damage

_ERRORS: dict[str, type[GathererError]] = {
    error.__name__: error for error in (GathererError, LogWriteError, StreamError)
}


@dataclass(frozen=True)
class Loss:
    """Records that hunter dropped, or that did not arrive.

    Attributes:
        time_ns: CLOCK_MONOTONIC of the note.
        ordinal: the process; 0 for records of any process that did not arrive.
        count: how many.
    """

    time_ns: int
    ordinal: int
    count: int


@dataclass(frozen=True)
class Drop:
    """Lines that were left out because a log had reached its size limit.

    Attributes:
        time_ns: CLOCK_MONOTONIC up to which the log is whole.
        ordinal: the process.
        lines: how many so far.
    """

    time_ns: int
    ordinal: int
    lines: int


@dataclass(frozen=True)
class Progress:
    """The progress of the renderer.

    Attributes:
        offset: bytes of the spool that are rendered.
        accounts: what arrived.
        losses: losses met since the last progress was taken.
        drops: logs that reached their limit, with their totals.
        written: bytes of log lines.
    """

    offset: int
    accounts: Accounts
    losses: tuple[Loss, ...]
    drops: tuple[Drop, ...]
    written: int


class Reporter:
    """The reports of the progress of one spool; each tells what changed since the one before.

    Args:
        spool: its number.
    """

    def __init__(self, spool: int) -> None:
        self._spool = spool
        self._told: dict[int, tuple[int, int]] = {}

    def report(self, progress: Progress, done: bool = False) -> bytes:
        """Returns a report as a line.

        Args:
            progress: the state now.
            done: whether everything is rendered.
        """
        accounts = progress.accounts
        changed = []
        for ordinal, account in accounts.processes.items():
            counts = (account.received, account.lost)
            if self._told.get(ordinal) != counts:
                self._told[ordinal] = counts
                changed.append([ordinal, *counts])
        return _line(
            {
                "spool": self._spool,
                "offset": progress.offset,
                "written": progress.written,
                "missing": accounts.missing,
                "repeated": accounts.repeated,
                "damaged": [accounts.damage.places, accounts.damage.named],
                "undeclared": accounts.undeclared,
                "bytes": accounts.bytes,
                "undecoded": accounts.undecoded,
                "processes": changed,
                "losses": [[loss.time_ns, loss.ordinal, loss.count] for loss in progress.losses],
                "drops": [[drop.time_ns, drop.ordinal, drop.lines] for drop in progress.drops],
                "done": done,
            }
        )


def closed_report(spool: int) -> bytes:
    """Returns the report that nothing more is rendered of a spool, as a line.

    Args:
        spool: its number.
    """
    return _line({"spool": spool, "closed": True})


def failure_report(spool: int, error: GathererError, trace: str = "") -> bytes:
    """Returns the report of an error as a line.

    Args:
        spool: its number.
        error: what ended its rendering.
        trace: its traceback, for --debug.
    """
    name = type(error).__name__
    failure = [name, error.cause, error.remedy]
    return _line({"spool": spool, "error": failure, "trace": trace})


class ReportedProgress:
    """Adds the reports of one spool up.

    Attributes:
        offset: bytes of the spool that are rendered.
        done: whether everything is rendered.
        closed: whether nothing more will be rendered.
    """

    def __init__(self) -> None:
        self.offset = 0
        self.done = False
        self.closed = False
        self._written = 0
        self._accounts = Accounts()
        self._losses: list[Loss] = []
        self._drops: tuple[Drop, ...] = ()

    def apply(self, report: Mapping[str, Any]) -> None:
        """Takes one report.

        Args:
            report: the object of its line.

        Raises:
            GathererError: the error that it reports, of its own class.
        """
        if "closed" in report:
            self.closed = True
            return
        if "error" in report:
            self.closed = True
            name, cause, remedy = report["error"]
            error = _ERRORS.get(name, GathererError)(cause, remedy)
            raise error from RuntimeError(report["trace"])
        accounts = self._accounts
        for ordinal, received, lost in report["processes"]:
            accounts.processes[ordinal] = ProcessAccount(received, lost)
        accounts.missing = report["missing"]
        accounts.repeated = report["repeated"]
        places, named = report["damaged"]
        accounts.damage = Damage(places, named)
        accounts.undeclared = report["undeclared"]
        accounts.bytes = report["bytes"]
        accounts.undecoded = report["undecoded"]
        self._losses += [Loss(*loss) for loss in report["losses"]]
        self._drops = tuple(Drop(*drop) for drop in report["drops"])
        self._written = report["written"]
        self.offset = report["offset"]
        self.done = report["done"]
        self.closed = self.closed or self.done

    def progress(self) -> Progress:
        """Returns the state of the latest report, and takes the losses."""
        losses, self._losses = tuple(self._losses), []
        return Progress(self.offset, self._accounts.copy(), losses, self._drops, self._written)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
