"""StackRox Collector: whether it sees everything, and why it does not start. Pure.

Metrics and answers: CollectorStatsExporter.cpp, GetStatus.cpp, NetworkStatusInspector.cpp;
the log: Diagnostics.h, Logging.h, and what Diagnostics printed until March 2023.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gatherer.agents.kinds.analysis import Diagnosis, ScrapeContext
from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.measures import (
    COUNT,
    Measure,
    SummaryTable,
    format_change,
    format_value,
)
from gatherer.agents.series.rates import Rate
from gatherer.errors import ScrapeError
from gatherer.text import printable

MAX_LOG = 1 << 20
"""Characters of a log that are looked at: diagnostics are near its beginning."""

_EVENTS = "rox_collector_events"
_COUNTERS = "rox_collector_counters"
_TIMERS = "rox_collector_timers"
_TIMED = (
    "net_scrape_read", "net_scrape_update", "net_fetch_state", "net_create_message",
    "net_write_message", "process_info_wait",
)  # fmt: skip


def _typed(title: str, name: str, kind: str) -> Measure:
    return Measure(title, name, COUNT, (("type", kind),))


MEASURES = (
    _typed("kernel events", _EVENTS, "kernel"),
    _typed("drops", _EVENTS, "drops"),
    _typed("ringbuffer drops", _EVENTS, "ringbufferDrops"),
    _typed("thread cache drops", _EVENTS, "threadCacheDrops"),
    _typed("preemptions", _EVENTS, "preemptions"),
    _typed("process send failures", _EVENTS, "processSendFailures"),
    _typed("connections updated", _COUNTERS, "net_conn_updates"),
    _typed("connections closed", _COUNTERS, "net_conn_inactive"),
    _typed("connections rate-limited", _COUNTERS, "net_conn_rate_limited"),
    # Its guide says `_us_total`, its source `_times_us_total`.
    *(
        _typed(f"{timer} µs", _TIMERS, f"{timer}_{spelling}")
        for timer in _TIMED
        for spelling in ("times_us_total", "us_total")
    ),
    *(
        Measure(
            f"connections {way} {peer}",
            "rox_connections_total",
            COUNT,
            (("dir", way), ("peer", peer), ("quantile", "0.5")),
        )
        for way in ("in", "out")
        for peer in ("private", "public")
    ),
    *(
        Measure(
            f"connection rate {way} {peer}",
            "rox_connections_rate",
            COUNT,
            (("dir", way), ("peer", peer), ("quantile", "0.5")),
        )
        for way in ("in", "out")
        for peer in ("private", "public")
    ),
)
_SHOWN = (
    "kernel events", "drops", "ringbuffer drops", "thread cache drops", "process send failures",
    "connections closed",
)  # fmt: skip


@dataclass
class CollectorHealth:
    """The agent through a capture: its counters are exposed as gauges."""

    table: SummaryTable = field(default_factory=lambda: SummaryTable(MEASURES))

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Adds one scrape."""
        self.table.observe(list(rows), seconds)

    def lines(self, context: ScrapeContext) -> list[str]:
        """Returns the summary."""
        lines = [
            f"{title}: {format_change(summary.after - summary.before, COUNT)},"
            f" {format_value(summary.after, COUNT)} since it started"
            for title in _SHOWN
            if (summary := self.table.summary(title)) is not None
        ]
        medians = [
            f"{way} {peer} {format_value(summary.before, COUNT)}"
            f" → {format_value(summary.after, COUNT)}"
            for way in ("in", "out")
            for peer in ("private", "public")
            if (summary := self.table.summary(f"connections {way} {peer}")) is not None
        ]
        if medians:
            lines.append(f"connections of the node, median: {', '.join(medians)}")
        return [*lines, "container: it exports no memory metric of containers"]

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        return {"measures": self.table.as_json()}


@dataclass(frozen=True)
class Readiness:
    """The answer of `/ready`.

    Attributes:
        ready: whether it works.
        events: kernel events so far.
        drops: those it lost.
        node: its name.
    """

    ready: bool
    events: int = 0
    drops: int = 0
    node: str = ""


def read_readiness(status: int, body: bytes) -> Readiness:
    """Reads the answer of `/ready`: 200 with numbers, 503 with `{}`.

    Raises:
        ScrapeError: it is neither.
    """
    if status == 503:
        return Readiness(False)
    document = _json(body)
    told = document.get("collector") if isinstance(document, Mapping) else None
    if status != 200 or not isinstance(told, Mapping):
        raise ScrapeError(f"/ready answers {status} and no status", "check its port 8080")
    drops = told.get("drops")
    total = drops.get("total") if isinstance(drops, Mapping) else 0
    return Readiness(
        document.get("status") == "ok",
        _integer(told.get("events")),
        _integer(total),
        printable(str(told.get("node", "")), 100),
    )


@dataclass(frozen=True)
class StartupDiagnostics:
    """Collector's start, by the block in its log.

    Attributes:
        connected: to Sensor.
        drivers: candidates, and whether each is available.
        loaded: name of the driver in the kernel, `yes` where the log gives none, empty for none.
        fatal: the error that ended it, empty when it runs.
        old_format: that of releases before March 2023.
    """

    connected: bool
    drivers: tuple[tuple[str, bool], ...] = ()
    loaded: str = ""
    fatal: str = ""
    old_format: bool = False

    @property
    def available(self) -> bool:
        """Whether a driver is available."""
        return any(available for _, available in self.drivers)

    def as_json(self) -> dict[str, Any]:
        """Returns it for a file."""
        return {
            "connected_to_sensor": self.connected,
            "driver_candidates": dict(self.drivers),
            "driver_loaded": self.loaded or None,
            "fatal": self.fatal or None,
            "old_format": self.old_format,
        }


_LINE = re.compile(
    r"\[(?P<level>[A-Z]+) *\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\] (?:\([^)\s]+:\d+\) )?(?P<text>.*)"
)
_HEAD = "== Collector Startup Diagnostics: =="
_OLD = re.compile(
    r"(Connected to Sensor|Kernel driver available|Driver loaded into kernel)\? *(true|false)"
)
_CANDIDATE = re.compile(r"(\S+) \((available|unavailable)\)")


def read_diagnostics(log: str) -> StartupDiagnostics | None:
    """Reads the last startup diagnostics of a log, in the old format or the new one.

    Args:
        log: Collector's stderr.

    Returns:
        None when there is no such block; a FATAL line alone is one with nothing true.
    """
    connected = False
    loaded = fatal = ""
    drivers: list[tuple[str, bool]] = []
    inside = seen = old = False
    for line in log[:MAX_LOG].splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        text = match["text"].strip()
        if match["level"] == "FATAL":
            fatal = printable(text, 300)
        elif text == _HEAD:
            inside = seen = True
            connected, loaded, fatal, old, drivers = False, "", "", False, []
        elif inside and text.startswith("===="):
            inside = False
        elif inside and (told := _OLD.fullmatch(text)):
            yes = told[2] == "true"
            if told[1].startswith("Connected"):
                connected = yes
            elif told[1].startswith("Kernel"):
                drivers, old = [("kernel driver", yes)], True
            else:
                loaded, old = "yes" if yes else "", True
        elif inside and (candidate := _CANDIDATE.fullmatch(text)):
            drivers.append((printable(candidate[1], 60), candidate[2] == "available"))
        elif inside and text.startswith("Driver loaded into kernel: "):
            loaded = printable(text.removeprefix("Driver loaded into kernel: "), 60)
    if not seen and not fatal:
        return None
    return StartupDiagnostics(connected, tuple(drivers), loaded, fatal, old)


def evaluate_startup(diagnostics: StartupDiagnostics) -> Diagnosis:
    """Returns the case of its troubleshooting guide that a start is.

    Args:
        diagnostics: of the log.

    Returns:
        One of `ok`, `not connected to Sensor`, `no driver`, `driver not loaded`, `standalone`.
    """
    fatal = f": {diagnostics.fatal}" if diagnostics.fatal else ""
    if diagnostics.loaded:
        if not diagnostics.connected:
            return Diagnosis(
                "standalone", f"driver {diagnostics.loaded} runs, no Sensor is configured"
            )
        return Diagnosis("ok", f"connected to Sensor, driver {diagnostics.loaded} in the kernel")
    if not diagnostics.connected:
        return Diagnosis(
            "not connected to Sensor",
            f"Collector does not reach Sensor{fatal}",
            "see that the Sensor pod runs (`kubectl -n stackrox get pods -l app=sensor`) and that"
            " GRPC_SERVER of the collector container is its address",
        )
    if not diagnostics.available:
        if diagnostics.old_format:
            return Diagnosis(
                "no driver",
                f"neither Collector's storage nor Sensor has a driver for the node's kernel{fatal}",
                "compare the node's `uname -r` with the kernels that this release supports, and"
                " upgrade Collector or the node's kernel",
            )
        return Diagnosis(
            "no driver",
            f"no driver of Collector fits the node's kernel{fatal}",
            "the node needs a kernel with BTF (/sys/kernel/btf/vmlinux) and BPF ring buffers;"
            " upgrade it",
        )
    return Diagnosis(
        "driver not loaded",
        f"a driver is there and the kernel does not take it{fatal}",
        "see the lines before the diagnostics in its log for the kernel's reason (privileged must"
        " be true, lockdown and Secure Boot refuse too), and report it with them",
    )


def read_endpoints(body: bytes, container: str) -> tuple[str, ...]:
    """Reads `/state/network/endpoint`.

    Args:
        body: of the answer.
        container: first 12 characters of the container's id.

    Raises:
        ScrapeError: it is no such answer.
    """
    found = []
    for entry in _entries(body, container):
        endpoint = entry.get("endpoint")
        where = endpoint if isinstance(endpoint, Mapping) else {}
        found.append(f"{_word(entry, 'l4proto')} {_word(where, 'address')}:{_word(where, 'port')}")
    return tuple(found)


def read_connections(body: bytes, container: str) -> tuple[str, ...]:
    """Reads `/state/network/connection`; arguments and errors as of `read_endpoints`."""
    found = []
    for entry in _entries(body, container):
        way = "to" if "to" in entry else "from"
        found.append(
            f"{_word(entry, 'l4proto')} {way} {_word(entry, way)} port {_word(entry, 'port')}"
        )
    return tuple(found)


def read_profiling(body: bytes) -> tuple[str, bool]:
    """Reads `/profile`: state of the heap profiler, and whether it can be used.

    Raises:
        ScrapeError: it is no such answer.
    """
    document = _json(body)
    if not isinstance(document, Mapping) or not isinstance(document.get("heap"), str):
        raise ScrapeError("/profile answers no status", "check its port 8080")
    return printable(document["heap"], 20), document.get("supports_heap") is True


def short_id(container_id: str) -> str:
    """Returns the 12 characters that Collector calls a container by.

    Args:
        container_id: of the pod's status, such as `containerd://303c…`.
    """
    return container_id.rpartition("/")[2][:12]


def _entries(body: bytes, container: str) -> list[Mapping[str, Any]]:
    document = _json(body)
    if not isinstance(document, Mapping):
        raise ScrapeError("/state/network answers no JSON object", "check its port 8080")
    entries = document.get(container)
    entries = entries if isinstance(entries, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping)][:1000]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _word(entry: Mapping[str, Any], key: str) -> str:
    return printable(str(entry.get(key, "?")), 60)


def _integer(value: object) -> int:
    return value if type(value) is int else 0
