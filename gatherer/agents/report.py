"""Reports of agents, for the summary and for session.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gatherer.agents.scrape.sources import AUTO, Gap
from gatherer.text import counted, printable


@dataclass(frozen=True)
class AgentReport:
    """The report of one agent.

    Attributes:
        name: in this capture; that of `agent` in metrics.jsonl.
        where: where it is and how it was reached.
        scrapes: answers that could be read.
        gaps: times it gave nothing, any number of scrapes long.
        missed: scrapes that gave nothing.
        samples: that were kept in all.
        lines: the summary.
        facts: the same for scripts.
    """

    name: str
    where: str
    scrapes: int
    gaps: int
    missed: int
    samples: int
    lines: tuple[str, ...]
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        return {
            "agent": self.name,
            "where": self.where,
            "scrapes": self.scrapes,
            "gaps": self.gaps,
            "missed": self.missed,
            "samples": self.samples,
            **self.facts,
        }

    def text(self) -> list[str]:
        """Returns it for the summary; nothing in it can move a cursor."""
        head = "agents" if self.name == AUTO else f"agent {self.name}"
        head += f": {self.where}"
        if self.scrapes or self.missed:
            missed = f", {self.missed} missed" if self.missed else ""
            head += f"; {counted(self.scrapes, 'scrape')}{missed}"
        return [printable(line, 400) for line in (head, *(f"  {line}" for line in self.lines))]


def unfound(gap: Gap) -> AgentReport:
    """Returns the report of an agent that is not there.

    Args:
        gap: why.
    """
    lines = (gap.remedy,) if gap.asked else ()
    return AgentReport(gap.agent, gap.cause, 0, 1, 0, 0, lines, {})
