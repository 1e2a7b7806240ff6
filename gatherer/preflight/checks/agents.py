"""Check: the agents on the target's node. They stop no capture. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import Agent, TargetFacts
from gatherer.text import printable

_MAX_TEXT = 400


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns a row `agent` for each one, or one that says why there is none."""
    return [_finding(agent) for agent in evidence.agents or ()]


def _finding(agent: Agent) -> Finding:
    name = " ".join(filter(None, (agent.title, agent.name)))
    if agent.problem:
        lost = "no metrics from it" if agent.title else "captures have no metrics of the node"
        return Finding(
            "agent",
            printable(agent.problem, _MAX_TEXT),
            lost,
            Level.NOTE,
            printable(agent.remedy, _MAX_TEXT),
        )
    ports = ", ".join(map(str, agent.ports))
    where = f" on port {ports}" if len(agent.ports) == 1 else f" on one of the ports {ports}"
    told = printable(agent.diagnosis, _MAX_TEXT)
    if agent.remedy:
        return Finding(
            "agent", f"{name}: {told}", "it sees less than it should", Level.NOTE,
            printable(agent.remedy, _MAX_TEXT),
        )  # fmt: skip
    return Finding("agent", f"{name}{where if agent.ports else ''}", told or "asked in a capture")
