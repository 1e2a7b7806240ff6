"""What coroot-node-agent tells about a container that runs out of memory. Pure.

Names, and when a metric is absent by design: coroot-node-agent's metrics/metrics.go, cgroup/ and
containers/container.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.measures import (
    BYTES,
    CORES,
    PERCENT,
    SECONDS,
    Course,
    Courses,
    Measure,
    amount,
    change,
    counter_words,
    gauge_words,
)
from gatherer.agents.series.rates import Rate
from gatherer.text import byte_count, printable

MIN_AGE_SECONDS = 30.0
"""A container exports nothing before coroot has known it this long (`--min-container-age`)."""

_RESOURCES = "container_resources_"
_TCP = "container_net_tcp_"

MEASURES = (
    Measure("rss", _RESOURCES + "memory_rss_bytes", BYTES),
    Measure("cache", _RESOURCES + "memory_cache_bytes", BYTES),
    Measure("limit", _RESOURCES + "memory_limit_bytes", BYTES),
    Measure("oom kills", "container_oom_kills_total"),
    Measure("restarts", "container_restarts_total"),
    *(
        Measure(
            f"{what} pressure {kind}",
            f"{_RESOURCES}{what}_pressure_waiting_seconds_total",
            SECONDS,
            (("kind", kind),),
        )
        for what in ("memory", "io")
        for kind in ("some", "full")
    ),
    Measure("cpu usage", _RESOURCES + "cpu_usage_seconds_total", SECONDS),
    Measure("cpu limit", _RESOURCES + "cpu_limit_cores", CORES),
    Measure("cpu throttled", _RESOURCES + "cpu_throttled_seconds_total", SECONDS),
    Measure("cpu delay", _RESOURCES + "cpu_delay_seconds_total", SECONDS),
    Measure("disk delay", _RESOURCES + "disk_delay_seconds_total", SECONDS),
    Measure("disk used", _RESOURCES + "disk_used_bytes", BYTES),
    Measure("active connections", _TCP + "active_connections"),
    Measure("connects", _TCP + "successful_connects_total"),
    Measure("failed connects", _TCP + "failed_connects_total"),
    Measure("connection time", _TCP + "connection_time_seconds_total", SECONDS),
    Measure("retransmits", _TCP + "retransmits_total"),
    Measure("bytes sent", _TCP + "bytes_sent_total", BYTES),
    Measure("bytes received", _TCP + "bytes_received_total", BYTES),
    Measure("log messages", "container_log_messages_total"),
    Measure("jvm heap used", "container_jvm_heap_used_bytes", BYTES),
    Measure("jvm heap size", "container_jvm_heap_size_bytes", BYTES),
    Measure("jvm heap max", "container_jvm_heap_max_size_bytes", BYTES),
    Measure("jvm gc", "container_jvm_gc_time_seconds", SECONDS),
    Measure("jvm safepoint", "container_jvm_safepoint_time_seconds", SECONDS),
    Measure("jvm safepoint sync", "container_jvm_safepoint_sync_time_seconds", SECONDS),
    Measure("go allocated", "container_go_alloc_bytes_total", BYTES),
    Measure("go objects", "container_go_alloc_objects_total"),
    Measure("dotnet allocated", "container_dotnet_memory_allocated_bytes_total", BYTES),
    Measure("dotnet heap", "container_dotnet_memory_heap_size_bytes", BYTES),
    Measure("dotnet gc", "container_dotnet_gc_count_total"),
    Measure("dotnet fragmentation", "container_dotnet_heap_fragmentation_percent", PERCENT),
    Measure("gpu", "container_resources_gpu_usage_percent", PERCENT),
    Measure("gpu memory", "container_resources_gpu_memory_usage_percent", PERCENT),
    Measure("node memory", "node_resources_memory_total_bytes", BYTES),
    Measure("node available", "node_resources_memory_available_bytes", BYTES),
    Measure("node free", "node_resources_memory_free_bytes", BYTES),
    Measure("node cached", "node_resources_memory_cached_bytes", BYTES),
)
_UNITS = {measure.title: measure.unit for measure in MEASURES}
# Told by lines of their own below; the rest is told when it is there.
_RUNTIMES = (
    "jvm heap used", "jvm heap size", "jvm heap max", "jvm gc", "jvm safepoint",
    "jvm safepoint sync", "go allocated", "go objects", "dotnet allocated", "dotnet heap",
    "dotnet gc", "dotnet fragmentation", "gpu", "gpu memory", "disk used", "log messages",
)  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """What explains why a metric is not there.

    Attributes:
        cgroup_version: of the node, 0 when unknown.
        container_age: seconds since the target's container started, None when unknown.
        others: other containers that the agent knows.
    """

    cgroup_version: int = 0
    container_age: float | None = None
    others: int = 0


@dataclass
class MemoryIncident:
    """The memory-incident set of one container through a capture."""

    courses: Courses = field(default_factory=lambda: Courses(MEASURES))
    facts: dict[str, str] = field(default_factory=dict)
    found: bool = False
    others: int = 0

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Takes one scrape: the container's own samples and its node's."""
        rows = list(rows)
        self.courses.observe(rows, seconds)
        for sample, _, stale in rows:
            self.found |= sample.name.startswith("container_") and not stale
            self._take_facts(sample)

    def lines(self, around: Surroundings) -> list[str]:
        """Returns the summary, a line each; text of the agent in it is not made harmless yet."""
        lines: list[str] = []
        if not self.found:
            lines.append(f"container: {absent_container(around)}")
        else:
            lines += self._memory(around) + self._load() + self._network()
            lines += [
                f"{title}: {self._words(title)}"
                for title in _RUNTIMES
                if self.courses.course(title) is not None
            ]
        node = self._node()
        return lines + ([f"node: {node}"] if node else [])

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        return {"measures": self.courses.as_json(), "facts": dict(self.facts)}

    def _take_facts(self, sample: Sample) -> None:
        wanted = {
            "node_info": ("hostname", "kernel_version"),
            "node_agent_info": ("version",),
            "container_application_type": ("application_type",),
            "container_info": ("image",),
            "node_cloud_info": (
                "provider", "instance_type", "instance_life_cycle", "region", "availability_zone",
            ),
        }.get(sample.name, ())  # fmt: skip
        for label in wanted:
            if sample.labels.get(label):
                self.facts[label] = printable(sample.labels[label], 120)

    def _memory(self, around: Surroundings) -> list[str]:
        rss, limit = self.courses.course("rss"), self.courses.course("limit")
        lines = []
        if rss is not None:
            lines.append(f"rss: {gauge_words(rss, BYTES)}")
        if limit is None:
            lines.append("limit: not exported: the container has no memory limit")
        else:
            share = (
                f", rss after is {100 * rss.after / limit.after:.0f}% of it"
                if (rss is not None and limit.after > 0)
                else ""
            )
            lines.append(f"limit: {byte_count(int(limit.after))}{share}")
        cache = self.courses.course("cache")
        if cache is not None:
            lines.append(f"cache: {gauge_words(cache, BYTES)}")
        lines.append(f"memory pressure: {self._pressure('memory', around)}")
        kills = self.courses.course("oom kills")
        if kills is None:
            lines.append("oom kills: none yet: coroot exports the metric after the first kill")
        else:
            lines.append(f"oom kills: {counter_words(kills, '')}, {kills.after:.0f} in all")
        restarts = self.courses.course("restarts")
        if restarts is not None and restarts.increase:
            lines.append(f"restarts: {counter_words(restarts, '')}")
        return lines

    def _pressure(self, what: str, around: Surroundings) -> str:
        some = self.courses.course(f"{what} pressure some")
        full = self.courses.course(f"{what} pressure full")
        if some is None and full is None:
            if around.cgroup_version == 1:
                return "not exported: the node has cgroup v1, pressure is of v2"
            return "not exported: the kernel gives none (psi=1 on its command line switches it on)"
        return ", ".join(
            f"{change(course.increase, SECONDS)} {kind}"
            for kind, course in (("some", some), ("full", full))
            if course is not None
        )

    def _load(self) -> list[str]:
        lines = []
        usage = self.courses.course("cpu usage")
        if usage is not None:
            cores = usage.increase / usage.seconds if usage.seconds else 0.0
            lines.append(f"cpu: {counter_words(usage, SECONDS)}, {cores:.2f} cores on average")
        limit = self.courses.course("cpu limit")
        throttled = self.courses.course("cpu throttled")
        if throttled is not None:
            of = "no limit" if limit is None else f"limit {amount(limit.after, CORES)}"
            lines.append(f"throttled: {counter_words(throttled, SECONDS)} ({of})")
        delays = [
            f"{title.removesuffix(' delay')} {counter_words(course, SECONDS)}"
            for title in ("cpu delay", "disk delay")
            if (course := self.courses.course(title)) is not None
        ]
        if delays:
            lines.append(f"delays: {', '.join(delays)}")
        if self.courses.course("io pressure some") is not None:
            lines.append(f"io pressure: {self._pressure('io', Surroundings())}")
        return lines

    def _network(self) -> list[str]:
        active = self.courses.course("active connections")
        parts = [] if active is None else [gauge_words(active, "")]
        parts += [
            f"{counter_words(course, _UNITS[title])} {title.removeprefix('bytes ')}"
            for title in ("connects", "failed connects", "retransmits", "bytes sent",
                          "bytes received")
            if (course := self.courses.course(title)) is not None
        ]  # fmt: skip
        if not parts:
            return ["connections: none seen"]
        return [f"connections: {'; '.join(parts)}"]

    def _words(self, title: str) -> str:
        course = self.courses.course(title) or Course()
        measure = next(each for each in MEASURES if each.title == title)
        if measure.name.endswith(("_total", "_time_seconds")):
            return counter_words(course, measure.unit)
        return gauge_words(course, measure.unit)

    def _node(self) -> str:
        facts = self.facts
        parts = []
        if "kernel_version" in facts:
            parts.append(f"kernel {facts['kernel_version']}")
        cloud = " ".join(
            facts[key] for key in ("provider", "instance_type", "availability_zone") if key in facts
        )
        if cloud:
            parts.append(cloud)
        total = self.courses.course("node memory")
        available = self.courses.course("node available")
        if total is not None and available is not None:
            parts.append(
                f"memory {byte_count(int(available.after))} available of"
                f" {byte_count(int(total.after))}"
                f" ({change(available.after - available.before, BYTES)})"
            )
        return ", ".join(parts)


def absent_container(around: Surroundings) -> str:
    """Explains why coroot says nothing about the container.

    Args:
        around: what is known beside its metrics.
    """
    age = around.container_age
    if age is not None and age < 2 * MIN_AGE_SECONDS:
        return (
            f"not exported yet: coroot waits until it has known a container {MIN_AGE_SECONDS:g} s,"
            f" this one started {age:.0f} s ago"
        )
    if around.others:
        return (
            f"not exported, though coroot knows {around.others} others: see its log for"
            " 'failed to interact with' a container runtime, and its flags --container-allowlist"
            " and --container-denylist"
        )
    return (
        "not exported, nor is any other: coroot reaches no container runtime; its log names the"
        " sockets it tried, and --cgroupfs-root must be the node's"
    )
