"""An agent's pull beside a capture: gaps, rates, stale series, and that nothing gets out."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.pulling import AgentPull
from gatherer.agents.record import AgentRecord
from gatherer.agents.report import AgentReport
from gatherer.agents.scrape.exposition import Reading, Sample
from gatherer.agents.scrape.source import Scrape
from gatherer.agents.scrape.sources import Gap
from gatherer.clock import CaptureClock
from gatherer.errors import ScrapeError
from gatherer.kube.objects.models import Container, ContainerState, Pod
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.values import Target
from tests.unit.gatherer.scripted import HELLO, RecordingView

TARGET = Target("kubernetes", "ctx", "shop", "web-0", "app", "node1")
FILTER = ContainerFilter("shop", "web-0", "app")
ID = {"container_id": "/k8s/shop/web-0/app"}
_seconds = itertools.count(1000, 10)

Outcome = list[Sample] | Exception


def samples(rss: float = 1.0, cpu: float = 1.0) -> list[Sample]:
    return [
        Sample("container_resources_memory_rss_bytes", "gauge", ID, rss),
        Sample("container_resources_cpu_usage_seconds_total", "counter", ID, cpu),
        Sample("node_uptime_seconds", "gauge", {}, 5),
    ]


class ScriptedSource:
    """Gives one outcome after the other; the last one again and again."""

    agent = None
    own = False

    def __init__(self, *outcomes: Outcome, kind: str = "coroot") -> None:
        self.kind = kind
        self.where = f"agents/{kind}-1, port 80 by pods/proxy"
        self.asked = asyncio.Event()
        self.reads = 0
        self.forgotten: list[ContainerFilter] = []
        self.announced = ""
        self._outcomes = list(outcomes)

    async def read(self, wanted: ContainerFilter, max_age: float) -> Scrape:
        self.reads += 1
        self.asked.set()
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        reading = Reading(2, len(outcome), (), (tuple(outcome),), others=3)
        return Scrape(time.time_ns(), float(next(_seconds)), tuple(outcome), reading, b"# raw\n")

    def claim(self, owner: object) -> bool:
        return True

    def announce(self, cause: str) -> bool:
        news, self.announced = cause != self.announced, cause
        return news

    def forget(self, wanted: ContainerFilter) -> None:
        self.forgotten.append(wanted)


class ScriptedSources:
    def __init__(self, *sources: ScriptedSource, gaps: tuple[Gap, ...] = ()) -> None:
        self._sources = sources
        self._gaps = gaps
        self.pods: list[Pod | None] = [pod("running")]

    async def find(self, target: Target) -> tuple[list[ScriptedSource], list[Gap]]:
        assert target == TARGET
        return list(self._sources), list(self._gaps)

    async def read_pod(self, target: Target) -> Pod | None:
        return self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]


def pod(kind: str, container_id: str = "containerd://1") -> Pod:
    state = ContainerState(kind, started_at="2026-01-01T00:00:00Z")
    return Pod(
        "shop", "web-0", containers=(Container("app", state=state, container_id=container_id),)
    )


class Harness:
    def __init__(self, path: Path, sources: ScriptedSources) -> None:
        self.path = path / "capture"
        self.view = RecordingView()
        self.directory = CaptureDirectory(self.path)
        self.directory.begin()
        self.clock: CaptureClock | None = CaptureClock(HELLO)
        record = AgentRecord(self.directory, self.view, lambda: self.clock)  # type: ignore[arg-type]
        self.pull = AgentPull(sources, TARGET, FILTER, record, 0.0, lambda: 1)  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.path / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def finish(self) -> list[AgentReport]:
        reports = await self.pull.finish()
        self.directory.close()
        return reports


async def test_samples_and_rates_are_written_on_the_capture_clock(tmp_path: Path) -> None:
    source = ScriptedSource(samples(cpu=1.0), samples(cpu=3.0))
    harness = Harness(tmp_path, ScriptedSources(source))
    harness.pull.start()
    await harness.until(lambda: source.reads >= 2)
    (report,) = await harness.finish()
    lines = harness.lines("metrics.jsonl")
    assert list(lines[0]) == ["time", "agent", "name", "type", "labels", "value"]
    cpu = [line for line in lines if line["name"].endswith("cpu_usage_seconds_total")]
    assert "rate" not in cpu[0]
    assert (cpu[1]["value"], cpu[1]["rate"]) == (3, 0.2)
    # HELLO's clock is far from this machine's.
    assert {line["time"][:4] for line in lines} == {HELLO_YEAR}
    assert report.scrapes == source.reads
    assert report.as_json()["measures"]["cpu_usage"]["delta"] == 2.0
    assert (harness.path / "agents" / "coroot-first.prom").read_bytes() == b"# raw\n"
    assert (harness.path / "agents" / "coroot-last.prom").stat().st_mode & 0o777 == 0o600
    assert source.forgotten


HELLO_YEAR = CaptureClock(HELLO).time(HELLO.monotonic_ns)[:4]


async def test_a_gap_is_one_event_at_its_start_and_one_at_its_end(tmp_path: Path) -> None:
    slow = ScrapeError("no answer within 10 s", "see whether the agent is short of CPU")
    source = ScriptedSource(samples(), slow, slow, samples())
    harness = Harness(tmp_path, ScriptedSources(source))
    harness.pull.start()
    await harness.until(lambda: source.reads >= 4)
    (report,) = await harness.finish()
    begun, ended = harness.lines("events.jsonl")
    assert begun["event"] == ended["event"] == "agent_gap"
    assert begun["cause"] == f"{source.where}: no answer within 10 s"
    assert begun["remedy"] == "see whether the agent is short of CPU"
    assert ended["missed"] == 2
    assert (report.gaps, report.missed) == (1, 2)
    assert [event[1] for event in harness.view.events] == ["agent_gap", "agent_gap"]


async def test_a_missing_agent_is_said_with_what_to_do(tmp_path: Path) -> None:
    gap = Gap("auto", "no coroot-node-agent on node node1", "give --agent URL")
    harness = Harness(tmp_path, ScriptedSources(gaps=(gap,)))
    harness.pull.start()
    await harness.until(lambda: harness.view.events)
    (report,) = await harness.finish()
    assert report.text() == [
        "agents: no coroot-node-agent on node node1",
        "  give --agent URL",
    ]
    assert len(harness.lines("events.jsonl")) == 1


async def test_an_agent_that_nobody_asked_for_is_missed_in_one_line(tmp_path: Path) -> None:
    gap = Gap("auto", "no coroot-node-agent on node node1", "give --agent URL", asked=False)
    harness = Harness(tmp_path, ScriptedSources(gaps=(gap,)))
    harness.pull.start()
    await harness.until(lambda: harness.view.events)
    (report,) = await harness.finish()
    assert report.text() == ["agents: no coroot-node-agent on node node1"]
    (event,) = harness.lines("events.jsonl")
    assert (event["event"], event["asked"]) == ("agent_gap", False)


async def test_series_of_a_dead_container_are_stale(tmp_path: Path) -> None:
    source = ScriptedSource(samples(rss=5))
    sources = ScriptedSources(source)
    sources.pods = [pod("running"), pod("terminated")]
    harness = Harness(tmp_path, sources)
    harness.pull.start()
    await harness.until(lambda: source.reads >= 3)
    await harness.finish()
    rss = [line for line in harness.lines("metrics.jsonl") if "rss" in line["name"]]
    assert "stale" not in rss[0]
    assert rss[-1]["stale"] is True
    node = [line for line in harness.lines("metrics.jsonl") if line["name"].startswith("node_")]
    assert not any("stale" in line for line in node)


async def test_series_are_stale_until_they_move_after_a_restart(tmp_path: Path) -> None:
    old, new = samples(rss=5, cpu=9), samples(rss=1, cpu=0.1)
    source = ScriptedSource(old, old, old, new)
    sources = ScriptedSources(source)
    again = pod("running", "containerd://2")
    sources.pods = [pod("running"), again]
    harness = Harness(tmp_path, sources)
    harness.pull.start()
    await harness.until(lambda: source.reads >= 5)
    (report,) = await harness.finish()
    rss = [line for line in harness.lines("metrics.jsonl") if "rss" in line["name"]]
    assert [line.get("stale", False) for line in rss[:4]] == [False, True, True, False]
    assert report.as_json()["measures"]["rss"]["after"] == 1


async def test_what_comes_before_the_clock_is_written_later(tmp_path: Path) -> None:
    source = ScriptedSource(samples())
    harness = Harness(tmp_path, ScriptedSources(source))
    clock, harness.clock = harness.clock, None
    harness.pull.start()
    await harness.until(lambda: source.reads >= 2)
    assert harness.lines("metrics.jsonl") == []
    harness.clock = clock
    await harness.finish()
    assert len(harness.lines("metrics.jsonl")) == 3 * source.reads


async def test_a_full_disk_ends_the_writing_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedSource(samples())
    harness = Harness(tmp_path, ScriptedSources(source))
    (harness.path / "metrics.jsonl").mkdir()
    harness.pull.start()
    await harness.until(lambda: source.reads >= 3)
    await harness.finish()
    (note,) = harness.view.notes
    assert note.startswith("no more agent samples are written: cannot write")


async def test_a_defect_of_ours_is_a_note(tmp_path: Path) -> None:
    source = ScriptedSource(RuntimeError("boom"))
    harness = Harness(tmp_path, ScriptedSources(source))
    harness.pull.start()
    await harness.until(lambda: harness.view.notes)
    await harness.finish()
    assert harness.view.notes == ["agents are not pulled any more: unexpected RuntimeError: boom"]


async def test_two_of_a_kind_have_two_names(tmp_path: Path) -> None:
    sources = ScriptedSources(ScriptedSource(samples()), ScriptedSource(samples()))
    harness = Harness(tmp_path, sources)
    harness.pull.start()
    await harness.until(lambda: all(source.reads for source in sources._sources))
    reports = await harness.finish()
    assert [report.name for report in reports] == ["coroot", "coroot-2"]
    assert {line["agent"] for line in harness.lines("metrics.jsonl")} == {"coroot", "coroot-2"}


async def test_cancelling_ends_it_at_once(tmp_path: Path) -> None:
    class Hanging(ScriptedSource):
        async def read(self, wanted: ContainerFilter, max_age: float) -> Scrape:
            self.asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    source = Hanging(samples())
    harness = Harness(tmp_path, ScriptedSources(source))
    harness.pull.start()
    await source.asked.wait()
    await harness.pull.cancel()
    harness.directory.close()
    assert source.forgotten


async def test_a_gap_that_another_capture_has_shown_is_only_written(tmp_path: Path) -> None:
    gap = Gap("auto", "no coroot-node-agent on node node1", "give --agent URL", shown=True)
    source = ScriptedSource(ScrapeError("no answer within 10 s"))
    source.announce(f"{source.where}: no answer within 10 s")
    harness = Harness(tmp_path, ScriptedSources(source, gaps=(gap,)))
    harness.pull.start()
    await harness.until(lambda: len(harness.lines("events.jsonl")) == 2)
    await harness.finish()
    assert harness.view.events == []
