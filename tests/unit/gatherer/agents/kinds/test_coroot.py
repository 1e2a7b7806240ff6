"""coroot's memory-incident set: before, during, after, delta, and why something is not there."""

from __future__ import annotations

from gatherer.agents.kinds.analysis import ScrapeContext
from gatherer.agents.kinds.coroot import MemoryIncident, diagnose_coroot
from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rates

MIB = 1 << 20
ID = {"container_id": "/k8s/shop/web-0/app"}


class Scrapes:
    """Feeds an incident, 15 s apart."""

    def __init__(self) -> None:
        self.incident = MemoryIncident()
        self._rates = Rates()
        self._seconds = 1000.0

    def add(self, stale: bool = False, **values: float) -> None:
        samples = []
        for name, value in values.items():
            name, _, kind = name.partition("__")
            full = name if name.startswith("node_") else f"container_{name}"
            labels = {
                **({} if name.startswith("node_") else ID),
                **({"kind": kind} if kind else {}),
            }
            type_ = "counter" if full.endswith("_total") else "gauge"
            samples.append(Sample(full, type_, labels, value))
        rows = [(sample, self._rates.observe(sample, self._seconds), stale) for sample in samples]
        self.incident.observe(rows, self._seconds)
        self._seconds += 15.0

    def lines(self, around: ScrapeContext | None = None) -> dict[str, str]:
        lines = self.incident.lines(around or ScrapeContext())
        return dict(line.split(": ", 1) for line in lines)


def test_before_during_after_and_delta() -> None:
    scrapes = Scrapes()
    for rss, cpu in ((30, 1.0), (90, 2.0), (60, 4.0)):
        scrapes.add(
            resources_memory_rss_bytes=rss * MIB,
            resources_memory_limit_bytes=128 * MIB,
            resources_memory_cache_bytes=5 * MIB,
            resources_cpu_usage_seconds_total=cpu,
            resources_cpu_throttled_seconds_total=0.5 * cpu,
            resources_memory_pressure_waiting_seconds_total__some=0.25 * cpu,
            resources_memory_pressure_waiting_seconds_total__full=0.1 * cpu,
            net_tcp_active_connections=rss / 10,
            net_tcp_successful_connects_total=100 * cpu,
        )
    lines = scrapes.lines()
    assert lines["rss"] == (
        "30.0 MiB before, 30.0 MiB to 90.0 MiB during, 60.0 MiB after, +30.0 MiB"
    )
    assert lines["limit"] == "128.0 MiB, rss after is 47% of it"
    assert lines["cache"].endswith("+0 B")
    assert lines["memory pressure"] == "+0.75 s some, +0.30 s full"
    assert lines["cpu"] == "+3.00 s, 0.10 cores on average"
    assert lines["throttled"] == "+1.50 s (no limit)"
    assert lines["connections"] == "3 before, 3 to 9 during, 6 after, +3; +300 connects"
    measures = scrapes.incident.as_json()["measures"]
    assert measures["rss"] == {
        "before": 30 * MIB, "after": 60 * MIB, "min": 30 * MIB, "max": 90 * MIB, "delta": 30 * MIB,
    }  # fmt: skip
    assert measures["connects"]["delta"] == 300


def test_absent_by_design_is_explained() -> None:
    scrapes = Scrapes()
    scrapes.add(resources_memory_rss_bytes=MIB)
    v1 = scrapes.lines(ScrapeContext(cgroup_version=1))
    assert v1["oom kills"] == "none yet: coroot exports the metric after the first kill"
    assert v1["memory pressure"] == "not exported: the node has cgroup v1, pressure is of v2"
    assert v1["limit"] == "not exported: the container has no memory limit"
    assert v1["connections"] == "none seen"
    assert "psi=1" in scrapes.lines(ScrapeContext(cgroup_version=2))["memory pressure"]


def test_the_first_kill_counts_though_its_series_is_new() -> None:
    scrapes = Scrapes()
    scrapes.add(resources_memory_rss_bytes=MIB)
    scrapes.add(resources_memory_rss_bytes=MIB, oom_kills_total=1)
    scrapes.add(resources_memory_rss_bytes=MIB, oom_kills_total=2)
    assert scrapes.lines()["oom kills"] == "+2, 2 in all"


def test_kills_from_before_the_capture_are_no_increase() -> None:
    scrapes = Scrapes()
    scrapes.add(node_resources_memory_total_bytes=MIB)  # the container is too young yet
    scrapes.add(resources_memory_rss_bytes=MIB, oom_kills_total=7)
    scrapes.add(resources_memory_rss_bytes=MIB, oom_kills_total=7)
    assert scrapes.lines()["oom kills"] == "+0, 7 in all"


def test_a_reset_is_counted_from_nothing_and_said() -> None:
    scrapes = Scrapes()
    for cpu in (100.0, 2.0, 3.0):
        scrapes.add(resources_memory_rss_bytes=MIB, resources_cpu_usage_seconds_total=cpu)
    assert scrapes.lines()["cpu"].startswith("+3.00 s (began again once)")


def test_stale_series_count_for_nothing() -> None:
    scrapes = Scrapes()
    scrapes.add(resources_memory_rss_bytes=40 * MIB)
    scrapes.add(stale=True, resources_memory_rss_bytes=90 * MIB)
    assert "40.0 MiB after" in scrapes.lines()["rss"]


def test_an_unknown_container_is_explained() -> None:
    scrapes = Scrapes()
    scrapes.add(node_resources_memory_total_bytes=MIB)
    young = scrapes.lines(ScrapeContext(container_age=12.0))["container"]
    assert "until it has known a container 30 s, this one started 12 s ago" in young
    unknown = scrapes.lines(ScrapeContext(container_age=500.0, others=7))["container"]
    assert "knows 7 others" in unknown
    blind = scrapes.lines(ScrapeContext(container_age=500.0))["container"]
    assert "reaches no container runtime" in blind


def test_node_facts() -> None:
    incident = MemoryIncident()
    samples = [
        Sample("node_info", "gauge", {"kernel_version": "6.1\x1b[31m"}, 1),
        Sample(
            "node_cloud_info", "gauge",
            {"provider": "aws", "instance_type": "m5.large", "availability_zone": "eu-1a"}, 1,
        ),
        Sample("node_resources_memory_total_bytes", "gauge", {}, 8 << 30),
        Sample("node_resources_memory_available_bytes", "gauge", {}, 2 << 30),
    ]  # fmt: skip
    incident.observe([(sample, None, False) for sample in samples], 0.0)
    node = incident.lines(ScrapeContext())[-1]
    assert node == (
        "node: kernel 6.1\\x1b[31m, aws m5.large eu-1a, memory 2.0 GiB available of 8.0 GiB (+0 B)"
    )


def test_the_diagnoses_in_the_log() -> None:
    assert diagnose_coroot("I0101 started") is None
    lost = diagnose_coroot(
        "W0101 failed to interact with dockerd (x) or with containerd (y)\x1b[0m\n"
    )
    assert lost is not None
    assert lost.case == "container label missing"
    assert lost.cause.isprintable()
    old = diagnose_coroot(
        "coroot-node-agent: error: unknown long flag '--no-parse-logs', try --help"
    )
    assert old is not None
    assert old.remedy == "write --disable-log-parsing instead"
