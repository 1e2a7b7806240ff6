"""The rows about the agents on the node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatherer.preflight.evaluation import evaluate
from gatherer.preflight.findings import Level
from gatherer.preflight.target_facts import Agent
from tests.unit.gatherer.preflight.situations import healthy


@pytest.mark.parametrize(
    ("agent", "level", "finding", "remedy"),
    [
        (
            Agent("coroot-node-agent", "coroot/agent-x", (80, 10300)),
            Level.OK,
            "coroot-node-agent coroot/agent-x on one of the ports 80, 10300",
            "",
        ),
        (
            Agent("Parca agent", "parca/a", (7071,)),
            Level.OK,
            "Parca agent parca/a on port 7071",
            "",
        ),
        (
            Agent("StackRox Collector", "stackrox/c", (9090,), "no driver fits", remedy="upgrade"),
            Level.NOTE,
            "StackRox Collector stackrox/c: no driver fits",
            "upgrade",
        ),
        (
            Agent("", problem="no coroot-node-agent on node node1", remedy="--agent URL"),
            Level.NOTE,
            "no coroot-node-agent on node node1",
            "--agent URL",
        ),
    ],
)
def test_an_agent_is_told_and_stops_nothing(
    agent: Agent, level: Level, finding: str, remedy: str
) -> None:
    report = evaluate(replace(healthy(), agents=(agent,)))
    assert report.can_run
    row = report.findings[-1]
    assert (row.check, row.level, row.finding, row.remedy) == ("agent", level, finding, remedy)


def test_agents_that_were_not_looked_for_have_no_row() -> None:
    assert "agent" not in {finding.check for finding in evaluate(healthy()).findings}
