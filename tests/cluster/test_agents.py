"""Node agents beside real captures, and everything that can be wrong with one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gatherer.agents.collector_heap import HeapProfiler, ProfileRequest
from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.discovery import find_agents
from gatherer.agents.pulling import AgentPull
from gatherer.agents.record import AgentRecord
from gatherer.agents.report import AgentReport
from gatherer.agents.scrape.endpoints import Limits
from gatherer.agents.scrape.sources import Sources
from gatherer.clock import CaptureClock
from gatherer.errors import ScrapeError
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.values import Target
from tests.cluster.agent_pods import agent_pod
from tests.cluster.captures import until
from tests.cluster.kube_access import access_to
from tests.cluster.standin.harness import StandInCluster, pod_manifest
from tests.integration.node_exporter import MISSING, PROGRAM
from tests.unit.gatherer.scripted import HELLO, RecordingView

MIB = 1 << 20
YOUNG = {"MIN_AGE_SECONDS": "0"}
COROOT = "coroot-node-agent-x1b2c"


def gatherer(
    cluster: StandInCluster, output: Path, *arguments: str, context: str = "admin"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "gatherer", "--kubeconfig", str(cluster.kubeconfig)),
            *("--context", context, "--plain", "-o", str(output), *arguments),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def summary_of(output: str) -> dict[str, str]:
    """The lines under the agents of a summary, by their first word; the last agent's win."""
    lines = [line[2:] for line in output.splitlines() if line.startswith("  ") and ": " in line]
    return dict(line.split(": ", 1) for line in lines)


def heap_state(cluster: StandInCluster, namespace: str = "default") -> str:
    body = cluster.proxy("collector-x1b2c:8080", "profile", namespace=namespace)
    return str(json.loads(body)["heap"])


class CgroupWatch:
    """Reads what the container's cgroup has, again and again."""

    def __init__(self, cgroup: Path) -> None:
        self.samples: list[tuple[float, int]] = []
        self._cgroup = cgroup
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> CgroupWatch:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._stop.set()
        self._thread.join()

    def around(self, when: float) -> tuple[int, int]:
        """The least and the most between 0.3 s before and after a time."""
        near = [rss for at, rss in self.samples if abs(at - when) < 0.3]
        return min(near), max(near)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            text = (self._cgroup / "memory.stat").read_text()
            stat = {key: int(value) for key, value in (line.split() for line in text.splitlines())}
            if "total_rss" in stat:
                rss = stat["total_rss"] + stat["total_mapped_file"]
            else:
                rss = stat["anon"] + stat["file_mapped"]
            self.samples.append((time.time(), rss))


def test_a_capture_with_an_agent_of_each_kind(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    make_agent: Callable[..., str],
    tmp_path: Path,
) -> None:
    make_agent("coroot", namespace="coroot", env=YOUNG)
    make_agent("parca", namespace="parca")
    introspection = {"ROX_COLLECTOR_INTROSPECTION_ENABLE": "true"}
    make_agent("collector", namespace="stackrox", env=introspection)
    make_pod(
        pod_manifest(
            "leaker",
            ["python3", "/app/leak.py"],
            container="app",
            env={"CAP_MIB": "100", "GROW_MIB_PER_SECOND": "10"},
            memory="256Mi",
        )
    )
    output = tmp_path / "logs"
    with CgroupWatch(cluster.cgroup("leaker", "app")) as watch:
        done = gatherer(
            cluster, output, "-p", "leaker", "-m", "5", "-f", "1", "--duration", "6",
            "--agent-interval", "1", "--agent-heap",
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json_lines(output / "metrics.jsonl")
    assert {line["agent"] for line in lines} == {"coroot", "parca", "collector"}
    rss = [line for line in lines if line["name"] == "container_resources_memory_rss_bytes"]
    assert len(rss) >= 5
    for line in rss:
        assert line["labels"]["container_id"] == "/k8s/default/leaker/app"
        least, most = watch.around(datetime.fromisoformat(line["time"]).timestamp())
        assert 0.95 * least <= line["value"] <= 1.05 * most
    assert rss[-1]["value"] - rss[0]["value"] > 10 * MIB
    told = summary_of(done.stdout)
    assert told["rss"].endswith("MiB") and " during, " in told["rss"]  # noqa: PT018
    assert told["limit"].startswith("256.0 MiB")
    assert "before" in told["cache"]
    assert "cgroup v1" in told["memory pressure"] or "some" in told["memory pressure"]
    assert told["oom kills"].startswith("none yet")
    assert told["throttled"].startswith("+")
    assert " connects; " in told["connections"]
    assert told["node"].startswith("kernel ")
    session = json.loads((output / "session.json").read_text())
    assert [agent["agent"] for agent in session["agents"]] == ["coroot", "parca", "collector"]
    measures = session["agents"][0]["measures"]
    assert measures["rss"]["delta"] > 10 * MIB
    assert measures["connects"]["delta"] > 0
    connects = [line for line in lines if line["name"].endswith("successful_connects_total")]
    assert all(line["rate"] >= 0 for line in connects[1:])
    assert session["complete"] is True
    kept = output / "agents"
    assert (kept / "coroot-first.prom").exists()
    for agent in ("coroot", "parca"):
        assert (kept / f"{agent}-heap.pb.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (kept / "collector-heap.txt").read_text().startswith("heap profile:")
    assert heap_state(cluster, "stackrox") == "off"
    assert json.loads((kept / "collector-diagnostics.json").read_text())["case"] == "ok"
    assert "Collector Startup Diagnostics" in (kept / "collector.log").read_text()
    network = json.loads((kept / "collector-network.json").read_text())
    assert network["container"] == cluster.container_id("leaker", "app")[:12]
    assert network["endpoints"] == ["TCP 0.0.0.0:8080"]
    assert told["ready"].startswith("ready, 3 of ")
    assert told["startup"].startswith("ok: connected to Sensor")


@pytest.mark.long
def test_slow_and_huge_agents_do_not_touch_the_capture(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("coroot", env={"FAULT": "slow"})
    make_agent("parca", env={"FAULT": "huge"})
    output = tmp_path / "logs"
    done = gatherer(
        cluster, output, "-p", "problempod", "-m", "5", "-f", "1", "--duration", "11",
        "--agent-interval", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    session = json.loads((output / "session.json").read_text())
    assert session["complete"] is True
    assert session["records"]["received"] > 500
    gaps = {
        event["agent"]: event
        for event in json_lines(output / "events.jsonl")
        if event["event"] == "agent_gap"
    }
    assert "no answer within 10 s" in gaps["coroot"]["cause"]
    assert "the answer is larger than 16 MiB" in gaps["parca"]["cause"]
    assert all(gap["remedy"] for gap in gaps.values())
    for agent in ("coroot", "parca"):
        said = [line for line in done.stdout.splitlines() if f" agent {agent}: " in line]
        assert len(said) == 1, "it is told once"


class Pull:
    """The agents of a container without a capture around them."""

    def __init__(self, cluster: StandInCluster, path: Path, **settings: Any) -> None:
        self.view = RecordingView()
        self.path = path / "capture"
        self._directory = CaptureDirectory(self.path)
        self._directory.begin()
        clock = CaptureClock(HELLO)
        record = AgentRecord(self._directory, self.view, lambda: clock)
        context = settings.pop("context", None)
        self.sources = Sources(
            settings.pop("wanted", ("auto",)),
            lambda: access_to(cluster, context),
            settings.pop("limits", Limits()),
        )
        pod = settings.pop("pod", "problempod")
        container = settings.pop("container", "buggycontainer")
        target = Target("kubernetes", "admin", "default", pod, container, "node1")
        self._pull = AgentPull(
            self.sources,
            target,
            ContainerFilter("default", pod, container),
            record,
            settings.pop("interval", 0.2),
            lambda: 1,
        )
        assert not settings

    async def run(self, until: Callable[[Pull], Any]) -> list[AgentReport]:
        """Pulls until something holds, and returns the reports."""
        self._pull.start()
        try:
            async with asyncio.timeout(60):
                while not until(self):
                    await asyncio.sleep(0.02)
            return await self._pull.finish()
        finally:
            await self._pull.cancel()
            self._directory.close()
            await self.sources.aclose()

    def metrics(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        return json_lines(path) if path.exists() else []

    def gaps(self) -> list[dict[str, Any]]:
        return [fields for _, event, _, fields in self.view.events if event == "agent_gap"]

    def rss(self) -> list[dict[str, Any]]:
        return [line for line in self.metrics() if line["name"].endswith("memory_rss_bytes")]


async def test_an_agent_on_another_node_is_said(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    make_pod(agent_pod("coroot", nodeName="node2"), wait=False)
    (report,) = await Pull(cluster, tmp_path).run(lambda pull: pull.gaps())
    assert report.where == "no coroot-node-agent on node node1, it runs on node2"
    assert "tolerations of its DaemonSet" in report.lines[0]


async def test_no_agent_at_all_is_said(cluster: StandInCluster, tmp_path: Path) -> None:
    pull = Pull(cluster, tmp_path)
    (report,) = await pull.run(lambda pull: pull.gaps())
    assert report.where == ("no coroot-node-agent, Parca agent, StackRox Collector on node node1")
    assert report.text() == [f"agents: {report.where}"]
    (gap,) = pull.gaps()
    assert (gap["agent"], gap["asked"]) == ("auto", False)


async def test_an_agent_behind_rbac_is_said(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("coroot")
    pull = Pull(cluster, tmp_path, context="execer")
    await pull.run(lambda pull: pull.gaps())
    (gap,) = pull.gaps()
    assert 'cannot get resource "pods/proxy"' in gap["cause"]
    assert "--verb=get --resource=pods/proxy" in gap["remedy"]


@pytest.mark.parametrize("context", ["proxier", "forwarder", "admin"])
async def test_either_way_is_enough(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path, context: str
) -> None:
    make_agent("coroot", env=YOUNG)
    (report,) = await Pull(cluster, tmp_path, context=context).run(lambda pull: pull.rss())
    way = "port-forward" if context == "forwarder" else "pods/proxy"
    assert report.where == f"default/{COROOT}, port 80 by {way}"


async def test_an_agent_on_its_loopback_is_reached_by_port_forward(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    """The listener of an agent that sends to a collector, under a manifest that declares 80."""
    make_agent("coroot", listen="127.0.0.1:10300", env={**YOUNG, "LISTEN": "127.0.0.1:10300"})
    pull = Pull(cluster, tmp_path)
    (report,) = await pull.run(lambda pull: pull.rss())
    assert report.where == f"default/{COROOT}, port 10300 by port-forward"
    assert pull.gaps() == []


async def test_on_loopback_without_the_right_to_forward_is_said(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("coroot", env={**YOUNG, "LISTEN": "127.0.0.1:10300"})
    pull = Pull(cluster, tmp_path, context="proxier")
    await pull.run(lambda pull: pull.gaps())
    (gap,) = pull.gaps()
    assert "its loopback is not reached" in gap["cause"]
    assert "--verb=get,create --resource=pods/portforward" in gap["remedy"]


async def test_a_crashing_agent_is_said(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    make_pod(agent_pod("collector", env={"STARTUP": "no-sensor"}), wait=False)
    cluster.wait_condition(
        "collector-x1b2c",
        lambda pod: (
            "waiting" in pod["status"]["containerStatuses"][0]["state"]
            and pod["status"]["containerStatuses"][0]["restartCount"] > 0
        ),
        "crash-looping",
    )
    pull = Pull(cluster, tmp_path)
    await pull.run(lambda pull: pull.gaps())
    gap = pull.gaps()[0]
    assert "StackRox Collector default/collector-x1b2c does not run" in gap["cause"]
    assert "Unable to connect to Sensor" in gap["cause"]
    assert "kubectl logs -n default collector-x1b2c collector --previous" in gap["remedy"]


@contextmanager
def fault(cluster: StandInCluster, name: str, pod: str = COROOT) -> Iterator[None]:
    cluster.proxy(f"{pod}:80", "standin/fault", name.encode())
    yield
    cluster.proxy(f"{pod}:80", "standin/fault", b"-")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "broke off"),
        ("truncated", "cut short"),
        ("401", "wants credentials (401)"),
        ("wrong-type", "no exposition: text/html"),
        ("garbage", "binary"),
    ],
)
async def test_a_fault_is_a_gap_that_ends_with_it(
    cluster: StandInCluster,
    make_agent: Callable[..., str],
    tmp_path: Path,
    name: str,
    words: str,
) -> None:
    make_agent("coroot", env=YOUNG)
    pull = Pull(cluster, tmp_path)

    def steps() -> Iterator[bool]:
        while len(pull.rss()) < 2:
            yield False
        with fault(cluster, name):
            while not pull.gaps():
                yield False
        while "ended_after_s" not in pull.gaps()[-1]:
            yield False
        yield True

    walk = steps()
    (report,) = await pull.run(lambda pull: next(walk))
    assert words in pull.gaps()[0]["cause"]
    assert pull.gaps()[0]["remedy"]
    assert (report.gaps, report.scrapes > 2) == (1, True)


async def test_open_metrics_and_a_restart_of_the_agent(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("coroot", env={**YOUNG, "FAULT": "openmetrics"})
    pull = Pull(cluster, tmp_path)

    def cpu() -> list[dict[str, Any]]:
        name = "container_resources_cpu_usage_seconds_total"
        return [line for line in pull.metrics() if line["name"] == name]

    def steps() -> Iterator[bool]:
        while len(cpu()) < 3:
            yield False
        cluster.proxy(f"{COROOT}:80", "standin/fault", b"restarted")
        while not any(line.get("reset") for line in cpu()):
            yield False
        yield True

    walk = steps()
    (report,) = await pull.run(lambda pull: next(walk))
    assert all(line["rate"] >= 0 for line in cpu()[1:])
    assert "(began again once)" in next(line for line in report.lines if "cpu:" in line)


async def test_a_young_container_is_explained(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("coroot", env={"MIN_AGE_SECONDS": "100000"})
    pull = Pull(cluster, tmp_path)
    (report,) = await pull.run(lambda pull: pull.metrics())
    assert report.lines[0].startswith("container: not exported")


async def test_series_of_a_killed_container_are_stale(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    make_agent: Callable[..., str],
    tmp_path: Path,
) -> None:
    make_agent("coroot", env=YOUNG)
    make_pod(pod_manifest("once", ["sleep", "1000000"], image="bare:dev", restartPolicy="Never"))
    pull = Pull(cluster, tmp_path, pod="once", container="main")

    def steps() -> Iterator[bool]:
        while not pull.rss():
            yield False
        cluster.kubectl("exec", "once", "--", "kill", "-9", "1")
        pid = cluster.host_pid("once", "main")
        subprocess.run(["kill", "-9", str(pid)], check=True)
        while not pull.rss()[-1].get("stale"):
            yield False
        yield True

    walk = steps()
    await pull.run(lambda pull: next(walk))
    assert "stale" not in pull.rss()[0]


async def test_captures_of_one_node_share_a_scrape(
    cluster: StandInCluster, make_agent: Callable[..., str]
) -> None:
    make_agent("coroot", env=YOUNG)
    sources = Sources(("coroot",), lambda: access_to(cluster))
    target = Target("kubernetes", "admin", "default", "problempod", "buggycontainer", "node1")
    try:
        ((one,), _), ((other,), _) = await sources.find(target), await sources.find(target)
        assert one is other
        filters = [
            ContainerFilter("default", "problempod", "buggycontainer"),
            ContainerFilter("a", "b", "c"),
        ]
        first = [await one.read(each, 60) for each in filters]
        again = [await one.read(each, 60) for each in filters]
    finally:
        await sources.aclose()
    assert again[0].seconds == again[1].seconds == first[1].seconds
    assert any(s.name == "container_resources_memory_rss_bytes" for s in again[0].samples)
    assert not any(s.name == "container_resources_memory_rss_bytes" for s in again[1].samples)


@asynccontextmanager
async def parser_of(sources: Sources) -> AsyncIterator[Any]:
    try:
        yield sources.parser
    finally:
        await sources.aclose()


async def test_the_parser_is_replaced_when_it_dies(cluster: StandInCluster) -> None:
    async with parser_of(Sources((), lambda: access_to(cluster))) as parser:
        assert (await parser.parse(b"x 1\n", "text/plain", [])).samples == 1
        await parser._process.aclose()
        assert (await parser.parse(b"x 1\ny 2\n", "text/plain", [])).samples == 2


def test_the_recorded_labels_find_the_stand_in_agents() -> None:
    for kind in ("coroot", "parca", "collector"):
        (agent,) = find_agents([agent_pod(kind)], (kind,), ("", ""))
        assert agent.kind == kind


@pytest.mark.parametrize("signals", [["KILL"], ["INT", "INT"]])
def test_collectors_heap_profiler_is_off_however_gatherer_ends(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path, signals: list[str]
) -> None:
    make_agent("collector")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gatherer", "--kubeconfig", str(cluster.kubeconfig)),
            *("--plain", "-o", str(tmp_path / "logs"), "-p", "problempod", "-m", "5", "-f", "1"),
            *("--agent", "collector", "--agent-heap"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until(lambda: heap_state(cluster) == "on", "the heap profiler is on", 60)
        for name in signals:
            subprocess.run(["kill", f"-{name}", str(process.pid)], check=True)
            time.sleep(0.2)  # two signals at once are one
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    until(lambda: heap_state(cluster) == "off", "the heap profiler is off", 60)


async def test_a_heap_profile_that_somebody_else_takes_is_left_alone(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("collector")
    cluster.proxy("collector-x1b2c:8080", "profile/heap", b"on")
    sources = Sources(("collector",), lambda: access_to(cluster))
    target = Target("kubernetes", "admin", "default", "problempod", "buggycontainer", "node1")
    try:
        (source,), _ = await sources.find(target)
        profiler = HeapProfiler(sources.collector_server(source))
        request = ProfileRequest(
            str(cluster.kubeconfig), None, "default", "collector-x1b2c", 8080, 5
        )
        with pytest.raises(ScrapeError, match="by somebody else"):
            await profiler.profile(request)
        assert heap_state(cluster) == "on"
        cluster.proxy("collector-x1b2c:8080", "profile/heap", b"off")
        # The process is killed: gatherer itself switches the profiler off.
        taking = asyncio.ensure_future(profiler.profile(replace(request, seconds=60)))
        async with asyncio.timeout(30):
            while profiler.state != "on":
                await asyncio.sleep(0.02)
        await profiler._process.aclose()
        with pytest.raises(ScrapeError, match="died"):
            await taking
        assert heap_state(cluster) == "off"
    finally:
        await sources.aclose()


@pytest.mark.parametrize(
    ("startup", "form", "case"),
    [
        ("no-sensor", "old", "not connected to Sensor"),
        ("no-driver", "old", "no driver"),
        ("not-loaded", "new", "driver not loaded"),
    ],
)
async def test_a_collector_that_crashes_is_explained_by_its_previous_log(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    tmp_path: Path,
    startup: str,
    form: str,
    case: str,
) -> None:
    make_pod(agent_pod("collector", env={"STARTUP": startup, "LOG_FORMAT": form}), wait=False)
    cluster.wait_condition(
        "collector-x1b2c",
        lambda pod: (
            "waiting" in pod["status"]["containerStatuses"][0]["state"]
            and pod["status"]["containerStatuses"][0]["restartCount"] > 0
        ),
        "crash-looping",
    )
    pull = Pull(cluster, tmp_path, wanted=("collector",))
    kept = pull.path / "agents" / "collector-diagnostics.json"
    (report,) = await pull.run(lambda pull: kept.exists())
    facts = json.loads(kept.read_text())
    assert (facts["case"], facts["of_previous_run"]) == (case, True)
    assert any(line.startswith(f"startup: {case}: ") for line in report.lines)


async def test_parcas_heap_is_checked_and_kept(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("parca", listen="127.0.0.1:7071")
    pull = Pull(cluster, tmp_path, wanted=("parca",))
    kept = pull.path / "agents" / "parca-heap.pb.gz"
    (report,) = await pull.run(lambda pull: kept.exists() and pull.metrics())
    assert kept.read_bytes()[:2] == b"\x1f\x8b"
    assert report.facts["heap"]["samples"] == 3
    assert any("3 samples of the agent itself" in line for line in report.lines)


async def test_how_to_enable_introspection_is_said(
    cluster: StandInCluster, make_agent: Callable[..., str], tmp_path: Path
) -> None:
    make_agent("collector")
    pull = Pull(cluster, tmp_path, wanted=("collector",))
    (report,) = await pull.run(
        lambda pull: pull.metrics() and (pull.path / "agents" / "collector-ready.json").exists()
    )
    line = next(line for line in report.lines if line.startswith("introspection"))
    assert "set ROX_COLLECTOR_INTROSPECTION_ENABLE=true" in line


@pytest.mark.skipif(not PROGRAM.exists(), reason=MISSING)
async def test_the_real_node_exporter_through_the_proxy(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Found by the annotation of the target's own pod."""
    pod = pod_manifest(
        "exporter",
        ["/exporter/prometheus-node-exporter", "--web.listen-address=:9100"],
        volumes=[{"name": "exporter", "hostPath": {"path": str(PROGRAM.parent)}}],
    )
    pod["metadata"]["annotations"] = {"prometheus.io/port": "9100"}
    pod["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "exporter", "mountPath": "/exporter", "readOnly": True}
    ]
    make_pod(pod)
    cluster.wait_log("exporter", "Listening on")
    pull = Pull(cluster, tmp_path, pod="exporter", container="main")
    (report,) = await pull.run(lambda pull: pull.metrics())
    assert report.where == "default/exporter, port 9100 by pods/proxy"
    body = (pull.path / "agents" / "prometheus-first.prom").read_text()
    families = list(text_string_to_metric_families(body))
    lines = pull.metrics()
    first = [line for line in lines if line["time"] == lines[0]["time"]]
    assert len(first) == sum(len(family.samples) for family in families) > 300
