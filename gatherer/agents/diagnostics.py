"""Diagnostics of an agent, taken once in a capture beside its metrics: heap profiles, states.

They are files in agents/ and lines of the summary; each part may fail for itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gatherer.agents.collector_heap import HeapProfiler, ProfileRequest
from gatherer.agents.diagnosis import read_startup
from gatherer.agents.discovery import COLLECTOR, COROOT, PARCA, AgentPod
from gatherer.agents.kinds.collector import (
    evaluate_startup,
    read_connections,
    read_endpoints,
    read_readiness,
    short_id,
)
from gatherer.agents.kinds.pprof import is_gperftools, read_profile
from gatherer.agents.record import AgentRecord
from gatherer.agents.scrape.endpoints import Endpoint, Limits
from gatherer.agents.scrape.source import Source
from gatherer.agents.scrape.sources import COLLECTOR_PORT, Sources
from gatherer.errors import ScrapeError
from gatherer.text import byte_count, counted, printable

HEAP_SECONDS = 30.0
"""How long Collector's heap is profiled, unless the capture ends before."""
_LIMITS = Limits(seconds=10.0, size=4 << 20)
_HEAP_LIMITS = Limits(seconds=20.0, size=64 << 20)
_INTROSPECTION = "ROX_COLLECTOR_INTROSPECTION_ENABLE"


@dataclass(frozen=True)
class ClusterRef:
    """The cluster, as another process finds it.

    Attributes:
        kubeconfig: path, None for where kubectl looks.
        context: its name, None for the current one.
    """

    kubeconfig: str | None = None
    context: str | None = None


@dataclass
class AgentDiagnostics:
    """The diagnostics of one agent.

    Args:
        source: the agent.
        name: in this capture.
        sources: all agents.
        record: what is left behind.
        container_id: of the target, as its pod's status has it.
        heap: whether `--agent-heap` was given.
        cluster: for the process that takes Collector's heap.

    Attributes:
        known: set when the kind of the source is known; of a URL it is with the first answer.
        lines: for the summary.
        facts: for session.json.
    """

    source: Source
    name: str
    sources: Sources
    record: AgentRecord
    container_id: Callable[[], Awaitable[str]]
    heap: bool = False
    cluster: ClusterRef = field(default_factory=ClusterRef)
    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    known: asyncio.Event = field(default_factory=asyncio.Event)
    _heap: HeapProfiler | None = None
    _stopped: bool = False

    async def run(self) -> None:
        """Takes everything there is to take, once the kind of the agent is known."""
        await self.known.wait()
        kind, agent = self.source.kind, self.source.agent
        if kind == PARCA or (kind == COROOT and self.heap):
            await self._part("heap", self._go_heap())
        elif kind == COLLECTOR and agent is not None:
            await self._part("startup", self._startup(agent))
            server = self.sources.collector_server(self.source)
            await asyncio.gather(
                self._part("ready", self._ready(server)),
                self._part("introspection", self._introspection(agent, server)),
            )
            if self.heap:
                await self._part("heap", self._collector_heap(agent, server))

    def stop(self) -> None:
        """Lets a profile that runs end; one that has not begun does not."""
        self._stopped = True
        self.known.set()
        if self._heap is not None:
            self._heap.stop()

    async def _part(self, what: str, part: Awaitable[None]) -> None:
        try:
            await part
        except ScrapeError as error:
            self.lines.append(f"{what}: {error}")
            self.facts[what] = {"error": str(error)}

    async def _go_heap(self) -> None:
        """/debug/pprof/heap: the agent's own heap, as its vendor's support asks for it."""
        answer = await self.source.endpoint.fetch("GET", "/debug/pprof/heap", limits=_HEAP_LIMITS)
        if answer.status != 200:
            raise ScrapeError(
                f"/debug/pprof/heap answers {answer.status}", "this build has no profiles"
            )
        profile = read_profile(answer.body)
        name = f"{self.name}-heap.pb.gz"
        await self.record.keep(name, answer.body)
        self.facts["heap"] = {"file": name, "samples": profile.samples, "types": profile.types}
        self.lines.append(
            f"heap: agents/{name}, {byte_count(len(answer.body))},"
            f" {counted(profile.samples, 'sample')} of the agent itself"
        )

    async def _startup(self, agent: AgentPod) -> None:
        """The startup diagnostics in its log; of one that crashes those of the run before."""
        startup = await read_startup(self.sources, agent)
        case = evaluate_startup(startup.diagnostics)
        facts = {
            **startup.diagnostics.as_json(),
            "case": case.case,
            "of_previous_run": startup.previous,
        }
        self.facts["startup"] = facts
        await self.record.keep(
            f"{self.name}-diagnostics.json", json.dumps(facts, indent=2).encode()
        )
        await self.record.keep(f"{self.name}.log", startup.log.encode())
        remedy = f"; {case.remedy}" if case.remedy else ""
        self.lines.append(f"startup: {case.case}: {case.cause}{remedy}")

    async def _ready(self, server: Endpoint) -> None:
        answer = await server.fetch("GET", "/ready", limits=_LIMITS)
        ready = read_readiness(answer.status, answer.body)
        await self.record.keep(f"{self.name}-ready.json", answer.body)
        self.facts["ready"] = {"ready": ready.ready, "drops": ready.drops, "events": ready.events}
        state = "ready" if ready.ready else "not ready"
        events = counted(ready.events, "event")
        self.lines.append(f"ready: {state}, {ready.drops} of {events} dropped")

    async def _introspection(self, agent: AgentPod, server: Endpoint) -> None:
        container = short_id(await self.container_id())
        paths = {
            "endpoint": f"/state/network/endpoint?container={container}",
            "connection": f"/state/network/connection?container={container}",
            "runtime-config": "/state/runtime-config",
        }
        try:
            answers = {
                key: await server.fetch("GET", path, limits=_LIMITS) for key, path in paths.items()
            }
        except ScrapeError as error:
            if agent.environment.get(_INTROSPECTION) == "true":
                raise
            raise _not_enabled() from error
        if answers["endpoint"].status == 404:
            raise _not_enabled()
        if answers["endpoint"].status != 200 or not container:
            text = printable(answers["endpoint"].body[:200].decode("utf-8", "replace"), 120)
            raise ScrapeError(f"/state/network answers {answers['endpoint'].status}: {text}")
        endpoints = read_endpoints(answers["endpoint"].body, container)
        connections = read_connections(answers["connection"].body, container)
        await self.record.keep(
            f"{self.name}-network.json",
            json.dumps(
                {
                    "container": container,
                    "endpoints": endpoints,
                    "connections": connections,
                    "runtime_config": answers["runtime-config"].body.decode("utf-8", "replace"),
                },
                indent=2,
            ).encode(),
        )
        self.facts["network"] = {
            "endpoints": len(endpoints), "connections": len(connections),
        }  # fmt: skip
        self.lines.append(
            f"network of the container: {len(endpoints)} endpoints, {len(connections)} connections,"
            f" in agents/{self.name}-network.json"
        )

    async def _collector_heap(self, agent: AgentPod, server: Endpoint) -> None:
        if self._stopped:
            raise ScrapeError("no heap profile: the capture ended before it began")
        self._heap = HeapProfiler(server)
        data = await self._heap.profile(
            ProfileRequest(
                self.cluster.kubeconfig,
                self.cluster.context,
                agent.pod.namespace,
                agent.pod.name,
                COLLECTOR_PORT,
                HEAP_SECONDS,
            )
        )
        if not is_gperftools(data):
            raise ScrapeError("its heap profile is none of gperftools, or not whole")
        name = f"{self.name}-heap.txt"
        await self.record.keep(name, data)
        self.facts["heap"] = {"file": name, "size": len(data)}
        self.lines.append(
            f"heap: agents/{name}, {byte_count(len(data))} of Collector itself; its profiler is off"
        )


def _not_enabled() -> ScrapeError:
    return ScrapeError(
        "not enabled",
        f"set {_INTROSPECTION}=true on the collector container to see its connections",
    )
