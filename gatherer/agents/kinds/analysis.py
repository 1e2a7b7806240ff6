"""What is made of the samples of an agent, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gatherer.agents.discovery import COLLECTOR, COROOT, PARCA, PROMETHEUS
from gatherer.agents.kinds.collector import CollectorHealth
from gatherer.agents.kinds.coroot import MemoryIncident, Surroundings
from gatherer.agents.kinds.parca import AgentHealth
from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rate


class Analysis(Protocol):
    """What is made of the samples of one kind of agent."""

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Takes one scrape."""
        ...

    def lines(self, around: Surroundings) -> list[str]:
        """Returns the summary."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        ...


class NoAnalysis:
    """Of an endpoint nobody knows: the samples are in metrics.jsonl."""

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Takes one scrape."""

    def lines(self, around: Surroundings) -> list[str]:
        """Returns nothing."""
        return []

    def as_json(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}


ANALYSES: dict[str, Callable[[], Analysis]] = {
    COROOT: MemoryIncident,
    PARCA: AgentHealth,
    COLLECTOR: CollectorHealth,
    PROMETHEUS: NoAnalysis,
}
