"""The agents around one or more targets, and the reasons why others are not there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from gatherer.agents.discovery import (
    AGENTS,
    KINDS,
    LABEL_SELECTORS,
    NAMESPACES,
    PROMETHEUS,
    AgentPod,
    find_agents,
)
from gatherer.agents.scrape.endpoints import (
    ApiServerRoutes,
    Endpoint,
    Limits,
    PodEndpoint,
    UrlEndpoint,
)
from gatherer.agents.scrape.parser import Parser
from gatherer.agents.scrape.source import Source
from gatherer.errors import Forbidden, GathererError, ScrapeError
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.objects.models import Pod
from gatherer.target.values import Target
from gatherer.text import printable

AUTO, NONE = "auto", "none"
_LIST_SIZE = 64 << 20  # bytes
_LIST_SECONDS = 15.0
_LIST_AGE = 20.0  # seconds
COLLECTOR_PORT = 8080
"""Where Collector answers everything but metrics; no manifest declares it."""


@dataclass(frozen=True)
class Gap:
    """An agent that gives nothing, and why.

    Attributes:
        agent: its kind, or where it is.
        cause: what happened.
        remedy: what to do.
        shown: whether another capture has shown it already.
        asked: whether it was asked for, and not only looked for.
    """

    agent: str
    cause: str
    remedy: str = ""
    shown: bool = False
    asked: bool = True


@dataclass
class Sources:
    """All agents of one gatherer's run.

    Attributes:
        wanted: values of `--agent`.
        open_access: reads the kubeconfig; called with the first target in a cluster.
        limits: what a scrape may cost.
    """

    wanted: tuple[str, ...]
    open_access: Callable[[], ClusterAccess]
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.parser = Parser()
        self.routes: ApiServerRoutes | None = None
        self._known: dict[tuple[str, str, str], Source] = {}
        self._told: set[tuple[str, str]] = set()
        self._nodes: dict[str, tuple[float, tuple[list[object], bool]]] = {}
        self._looking = asyncio.Lock()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of agents that are looked for in a cluster."""
        if AUTO in self.wanted:
            return (*KINDS, PROMETHEUS)
        return tuple(kind for kind in KINDS if kind in self.wanted)

    @property
    def urls(self) -> tuple[str, ...]:
        """The endpoints given by URL."""
        return tuple(each for each in self.wanted if "://" in each)

    async def find(self, target: Target) -> tuple[list[Source], list[Gap]]:
        """Returns the agents that may know something of a target, and those that cannot.

        Args:
            target: as the runtime resolved it.
        """
        found, gaps = await self._find(target)
        fresh = [
            replace(
                gap,
                shown=(gap.agent, gap.cause) in self._told,
                asked=AUTO not in self.wanted or gap.agent != AUTO,
            )
            for gap in gaps
        ]
        self._told |= {(gap.agent, gap.cause) for gap in gaps}
        return found, fresh

    async def _find(self, target: Target) -> tuple[list[Source], list[Gap]]:
        found = [self._url(url) for url in self.urls]
        gaps: list[Gap] = []
        if target.runtime != "kubernetes" or not self.kinds:
            return found, gaps
        try:
            documents, whole = await self._pods_of_node(target)
        except GathererError as error:
            return found, [Gap(AUTO, f"agents cannot be looked for: {error.cause}", error.remedy)]
        agents = find_agents(documents, self.kinds, (target.namespace, target.pod))
        for agent in agents:
            found.append(self._pod(agent))
            if agent.problem:
                # It is asked all the same: it may be back by the next scrape.
                gaps.append(_not_running(agent))
        missing = [
            kind for kind in self.kinds if kind in AGENTS and kind not in {a.kind for a in agents}
        ]
        if AUTO not in self.wanted or (not agents and not self.urls):
            gaps += await self._elsewhere(missing, target, whole)
        return found, gaps

    async def read_pod(self, target: Target) -> Pod | None:
        """Returns the target's pod as it is now, None when it cannot be told."""
        if target.runtime != "kubernetes":
            return None
        path = f"/api/v1/namespaces/{quote(target.namespace)}/pods/{quote(target.pod)}"
        try:
            return Pod.from_json(await self._get(path))
        except GathererError:
            return None

    async def log(self, agent: AgentPod, *, previous: bool = False, size: int = 1 << 20) -> str:
        """Returns the beginning of the log of an agent's container.

        Args:
            agent: its pod.
            previous: that of the instance before.
            size: bytes of it.

        Raises:
            ScrapeError: there is none, or it may not be read.
        """
        assert agent.container is not None
        path = (
            f"/api/v1/namespaces/{quote(agent.pod.namespace)}/pods/{quote(agent.pod.name)}/log"
            f"?container={quote(agent.container.name)}&limitBytes={size}"
        )
        try:
            answer = await self._opened().proxy.exchange(
                "GET",
                path + ("&previous=true" if previous else ""),
                limit=2 * size,
                seconds=_LIST_SECONDS,
                resource="pods/log",
            )
        except (TimeoutError, ValueError) as error:
            raise ScrapeError("its log cannot be read", "see `kubectl logs`") from error
        except GathererError as error:
            raise ScrapeError(error.cause, error.remedy) from error
        return answer.body.decode("utf-8", "replace")

    async def aclose(self) -> None:
        """Closes everything."""
        await self.parser.aclose()
        if self.routes is not None:
            await self.routes.aclose()

    def _opened(self) -> ApiServerRoutes:
        if self.routes is None:
            self.routes = ApiServerRoutes(self.open_access())
        return self.routes

    def collector_server(self, source: Source) -> Endpoint:
        """Returns the server of a Collector that is not the one of its metrics."""
        assert source.agent is not None
        pod = source.agent.pod
        return PodEndpoint(self._opened(), pod.namespace, pod.name, (COLLECTOR_PORT,))

    def _url(self, url: str) -> Source:
        key = ("", url, "")
        if key not in self._known:
            endpoint = UrlEndpoint(url)
            self._known[key] = Source(PROMETHEUS, endpoint, endpoint.path, self.parser, self.limits)
        return self._known[key]

    def _pod(self, agent: AgentPod) -> Source:
        key = (agent.name, agent.pod.uid, agent.kind)
        if key not in self._known:
            endpoint = PodEndpoint(self._opened(), agent.pod.namespace, agent.pod.name, agent.ports)
            self._known[key] = Source(
                agent.kind,
                endpoint,
                agent.path,
                self.parser,
                self.limits,
                agent,
                own=agent.kind == PROMETHEUS,
            )
        return self._known[key]

    async def _pods_of_node(self, target: Target) -> tuple[list[object], bool]:
        """Returns the pods of the target's node, and whether those of all namespaces.

        Captures that begin together on a node list them once.
        """
        async with self._looking:
            kept = self._nodes.get(target.node)
            if kept is None or kept[0] < time.monotonic() - _LIST_AGE:
                kept = (time.monotonic(), await self._list_node(target))
                self._nodes[target.node] = kept
            return kept[1]

    async def _list_node(self, target: Target) -> tuple[list[object], bool]:
        selector = f"fieldSelector={quote(f'spec.nodeName={target.node}', safe='')}"
        try:
            return await self._list(f"/api/v1/pods?{selector}"), True
        except Forbidden as denied:
            documents: list[object] = []
            allowed = False
            for namespace in dict.fromkeys((target.namespace, *NAMESPACES)):
                try:
                    documents += await self._list(
                        f"/api/v1/namespaces/{quote(namespace)}/pods?{selector}"
                    )
                    allowed = True
                except GathererError:
                    continue
            if not allowed:
                raise denied
            return documents, False

    async def _elsewhere(self, kinds: list[str], target: Target, whole: bool) -> list[Gap]:
        """Says of the agents that are not on the target's node where they are."""
        nodes: dict[str, set[str]] = {}
        if whole:
            for selector in LABEL_SELECTORS:
                try:
                    documents = await self._list(
                        f"/api/v1/pods?labelSelector={quote(selector, safe='')}"
                    )
                except GathererError:
                    continue
                for agent in find_agents(documents, kinds, ("", "")):
                    if agent.pod.node:
                        nodes.setdefault(agent.kind, set()).add(agent.pod.node)
        gaps = [
            Gap(
                kind,
                f"no {AGENTS[kind].title} on node {target.node}, it runs on"
                f" {', '.join(sorted(nodes[kind])[:3])}",
                "check nodeSelector and tolerations of its DaemonSet",
            )
            for kind in kinds
            if kind in nodes
        ]
        if gaps:
            return gaps
        titles = ", ".join(AGENTS[kind].title for kind in kinds)
        where = f"on node {target.node}" if whole else "in the namespaces that may be listed"
        return (
            [
                Gap(
                    AUTO if len(kinds) > 1 else kinds[0],
                    f"no {titles} {where}",
                    "give the address of another one with --agent URL, or --agent none",
                )
            ]
            if kinds
            else []
        )

    async def _list(self, path: str) -> list[object]:
        document = await self._get(path)
        items = document.get("items") if isinstance(document, dict) else None
        return items if isinstance(items, list) else []

    async def _get(self, path: str) -> object:
        try:
            answer = await self._opened().proxy.exchange(
                "GET", path, limit=_LIST_SIZE, seconds=_LIST_SECONDS, resource="pods",
                accept="application/json",
            )  # fmt: skip
            document: object = json.loads(answer.body)
        except (TimeoutError, ValueError, RecursionError) as error:
            raise ScrapeError(
                "the API server does not list pods: "
                + ("no answer in time" if isinstance(error, TimeoutError) else str(error)),
                "try again",
            ) from error
        return document


def _not_running(agent: AgentPod) -> Gap:
    title = AGENTS[agent.kind].title if agent.kind in AGENTS else "its exporter"
    container = agent.container.name if agent.container is not None else ""
    return Gap(
        agent.kind,
        f"{title} {agent.name} does not run: {printable(agent.problem, 300)}",
        f"see `kubectl logs -n {agent.pod.namespace} {agent.pod.name} {container} --previous`",
    )
