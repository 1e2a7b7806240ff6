"""Pulls the agents of one target while it is captured.

Runs beside the capture, and can neither end it nor hold it up: every error of an agent is a gap,
every wait has a limit, parsing happens in another process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gatherer.agents.container_filter import Selection
from gatherer.agents.container_status import ContainerStatus
from gatherer.agents.diagnostics import Reach, Visit
from gatherer.agents.kinds.analysis import ANALYSES, Analysis, NoAnalysis
from gatherer.agents.kinds.coroot import Surroundings
from gatherer.agents.record import AgentRecord, Row
from gatherer.agents.report import AgentReport, unfound
from gatherer.agents.scrape.source import Scrape, Source
from gatherer.agents.scrape.sources import AUTO, Gap, Sources
from gatherer.agents.series.rates import Rates
from gatherer.agents.series.staleness import Staleness
from gatherer.errors import GathererError, ScrapeError
from gatherer.patience import within
from gatherer.runtimes import Target
from gatherer.text import printable

SLICE = 250
"""Samples that are worked on at a time: a few milliseconds."""
FLUSH_SECONDS = 0.2
"""Time between two looks for hunter's Hello."""
LAST_SECONDS = 5.0
"""How long the last scrape of a capture may take."""


@dataclass
class _Following:
    """One agent, as this capture sees it."""

    source: Source
    name: str
    rates: Rates = field(default_factory=Rates)
    analysis: Analysis | None = None
    selection: Selection = field(default_factory=Selection)
    scrapes: int = 0
    gaps: int = 0
    missed: int = 0
    samples: int = 0
    others: int = 0
    gap_since: float | None = None
    trouble: str = ""
    visit: Visit | None = None
    staleness: Staleness = field(default_factory=Staleness)
    body: bytes = b""


class AgentPull:
    """The agents of one capture.

    Args:
        sources: all agents.
        target: what is captured.
        selection: which samples are kept.
        record: what is left behind.
        interval: seconds between two scrapes.
        cgroup_version: gives the node's, 0 while unknown.
        heap: whether the agents' own heaps are profiled.
        reach: how another process gets to the cluster.
    """

    def __init__(
        self,
        sources: Sources,
        target: Target,
        selection: Selection,
        record: AgentRecord,
        interval: float,
        cgroup_version: Callable[[], int],
        heap: bool = False,
        reach: Reach | None = None,
    ) -> None:
        self._sources = sources
        self._target = target
        self._selected = selection
        self._record = record
        self._interval = interval
        self._cgroup_version = cgroup_version
        self._heap = heap
        self._reach = reach or Reach()
        self._following: list[_Following] = []
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._container = ContainerStatus(sources, target, interval / 2)
        self._unfound: list[Gap] = []

    def start(self) -> None:
        """Begins; the first scrape is the one before."""
        self._task = asyncio.ensure_future(self._run())

    def greeted(self) -> None:
        """Writes what came before hunter's Hello, in front of what hunter says."""
        self._record.flush()

    def stop(self) -> None:
        """Lets the scrapes that are due be the last ones."""
        self._stopping.set()
        for following in self._following:
            if following.visit is not None:
                following.visit.stop()

    async def finish(self) -> list[AgentReport]:
        """Scrapes for the last time and returns what the agents gave; takes 5 s at most."""
        self.stop()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=LAST_SECONDS)
        await self.cancel()
        for following in self._following:
            if not following.scrapes and not following.gaps:
                self._missed(
                    following,
                    ScrapeError("no answer until the capture ended", "let the capture run longer"),
                )
        self._record.flush()
        for following in self._following:
            if following.scrapes > 1 and following.source.claim(self):
                await self._record.keep_large(f"{following.name}-last.prom", following.body)
        reports = [self._report(following) for following in self._following]
        return reports + [unfound(gap) for gap in self._unfound]

    async def cancel(self) -> None:
        """Ends at once."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for following in self._following:
            following.source.forget(following.selection)

    async def _run(self) -> None:
        try:
            await self._pull()
        except Exception as error:
            # Whatever is wrong here is no reason to end a capture.
            while isinstance(error, ExceptionGroup):  # type: ignore[name-defined,unused-ignore]
                error = error.exceptions[0]
            self._record.note(
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
            self._say_gap(gap.agent, gap.cause, gap.remedy, not gap.shown, gap.asked)
        names: dict[str, int] = {}
        for source in found:
            names[source.kind] = names.get(source.kind, 0) + 1
            number = names[source.kind]
            name = source.kind if number == 1 else f"{source.kind}-{number}"
            self._following.append(_Following(source, name, selection=self._selection(source)))
        self._unfound = [gap for gap in gaps if gap.agent not in names]
        reported = {gap.agent for gap in gaps}
        async with asyncio.TaskGroup() as tasks:  # type: ignore[attr-defined,unused-ignore]
            tasks.create_task(self._flush())
            for each in self._following:
                tasks.create_task(self._follow(each, each.name in reported))
                each.visit = Visit(
                    each.source,
                    each.name,
                    self._sources,
                    self._record,
                    self._container.read_id,
                    self._heap,
                    self._reach,
                )
                if each.source.agent is not None:
                    each.visit.known.set()
                tasks.create_task(each.visit.run())

    def _selection(self, source: Source) -> Selection:
        return replace(self._selected, own=source.own)

    async def _follow(self, following: _Following, reported: bool) -> None:
        """Scrapes one agent until the capture ends, and once more then."""
        if reported:
            following.gap_since, following.gaps = time.monotonic(), 1
            following.source.announce("it does not run")
        max_age = self._interval / 2
        while True:
            last = self._stopping.is_set()
            begun = time.monotonic()
            try:
                scrape = await following.source.read(following.selection, 0 if last else max_age)
            except GathererError as error:
                self._missed(following, error)
            else:
                await self._take(following, scrape)
            if last:
                break
            wait = max(0.0, begun + self._interval - time.monotonic())
            try:
                async with within(wait):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    def _missed(self, following: _Following, error: GathererError) -> None:
        following.missed += 1
        if following.gap_since is None:
            following.gap_since = time.monotonic()
            following.gaps += 1
            following.trouble = str(error)
            cause = f"{following.source.where}: {error.cause}"
            news = following.source.announce(cause)
            self._say_gap(following.name, cause, error.remedy, news)

    async def _take(self, following: _Following, scrape: Scrape) -> None:
        if following.gap_since is not None:
            seconds = round(time.monotonic() - following.gap_since, 3)
            following.gap_since = None
            self._record.gap(
                {"agent": following.name, "ended_after_s": seconds, "missed": following.missed},
                following.source.announce(""),
            )
        if following.analysis is None:
            self._name(following)
            following.analysis = ANALYSES.get(following.source.kind, NoAnalysis)()
            if following.source.claim(self):
                await self._record.keep_large(f"{following.name}-first.prom", scrape.body)
            if following.visit is not None:
                following.visit.name = following.name
                following.visit.known.set()
        container = await self._container.read()
        rows: list[Row] = []
        stale = following.staleness.judge(
            scrape.samples, following.selection, container, self._container.generation
        )
        for start in range(0, len(scrape.samples), SLICE):
            part = [
                (
                    sample,
                    following.rates.observe(sample, scrape.seconds),
                    stale and following.selection.is_container(sample.labels),
                )
                for sample in scrape.samples[start : start + SLICE]
            ]
            rows += part
            self._record.metrics(scrape.time_ns, following.name, part)
            # The stream of the capture has its turn in between.
            await asyncio.sleep(0)
        following.analysis.observe(rows, scrape.seconds)
        following.scrapes += 1
        following.samples += len(rows)
        following.others = scrape.reading.others
        following.body = scrape.body

    def _name(self, following: _Following) -> None:
        """A URL is named after what it turned out to be."""
        if following.source.agent is not None:
            return
        kind = following.source.kind
        taken = {each.name for each in self._following if each is not following}
        number = 1
        name = kind
        while name in taken:
            number += 1
            name = f"{kind}-{number}"
        following.name = name

    def _say_gap(self, agent: str, cause: str, remedy: str, show: bool, asked: bool = True) -> None:
        fields: dict[str, object] = {"agent": agent, "cause": printable(cause, 300)}
        if not asked:
            fields["asked"] = False
        if remedy:
            fields["remedy"] = printable(remedy, 300)
        self._record.gap(fields, show)

    def _report(self, following: _Following) -> AgentReport:
        analysis = following.analysis
        around = Surroundings(self._cgroup_version(), self._container.age(), following.others)
        lines: list[str] = []
        if analysis is not None:
            lines = analysis.lines(around)
        elif following.missed or following.gaps:
            lines = [f"it gave nothing: {following.trouble or 'it does not run'}"]
        visit = following.visit
        facts = analysis.as_json() if analysis is not None else {}
        if visit is not None:
            lines += visit.lines
            facts |= visit.facts
        return AgentReport(
            following.name,
            following.source.where,
            following.scrapes,
            following.gaps,
            following.missed,
            following.samples,
            tuple(lines),
            facts,
        )
