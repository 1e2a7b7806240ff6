"""Analyses of agents: what each kind takes and gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rate


@dataclass(frozen=True)
class ScrapeContext:
    """Facts beside the samples, which explain why a metric is not there.

    Attributes:
        cgroup_version: of the node, 0 when unknown.
        container_age: seconds since the target's container started, None when unknown.
        others: other containers that the agent knows.
    """

    cgroup_version: int = 0
    container_age: float | None = None
    others: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """A case of a vendor's troubleshooting guide; the remedies are in our words.

    Attributes:
        case: its name, `ok` when nothing is wrong.
        cause: what there is.
        remedy: what to do, empty when nothing needs to be done.
    """

    case: str
    cause: str
    remedy: str = ""


class Analysis(Protocol):
    """The samples of one agent, summed up by its kind."""

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Adds one scrape."""
        ...

    def lines(self, context: ScrapeContext) -> list[str]:
        """Returns the summary."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        ...


class NoAnalysis:
    """The analysis of an endpoint of no known kind: its samples are in metrics.jsonl."""

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Adds nothing."""

    def lines(self, context: ScrapeContext) -> list[str]:
        """Returns nothing."""
        return []

    def as_json(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}
