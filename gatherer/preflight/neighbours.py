"""Asks for the agents on the target's node, as a capture would; it scrapes none of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatherer.agents.collector import judge_startup, read_diagnostics
from gatherer.agents.discovery import AGENTS, COLLECTOR, AgentPod
from gatherer.agents.sources import AUTO, Gap, Sources
from gatherer.errors import ScrapeError
from gatherer.patience import within
from gatherer.preflight.evidence import Agent, Evidence
from gatherer.runtimes import Target

if TYPE_CHECKING:
    from gatherer.kube.access import ClusterAccess

AGENT_SECONDS = 20.0
"""How long looking for agents may take; it lists the pods of the node."""


async def ask_agents(access: ClusterAccess, evidence: Evidence) -> Evidence:
    """Returns the evidence with the agents around the target.

    Args:
        access: to the API server.
        evidence: about a pod that is on a node.
    """
    pod, container = evidence.pod, evidence.container
    if pod is None or container is None or not pod.node:
        return evidence
    target = Target(
        "kubernetes", namespace=pod.namespace, pod=pod.name, container=container.name, node=pod.node
    )
    sources = Sources((AUTO,), lambda: access)
    try:
        async with within(AGENT_SECONDS):
            found, gaps = await sources.find(target)
            agents = [
                await _look(sources, source.agent) for source in found if source.agent is not None
            ]
    except TimeoutError:
        late = f"looking for agents took more than {AGENT_SECONDS:.0f} s"
        return replace(evidence, agents=(Agent("", problem=late, remedy="name one with --agent"),))
    finally:
        await sources.aclose()
    silent = {gap.agent for gap in gaps}
    running = [agent for source, agent in zip(found, agents, strict=True)
               if source.kind not in silent]  # fmt: skip
    return replace(evidence, agents=(*running, *map(_gap, gaps)))


def _gap(gap: Gap) -> Agent:
    title = AGENTS[gap.agent].title if gap.agent in AGENTS else ""
    return Agent(title, problem=gap.cause, remedy=gap.remedy)


async def _look(sources: Sources, agent: AgentPod) -> Agent:
    title = AGENTS[agent.kind].title if agent.kind in AGENTS else "the pod's own exporter"
    seen = Agent(title, agent.name, agent.ports)
    container = agent.container
    if agent.kind != COLLECTOR or container is None or container.state.kind != "running":
        return seen
    try:
        diagnostics = read_diagnostics(await sources.log(agent))
    except ScrapeError:
        return seen  # Who may not read logs is told so in a capture.
    if diagnostics is None:
        return seen
    case = judge_startup(diagnostics)
    return replace(seen, diagnosis=case.cause, remedy=case.remedy)
