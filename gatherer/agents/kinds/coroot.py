"""coroot-node-agent: its metrics of a container that runs out of memory, and its log. Pure.

Names, and when a metric is absent by design: coroot-node-agent's metrics/metrics.go, cgroup/ and
containers/container.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gatherer.agents.kinds.analysis import Diagnosis, ScrapeContext
from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.measures import (
    BYTES,
    CORES,
    PERCENT,
    SECONDS,
    Measure,
    SeriesSummary,
    SummaryTable,
    format_change,
    format_counter,
    format_gauge,
    format_value,
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
_RUNTIME_LOST = re.compile(r"failed to interact with [^\n]{0,300}")
_UNKNOWN_FLAG = re.compile(r"unknown long flag '(--[a-z-]{1,40})'")
_RENAMED = {
    "--no-parse-logs": "--disable-log-parsing",
    "--no-ping-upstreams": "--disable-pinger",
}
"""Flags of coroot-node-agent in 2022, and what they are called since 2024."""
_UNITS = {measure.title: measure.unit for measure in MEASURES}
# Told by lines of their own below; the rest is told when it is there.
_RUNTIMES = (
    "jvm heap used", "jvm heap size", "jvm heap max", "jvm gc", "jvm safepoint",
    "jvm safepoint sync", "go allocated", "go objects", "dotnet allocated", "dotnet heap",
    "dotnet gc", "dotnet fragmentation", "gpu", "gpu memory", "disk used", "log messages",
)  # fmt: skip


@dataclass
class MemoryIncident:
    """The memory-incident set of one container through a capture."""

    table: SummaryTable = field(default_factory=lambda: SummaryTable(MEASURES))
    facts: dict[str, str] = field(default_factory=dict)
    found: bool = False
    others: int = 0

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Adds one scrape: the container's own samples and its node's."""
        rows = list(rows)
        self.table.observe(rows, seconds)
        for sample, _, stale in rows:
            self.found |= sample.name.startswith("container_") and not stale
            self._collect_facts(sample)

    def lines(self, context: ScrapeContext) -> list[str]:
        """Returns the summary, a line each; text of the agent in it is not made harmless yet."""
        lines: list[str] = []
        if not self.found:
            lines.append(f"container: {absent_container(context)}")
        else:
            lines += self._memory(context) + self._load() + self._network()
            lines += [
                f"{title}: {self._format(title)}"
                for title in _RUNTIMES
                if self.table.summary(title) is not None
            ]
        node = self._node()
        return lines + ([f"node: {node}"] if node else [])

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        return {"measures": self.table.as_json(), "facts": dict(self.facts)}

    def _collect_facts(self, sample: Sample) -> None:
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

    def _memory(self, context: ScrapeContext) -> list[str]:
        rss, limit = self.table.summary("rss"), self.table.summary("limit")
        lines = []
        if rss is not None:
            lines.append(f"rss: {format_gauge(rss, BYTES)}")
        if limit is None:
            lines.append("limit: not exported: the container has no memory limit")
        else:
            share = (
                f", rss after is {100 * rss.after / limit.after:.0f}% of it"
                if (rss is not None and limit.after > 0)
                else ""
            )
            lines.append(f"limit: {byte_count(int(limit.after))}{share}")
        cache = self.table.summary("cache")
        if cache is not None:
            lines.append(f"cache: {format_gauge(cache, BYTES)}")
        lines.append(f"memory pressure: {self._pressure('memory', context)}")
        kills = self.table.summary("oom kills")
        if kills is None:
            lines.append("oom kills: none yet: coroot exports the metric after the first kill")
        else:
            lines.append(f"oom kills: {format_counter(kills, '')}, {kills.after:.0f} in all")
        restarts = self.table.summary("restarts")
        if restarts is not None and restarts.increase:
            lines.append(f"restarts: {format_counter(restarts, '')}")
        return lines

    def _pressure(self, what: str, context: ScrapeContext) -> str:
        some = self.table.summary(f"{what} pressure some")
        full = self.table.summary(f"{what} pressure full")
        if some is None and full is None:
            if context.cgroup_version == 1:
                return "not exported: the node has cgroup v1, pressure is of v2"
            return "not exported: the kernel gives none (psi=1 on its command line switches it on)"
        return ", ".join(
            f"{format_change(summary.increase, SECONDS)} {kind}"
            for kind, summary in (("some", some), ("full", full))
            if summary is not None
        )

    def _load(self) -> list[str]:
        lines = []
        usage = self.table.summary("cpu usage")
        if usage is not None:
            cores = usage.increase / usage.seconds if usage.seconds else 0.0
            lines.append(f"cpu: {format_counter(usage, SECONDS)}, {cores:.2f} cores on average")
        limit = self.table.summary("cpu limit")
        throttled = self.table.summary("cpu throttled")
        if throttled is not None:
            of = "no limit" if limit is None else f"limit {format_value(limit.after, CORES)}"
            lines.append(f"throttled: {format_counter(throttled, SECONDS)} ({of})")
        delays = [
            f"{title.removesuffix(' delay')} {format_counter(summary, SECONDS)}"
            for title in ("cpu delay", "disk delay")
            if (summary := self.table.summary(title)) is not None
        ]
        if delays:
            lines.append(f"delays: {', '.join(delays)}")
        if self.table.summary("io pressure some") is not None:
            lines.append(f"io pressure: {self._pressure('io', ScrapeContext())}")
        return lines

    def _network(self) -> list[str]:
        active = self.table.summary("active connections")
        parts = [] if active is None else [format_gauge(active, "")]
        parts += [
            f"{format_counter(summary, _UNITS[title])} {title.removeprefix('bytes ')}"
            for title in ("connects", "failed connects", "retransmits", "bytes sent",
                          "bytes received")
            if (summary := self.table.summary(title)) is not None
        ]  # fmt: skip
        if not parts:
            return ["connections: none seen"]
        return [f"connections: {'; '.join(parts)}"]

    def _format(self, title: str) -> str:
        summary = self.table.summary(title) or SeriesSummary()
        measure = next(each for each in MEASURES if each.title == title)
        if measure.name.endswith(("_total", "_time_seconds")):
            return format_counter(summary, measure.unit)
        return format_gauge(summary, measure.unit)

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
        total = self.table.summary("node memory")
        available = self.table.summary("node available")
        if total is not None and available is not None:
            parts.append(
                f"memory {byte_count(int(available.after))} available of"
                f" {byte_count(int(total.after))}"
                f" ({format_change(available.after - available.before, BYTES)})"
            )
        return ", ".join(parts)


def absent_container(context: ScrapeContext) -> str:
    """Explains why coroot says nothing about the container.

    Args:
        context: what is known beside its metrics.
    """
    age = context.container_age
    if age is not None and age < 2 * MIN_AGE_SECONDS:
        return (
            f"not exported yet: coroot waits until it has known a container {MIN_AGE_SECONDS:g} s,"
            f" this one started {age:.0f} s ago"
        )
    if context.others:
        return (
            f"not exported, though coroot knows {context.others} others: see its log for"
            " 'failed to interact with' a container runtime, and its flags --container-allowlist"
            " and --container-denylist"
        )
    return (
        "not exported, nor is any other: coroot reaches no container runtime; its log names the"
        " sockets it tried, and --cgroupfs-root must be the node's"
    )


def diagnose_coroot(log: str) -> Diagnosis | None:
    """Returns what coroot's log tells about a missing container_id, or a flag of another era.

    Args:
        log: of the agent.
    """
    flag = _UNKNOWN_FLAG.search(log)
    if flag:
        now = _RENAMED.get(flag[1])
        return Diagnosis(
            "flag of another era",
            f"it does not know the flag {flag[1]}, and ends",
            f"write {now} instead" if now else "take the flag out of its command line",
        )
    lost = _RUNTIME_LOST.search(log)
    if lost:
        return Diagnosis(
            "container label missing",
            f"it names no containers: {printable(lost[0], 200)}",
            "the socket of the node's container runtime must be below /proc/1/root, where it looks"
            " for it: hostPID and privileged must be true",
        )
    return None
