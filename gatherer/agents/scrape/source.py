"""One agent, scraped at most once for all captures that want to know what it says.

A scrape is dear to an agent (coroot reads /proc and pings its upstreams), so captures of several
containers of a node share what came last.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.discovery import PROMETHEUS, AgentPod
from gatherer.agents.scrape.endpoints import Endpoint, Limits
from gatherer.agents.scrape.exposition import ACCEPT, Reading, Sample, media_type
from gatherer.agents.scrape.parser import Parser
from gatherer.errors import ScrapeError
from gatherer.text import printable


@dataclass(frozen=True)
class Scrape:
    """One scrape, for one capture.

    Attributes:
        time_ns: gatherer's CLOCK_REALTIME when the answer came.
        seconds: the same moment on CLOCK_MONOTONIC.
        samples: what the filter kept.
        reading: the rest.
        body: the exposition.
    """

    time_ns: int
    seconds: float
    samples: tuple[Sample, ...]
    reading: Reading
    body: bytes


class Source:
    """One agent.

    Args:
        kind: one of the kinds of `discovery`.
        endpoint: its server.
        path: of its metrics.
        parser: parses what it says.
        limits: what a scrape may cost.
        agent: its pod, None for a URL.
        own: whether it is in the target's pod.

    Attributes:
        kind: as given; of a URL, `prometheus` until it has answered.
    """

    def __init__(
        self,
        kind: str,
        endpoint: Endpoint,
        path: str,
        parser: Parser,
        limits: Limits,
        agent: AgentPod | None = None,
        own: bool = False,
    ) -> None:
        self.kind = kind
        self.endpoint = endpoint
        self.agent = agent
        self.own = own
        self.path = path
        self._parser = parser
        self._limits = limits
        self._filters: list[ContainerFilter] = []
        self._lock = asyncio.Lock()
        self._latest: tuple[float, _Latest | ScrapeError] | None = None
        self._announced = ""
        self._owner: object = None

    @property
    def where(self) -> str:
        """Its address and the way to it."""
        return self.endpoint.where

    async def read(self, wanted: ContainerFilter, max_age: float) -> Scrape:
        """Returns what the agent says, no older than asked for.

        Args:
            wanted: what to keep.
            max_age: seconds since the scrape began.

        Raises:
            ScrapeError: nothing usable came.
        """
        if wanted not in self._filters:
            self._filters.append(wanted)
        asked = time.monotonic()
        async with self._lock:
            latest = self._latest
            if latest is None or latest[0] < asked - max_age or not _covers(latest[1], wanted):
                begun = time.monotonic()
                outcome: _Latest | ScrapeError
                try:
                    outcome = await self._scrape()
                except ScrapeError as error:
                    outcome = error
                self._latest = latest = (begun, outcome)
        if isinstance(latest[1], ScrapeError):
            raise ScrapeError(latest[1].cause, latest[1].remedy)
        return latest[1].scrape(wanted)

    def claim(self, owner: object) -> bool:
        """Returns whether a capture is the one that keeps what the agent says as it comes.

        Args:
            owner: stands for the capture.
        """
        if self._owner is None:
            self._owner = owner
        return self._owner is owner

    def announce(self, cause: str) -> bool:
        """Takes note of a gap; returns whether no capture has shown it yet.

        Args:
            cause: of the gap, empty when it is over.
        """
        news = cause != self._announced
        self._announced = cause
        return news

    def forget(self, wanted: ContainerFilter) -> None:
        """Does not keep for this filter any more."""
        if wanted in self._filters:
            self._filters.remove(wanted)

    async def _scrape(self) -> _Latest:
        answer = await self.endpoint.fetch("GET", self.path, accept=ACCEPT, limits=self._limits)
        time_ns, seconds = time.time_ns(), time.monotonic()
        if answer.status in (401, 403):
            raise ScrapeError(
                f"it wants credentials ({answer.status})",
                "give its address as --agent http://USER:PASSWORD@HOST:PORT/metrics",
            )
        if answer.status != 200:
            text = printable(" ".join(answer.body[:200].decode("utf-8", "replace").split()), 80)
            raise ScrapeError(
                f"it answers {answer.status} to {printable(self.path, 80)}: {text}",
                "check port and path of the agent",
            )
        filters = tuple(self._filters)
        reading = await self._parser.parse(answer.body, media_type(answer.content_type), filters)
        if self.agent is None:
            self.kind = kind_of(reading.names)
        return _Latest(time_ns, seconds, filters, reading, answer.body)


@dataclass(frozen=True)
class _Latest:
    time_ns: int
    seconds: float
    filters: tuple[ContainerFilter, ...]
    reading: Reading
    body: bytes

    def scrape(self, wanted: ContainerFilter) -> Scrape:
        kept = self.reading.kept[self.filters.index(wanted)]
        return Scrape(self.time_ns, self.seconds, kept, self.reading, self.body)


def _covers(outcome: _Latest | ScrapeError, wanted: ContainerFilter) -> bool:
    return isinstance(outcome, ScrapeError) or wanted in outcome.filters


def kind_of(names: tuple[str, ...]) -> str:
    """Returns the kind of agent that exposes these families.

    Args:
        names: of the families.
    """
    if any(name.startswith("rox_c") for name in names):
        return "collector"
    if any(name.startswith("parca_") for name in names):
        return "parca"
    if "node_agent_info" in names or "container_resources_memory_rss_bytes" in names:
        return "coroot"
    return PROMETHEUS
