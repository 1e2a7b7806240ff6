"""The agents on the target's node, looked for as a capture would; none of them is scraped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gatherer.agents.diagnosis import diagnose_agent
from gatherer.agents.discovery import AGENTS, AgentPod
from gatherer.agents.scrape.sources import AUTO, Gap, Sources
from gatherer.errors import ScrapeError
from gatherer.preflight.target_facts import Agent, TargetFacts
from gatherer.target.values import Target
from gatherer.timeouts import within

if TYPE_CHECKING:
    from gatherer.kube.auth.access import ClusterAccess

AGENT_SECONDS = 20.0
"""How long looking for agents may take; it lists the pods of the node."""


async def ask_agents(access: ClusterAccess, evidence: TargetFacts) -> TargetFacts:
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
            runtime = evidence.node.runtime if evidence.node is not None else ""
            seen = {
                source.kind: await _look(sources, source.agent, runtime)
                for source in found
                if source.agent is not None
            }
    except TimeoutError:
        late = f"looking for agents took more than {AGENT_SECONDS:.0f} s"
        return replace(evidence, agents=(Agent("", problem=late, remedy="name one with --agent"),))
    finally:
        await sources.aclose()
    # What an agent that crashes says of itself is more than that it does not run.
    silent = {gap.agent for gap in gaps if gap.agent in seen and not seen[gap.agent].remedy}
    told = [agent for kind, agent in seen.items() if kind not in silent]
    left = [gap for gap in gaps if gap.agent not in seen or gap.agent in silent]
    return replace(evidence, agents=(*told, *map(_gap, left)))


def _gap(gap: Gap) -> Agent:
    title = AGENTS[gap.agent].title if gap.agent in AGENTS else ""
    return Agent(title, problem=gap.cause, remedy=gap.remedy)


async def _look(sources: Sources, agent: AgentPod, runtime: str) -> Agent:
    title = AGENTS[agent.kind].title if agent.kind in AGENTS else "the pod's own exporter"
    seen = Agent(title, agent.name, agent.ports)
    try:
        diagnosis = await diagnose_agent(sources, agent, runtime)
    except ScrapeError:
        return seen  # Who may not read logs is told so in a capture.
    if diagnosis is None:
        return seen
    case = f"{diagnosis.case}: " if diagnosis.remedy else ""
    return replace(seen, diagnosis=f"{case}{diagnosis.cause}", remedy=diagnosis.remedy)
