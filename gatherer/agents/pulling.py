"""Pulls the agents of one target while it is captured.

Runs beside the capture, and can neither end it nor hold it up: every error of an agent is a gap,
every wait has a limit, parsing happens in another process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.container_status import ContainerStatus
from gatherer.agents.diagnostics import AgentDiagnostics, ClusterRef
from gatherer.agents.discovery import COLLECTOR, COROOT, PARCA
from gatherer.agents.kinds.analysis import Analysis, NoAnalysis, ScrapeContext
from gatherer.agents.kinds.collector import CollectorHealth
from gatherer.agents.kinds.coroot import MemoryIncident
from gatherer.agents.kinds.parca import AgentHealth
from gatherer.agents.record import AgentRecord, Row
from gatherer.agents.report import AgentReport, unfound
from gatherer.agents.scrape.source import Scrape, Source
from gatherer.agents.scrape.sources import AUTO, Gap, Sources
from gatherer.agents.series.rates import Rates
from gatherer.agents.series.staleness import Staleness
from gatherer.errors import GathererError, ScrapeError
from gatherer.target.values import Target
from gatherer.text import printable
from gatherer.timeouts import within

SLICE = 250
"""Samples that are worked on at a time: a few milliseconds."""
FLUSH_SECONDS = 0.2
"""Time between two looks for hunter's Hello."""
LAST_SECONDS = 5.0
"""How long the last scrape of a capture may take."""
_ANALYSES: dict[str, Callable[[], Analysis]] = {
    COROOT: MemoryIncident,
    PARCA: AgentHealth,
    COLLECTOR: CollectorHealth,
}


@dataclass
class _PulledAgent:
    """One agent, as this capture sees it."""

    source: Source
    name: str
    container_filter: ContainerFilter
    rates: Rates = field(default_factory=Rates)
    analysis: Analysis | None = None
    scrapes: int = 0
    gaps: int = 0
    missed: int = 0
    samples: int = 0
    others: int = 0
    gap_since: float | None = None
    last_error: str = ""
    diagnostics: AgentDiagnostics | None = None
    staleness: Staleness = field(default_factory=Staleness)
    body: bytes = b""


class AgentPull:
    """The agents of one capture.

    Args:
        sources: all agents.
        target: what is captured.
        container_filter: which samples are kept.
        record: what is left behind.
        interval: seconds between two scrapes.
        cgroup_version: gives the node's, 0 while unknown.
        heap: whether the agents' own heaps are profiled.
        cluster: as another process finds it.
    """

    def __init__(
        self,
        sources: Sources,
        target: Target,
        container_filter: ContainerFilter,
        record: AgentRecord,
        interval: float,
        cgroup_version: Callable[[], int],
        heap: bool = False,
        cluster: ClusterRef | None = None,
    ) -> None:
        self._sources = sources
        self._target = target
        self._filter = container_filter
        self._record = record
        self._interval = interval
        self._cgroup_version = cgroup_version
        self._heap = heap
        self._cluster = cluster or ClusterRef()
        self._agents: list[_PulledAgent] = []
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._container = ContainerStatus(sources, target, interval / 2)
        self._unfound: list[Gap] = []

    def start(self) -> None:
        """Begins; the first scrape is the one before."""
        self._task = asyncio.ensure_future(self._run())

    def on_hello(self) -> None:
        """Writes what came before hunter's Hello, in front of what hunter says."""
        self._record.flush()

    def stop(self) -> None:
        """Lets the scrapes that are due be the last ones."""
        self._stopping.set()
        for agent in self._agents:
            if agent.diagnostics is not None:
                agent.diagnostics.stop()

    async def finish(self) -> list[AgentReport]:
        """Scrapes for the last time and returns what the agents gave; takes 5 s at most."""
        self.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=LAST_SECONDS)
        await self.cancel()
        for agent in self._agents:
            if not agent.scrapes and not agent.gaps:
                self._record_miss(
                    agent,
                    ScrapeError("no answer until the capture ended", "let the capture run longer"),
                )
        self._record.flush()
        for agent in self._agents:
            if agent.scrapes > 1 and agent.source.claim(self):
                await self._record.keep(f"{agent.name}-last.prom", agent.body)
        reports = [self._report(agent) for agent in self._agents]
        return reports + [unfound(gap) for gap in self._unfound]

    async def cancel(self) -> None:
        """Ends at once."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for agent in self._agents:
            agent.source.forget(agent.container_filter)

    async def _run(self) -> None:
        try:
            await self._pull()
        except Exception as error:
            # Whatever is wrong here is no reason to end a capture.
            while isinstance(error, ExceptionGroup):  # type: ignore[name-defined,unused-ignore]
                error = error.exceptions[0]
            self._record.show(
                f"agents are not pulled any more: unexpected {type(error).__name__}: {error}"
            )

    async def _flush(self) -> None:
        """Writes what came before hunter's Hello as soon as it is there."""
        while not self._record.flush():
            try:
                async with within(FLUSH_SECONDS):
                    await self._stopping.wait()
                    return
            except TimeoutError:
                pass

    async def _pull(self) -> None:
        try:
            found, gaps = await self._sources.find(self._target)
        except GathererError as error:
            found, gaps = (
                [],
                [Gap(AUTO, error.cause, error.remedy, asked=AUTO not in self._sources.wanted)],
            )
        for gap in gaps:
            self._record_gap(gap.agent, gap.cause, gap.remedy, not gap.shown, gap.asked)
        names: dict[str, int] = {}
        for source in found:
            names[source.kind] = names.get(source.kind, 0) + 1
            number = names[source.kind]
            name = source.kind if number == 1 else f"{source.kind}-{number}"
            wanted = replace(self._filter, own=source.own)
            self._agents.append(_PulledAgent(source, name, wanted))
        self._unfound = [gap for gap in gaps if gap.agent not in names]
        reported = {gap.agent for gap in gaps}
        async with asyncio.TaskGroup() as tasks:  # type: ignore[attr-defined,unused-ignore]
            tasks.create_task(self._flush())
            for each in self._agents:
                tasks.create_task(self._pull_agent(each, each.name in reported))
                each.diagnostics = AgentDiagnostics(
                    each.source,
                    each.name,
                    self._sources,
                    self._record,
                    self._container.read_id,
                    self._heap,
                    self._cluster,
                )
                if each.source.agent is not None:
                    each.diagnostics.known.set()
                tasks.create_task(each.diagnostics.run())

    async def _pull_agent(self, agent: _PulledAgent, reported: bool) -> None:
        """Scrapes one agent until the capture ends, and once more then."""
        if reported:
            agent.gap_since, agent.gaps = time.monotonic(), 1
            agent.source.announce("it does not run")
        max_age = self._interval / 2
        while True:
            last = self._stopping.is_set()
            begun = time.monotonic()
            try:
                scrape = await agent.source.read(agent.container_filter, 0 if last else max_age)
            except GathererError as error:
                self._record_miss(agent, error)
            else:
                await self._apply_scrape(agent, scrape)
            if last:
                break
            wait = max(0.0, begun + self._interval - time.monotonic())
            try:
                async with within(wait):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    def _record_miss(self, agent: _PulledAgent, error: GathererError) -> None:
        agent.missed += 1
        if agent.gap_since is None:
            agent.gap_since = time.monotonic()
            agent.gaps += 1
            agent.last_error = str(error)
            cause = f"{agent.source.where}: {error.cause}"
            news = agent.source.announce(cause)
            self._record_gap(agent.name, cause, error.remedy, news)

    async def _apply_scrape(self, agent: _PulledAgent, scrape: Scrape) -> None:
        if agent.gap_since is not None:
            seconds = round(time.monotonic() - agent.gap_since, 3)
            agent.gap_since = None
            self._record.gap(
                {"agent": agent.name, "ended_after_s": seconds, "missed": agent.missed},
                agent.source.announce(""),
            )
        if agent.analysis is None:
            self._name(agent)
            agent.analysis = _ANALYSES.get(agent.source.kind, NoAnalysis)()
            if agent.source.claim(self):
                await self._record.keep(f"{agent.name}-first.prom", scrape.body)
            if agent.diagnostics is not None:
                agent.diagnostics.name = agent.name
                agent.diagnostics.known.set()
        container = await self._container.read()
        rows: list[Row] = []
        stale = agent.staleness.is_stale(
            scrape.samples, agent.container_filter, container, self._container.generation
        )
        for start in range(0, len(scrape.samples), SLICE):
            part = [
                (
                    sample,
                    agent.rates.observe(sample, scrape.seconds),
                    stale and agent.container_filter.is_container(sample.labels),
                )
                for sample in scrape.samples[start : start + SLICE]
            ]
            rows += part
            self._record.metrics(scrape.time_ns, agent.name, part)
            # The stream of the capture has its turn in between.
            await asyncio.sleep(0)
        agent.analysis.observe(rows, scrape.seconds)
        agent.scrapes += 1
        agent.samples += len(rows)
        agent.others = scrape.reading.others
        agent.body = scrape.body

    def _name(self, agent: _PulledAgent) -> None:
        """A URL is named after what it turned out to be."""
        if agent.source.agent is not None:
            return
        kind = agent.source.kind
        taken = {each.name for each in self._agents if each is not agent}
        number = 1
        name = kind
        while name in taken:
            number += 1
            name = f"{kind}-{number}"
        agent.name = name

    def _record_gap(
        self, agent: str, cause: str, remedy: str, show: bool, asked: bool = True
    ) -> None:
        fields: dict[str, object] = {"agent": agent, "cause": printable(cause, 300)}
        if not asked:
            fields["asked"] = False
        if remedy:
            fields["remedy"] = printable(remedy, 300)
        self._record.gap(fields, show)

    def _report(self, agent: _PulledAgent) -> AgentReport:
        analysis = agent.analysis
        context = ScrapeContext(self._cgroup_version(), self._container.age(), agent.others)
        lines: list[str] = []
        if analysis is not None:
            lines = analysis.lines(context)
        elif agent.missed or agent.gaps:
            lines = [f"it gave nothing: {agent.last_error or 'it does not run'}"]
        diagnostics = agent.diagnostics
        facts = analysis.as_json() if analysis is not None else {}
        if diagnostics is not None:
            lines += diagnostics.lines
            facts |= diagnostics.facts
        return AgentReport(
            agent.name,
            agent.source.where,
            agent.scrapes,
            agent.gaps,
            agent.missed,
            agent.samples,
            tuple(lines),
            facts,
        )
