"""Findings of the checks: the rows of doctor's table, and the one cause that decides. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """The meaning of a finding for a capture."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Worth knowing; the capture is what it would be without."""
    UNKNOWN = "unknown"
    """Nobody could be asked, or the answer does not tell."""
    LIMITS = "limits"
    """A capture runs, and gives less."""
    STOPS = "stops"
    """No capture can start."""


@dataclass(frozen=True)
class Finding:
    """One row of the table.

    Attributes:
        check: what was looked at, in a few words.
        finding: what there is.
        meaning: what it means for a capture.
        level: how much it matters.
        remedy: what to do, as a clause with the exact command; empty when nothing is to be done.
        manifest: YAML that goes with the remedy, empty when there is none.
        cause: the finding as a clause that stands alone; empty when the finding does already.
    """

    check: str
    finding: str
    meaning: str
    level: Level = Level.OK
    remedy: str = ""
    manifest: str = ""
    cause: str = ""

    def __str__(self) -> str:
        return self.cause or self.finding


@dataclass(frozen=True)
class Report:
    """All findings about one target.

    Attributes:
        target: such as `default/problempod/buggycontainer`.
        findings: in the order of the table, which is that of cause and effect.
    """

    target: str
    findings: tuple[Finding, ...]

    @property
    def stopping(self) -> Finding | None:
        """The one cause that stops a capture: the first in the order of cause and effect."""
        return _first(self.findings, Level.STOPS)

    @property
    def limiting(self) -> Finding | None:
        """The first cause for which a capture gives less."""
        return _first(self.findings, Level.LIMITS)

    @property
    def can_run(self) -> bool:
        """Whether a capture can start."""
        return self.stopping is None

    @property
    def exit_code(self) -> int:
        """0 when a capture can run, 3 when something stops it."""
        return 0 if self.can_run else 3


def _first(findings: Iterable[Finding], level: Level) -> Finding | None:
    return next((finding for finding in findings if finding.level is level), None)
