"""Diagnosis of an agent that runs badly, or not at all, by its log and its pod."""

from __future__ import annotations

from dataclasses import dataclass

from gatherer.agents.discovery import COLLECTOR, COROOT, PARCA, AgentPod
from gatherer.agents.kinds.analysis import Diagnosis
from gatherer.agents.kinds.collector import StartupDiagnostics, evaluate_startup, read_diagnostics
from gatherer.agents.kinds.coroot import diagnose_coroot
from gatherer.agents.kinds.parca import diagnose_parca
from gatherer.agents.scrape.sources import Sources
from gatherer.errors import ScrapeError
from gatherer.text import printable


@dataclass(frozen=True)
class Startup:
    """The start of a Collector.

    Attributes:
        diagnostics: of its log.
        log: its text.
        previous: whether it is the log of the run before.
    """

    diagnostics: StartupDiagnostics
    log: str
    previous: bool


async def read_startup(sources: Sources, agent: AgentPod) -> Startup:
    """Reads the startup diagnostics of a Collector; of one that crashes those of the run before.

    Args:
        sources: reach its log.
        agent: its pod.

    Raises:
        ScrapeError: there are none, or the log may not be read.
    """
    container = agent.container
    log, previous = "", False
    if container is not None and container.state.kind == "running":
        log = await sources.log(agent)
    if read_diagnostics(log) is None and container is not None and container.restart_count:
        log, previous = await sources.log(agent, previous=True), True
    diagnostics = read_diagnostics(log)
    if diagnostics is None:
        ended = container.last_state.message if container is not None else ""
        said = f"; it last ended with: {printable(ended, 200)}" if ended else ""
        raise ScrapeError(f"no startup diagnostics in its log{said}", "see `kubectl logs`")
    return Startup(diagnostics, log, previous)


async def diagnose_agent(
    sources: Sources, agent: AgentPod, runtime_version: str
) -> Diagnosis | None:
    """Returns what is wrong with an agent, None when nothing can be told.

    Args:
        sources: reach its log.
        agent: its pod.
        runtime_version: the Node's containerRuntimeVersion, empty when it may not be read.

    Raises:
        ScrapeError: the log may not be read.
    """
    if agent.kind == COLLECTOR:
        return evaluate_startup((await read_startup(sources, agent)).diagnostics)
    if agent.kind == PARCA:
        return diagnose_parca(runtime_version, agent.arguments, agent.mounts)
    if agent.kind == COROOT:
        crashed = agent.container is not None and agent.container.state.kind != "running"
        return diagnose_coroot(await sources.log(agent, previous=crashed))
    return None
