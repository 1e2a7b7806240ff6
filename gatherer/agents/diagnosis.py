"""What an agent that runs badly, or not at all, says of itself: its log and its pod, judged.

The cases are those of the vendors' troubleshooting guides; the remedies are in our words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatherer.agents.discovery import COLLECTOR, COROOT, PARCA, AgentPod
from gatherer.agents.kinds.collector import (
    StartupDiagnostics,
    judge_startup,
    read_diagnostics,
)
from gatherer.agents.kinds.parca import diagnose_sockets
from gatherer.agents.scrape.sources import Sources
from gatherer.errors import ScrapeError
from gatherer.text import printable

_RUNTIME_LOST = re.compile(r"failed to interact with [^\n]{0,300}")
_UNKNOWN_FLAG = re.compile(r"unknown long flag '(--[a-z-]{1,40})'")
_RENAMED = {
    "--no-parse-logs": "--disable-log-parsing",
    "--no-ping-upstreams": "--disable-pinger",
}
"""Flags of coroot-node-agent in 2022, and what they are called since 2024."""


@dataclass(frozen=True)
class Trouble:
    """One case.

    Attributes:
        case: its name, `ok` when nothing is wrong.
        cause: what there is.
        remedy: what to do, empty when nothing needs to be done.
    """

    case: str
    cause: str
    remedy: str = ""


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


async def find_trouble(sources: Sources, agent: AgentPod, runtime_version: str) -> Trouble | None:
    """Says what is wrong with an agent.

    Args:
        sources: reach its log.
        agent: its pod.
        runtime_version: the Node's containerRuntimeVersion, empty when it may not be read.

    Returns:
        None when nothing can be told.

    Raises:
        ScrapeError: what would tell may not be read.
    """
    if agent.kind == COLLECTOR:
        case = judge_startup((await read_startup(sources, agent)).diagnostics)
        return Trouble(case.case, case.cause, case.remedy)
    if agent.kind == PARCA:
        return parca_trouble(agent, runtime_version)
    if agent.kind == COROOT:
        crashed = agent.container is not None and agent.container.state.kind != "running"
        return coroot_trouble(await sources.log(agent, previous=crashed))
    return None


def parca_trouble(agent: AgentPod, runtime_version: str) -> Trouble:
    """Says whether the agent can find out which container a process is of.

    Args:
        agent: its pod.
        runtime_version: the Node's containerRuntimeVersion, empty when it may not be read.
    """
    diagnosis = diagnose_sockets(runtime_version, agent.arguments, agent.mounts)
    runtime = diagnosis.runtime or "a runtime that is not known (nodes may not be read)"
    if not diagnosis.problems:
        return Trouble("ok", f"container label: {runtime}, tries {', '.join(diagnosis.sockets)}")
    cause, remedy = diagnosis.problems[0]
    more = "".join(f"; also: {each}" for each, _ in diagnosis.problems[1:])
    return Trouble("container label missing", f"container label, {runtime}: {cause}{more}", remedy)


def coroot_trouble(log: str) -> Trouble | None:
    """Says what coroot's log tells about a missing container_id, or a flag of another era.

    Args:
        log: of the agent.
    """
    flag = _UNKNOWN_FLAG.search(log)
    if flag:
        now = _RENAMED.get(flag[1])
        return Trouble(
            "flag of another era",
            f"it does not know the flag {flag[1]}, and ends",
            f"write {now} instead" if now else "take the flag out of its command line",
        )
    lost = _RUNTIME_LOST.search(log)
    if lost:
        return Trouble(
            "container label missing",
            f"it names no containers: {printable(lost[0], 200)}",
            "the socket of the node's container runtime must be below /proc/1/root, where it looks"
            " for it: hostPID and privileged must be true",
        )
    return None
