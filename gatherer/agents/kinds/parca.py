"""The Parca or Polar Signals agent: whether it works, and what it loses. Pure.

It exports nothing about a container; its stacks are in its own store. Metric names: parca-agent's
reporter and main.go. How it finds containers, which its missing `container` label is about, is in
reporter/metadata, and was another in the days of its troubleshooting guide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatherer.agents.kinds.analysis import Diagnosis, ScrapeContext
from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.measures import (
    BYTES,
    Measure,
    SummaryTable,
    format_counter,
    format_gauge,
)
from gatherer.agents.series.rates import Rate

MEASURES = (
    Measure("samples reported", "parca_reporter_samples_total"),
    Measure("writes", "parca_agent_write_requests_total"),
    Measure("perf events lost", "agent_errors_perf_event_lost"),
    Measure("trace events lost", "agent_errors_trace_event_lost"),
    Measure("agent memory", "process_resident_memory_bytes", BYTES),
    Measure("agent heap", "go_memstats_heap_alloc_bytes", BYTES),
)

# By what Node.status.nodeInfo.containerRuntimeVersion begins with.
OLD_SOCKETS = {
    "docker": ("/run/docker.sock",),
    "containerd": ("/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"),
    "cri-o": ("/run/crio/crio.sock",),
}
NEW_SOCKETS = {
    "docker": ("/var/run/docker.sock",),
    "containerd": (
        "/run/containerd/containerd.sock",
        "/var/run/containerd/containerd.sock",
        "/var/run/docker/containerd/containerd.sock",
        "/system/run/containerd/containerd.sock",
    ),
    "cri-o": ("/var/run/crio/crio.sock", "/run/crio/crio.sock"),
}
"""The present agent tries them all, whatever the Node says; it has none of k3s."""
SOCKET_FLAG = "--metadata-container-runtime-socket-path"
_WRONG_FLAG = "--container-runtime-socket-path"
_DEPRECATED = ("--metadata-disable-caching",)


@dataclass
class AgentHealth:
    """The agent through a capture."""

    table: SummaryTable = field(default_factory=lambda: SummaryTable(MEASURES))

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Adds one scrape."""
        self.table.observe(list(rows), seconds)

    def lines(self, context: ScrapeContext) -> list[str]:
        """Returns the summary."""
        lines = []
        for measure in MEASURES:
            summary = self.table.summary(measure.title)
            if summary is not None:
                counter = measure.name.endswith(("_total", "_lost"))
                format_summary = format_counter if counter else format_gauge
                lines.append(f"{measure.title}: {format_summary(summary, measure.unit)}")
        return [
            *lines,
            "container: it exports no metric of containers; its stacks are in its store",
        ]

    def as_json(self) -> dict[str, Any]:
        """Returns it for session.json."""
        return {"measures": self.table.as_json()}


@dataclass(frozen=True)
class SocketDiagnosis:
    """Reasons why the container label may be missing.

    Attributes:
        runtime: name and version as the Node has it, empty when unknown.
        sockets: that the agent tries for this runtime, the present one's first.
        problems: what is wrong, each with what to do about it.
    """

    runtime: str
    sockets: tuple[str, ...]
    problems: tuple[tuple[str, str], ...]


def diagnose_sockets(
    runtime_version: str, arguments: Sequence[str], mounts: Sequence[str]
) -> SocketDiagnosis:
    """Returns how the agent finds the container runtime, and what speaks against it.

    Args:
        runtime_version: the Node's containerRuntimeVersion, such as `containerd://1.6.20`.
        arguments: the agent's command line.
        mounts: paths of the node that are mounted into it.
    """
    name, _, version = runtime_version.partition("://")
    sockets = tuple(dict.fromkeys((*NEW_SOCKETS.get(name, ()), *OLD_SOCKETS.get(name, ()))))
    problems: list[tuple[str, str]] = []
    flags = {argument.partition("=")[0]: argument.partition("=")[2] for argument in arguments}
    if name and name not in NEW_SOCKETS:
        problems.append(
            (
                f"the runtime {name} is none the agent knows: docker, containerd or cri-o",
                "its container label stays empty on this node",
            )
        )
    if name == "containerd" and _older(version, (1, 6)):
        problems.append(
            (
                f"containerd {version} is too old: the agent needs 1.6 or newer",
                "upgrade containerd on the node",
            )
        )
    if not any(_covers(mount, socket) for mount in mounts for socket in sockets) and sockets:
        problems.append(
            (
                f"no mount of the agent's pod holds a socket it tries: {', '.join(sockets)}",
                "mount /run of the node into the agent with a hostPath volume",
            )
        )
    if any("k3s" in mount for mount in mounts) or "k3s" in version:
        problems.append(
            (
                "the present agent does not try /run/k3s/containerd/containerd.sock, where k3s has"
                " its socket; that of the days of its guide did",
                "bind that socket to /run/containerd/containerd.sock in the agent's pod",
            )
        )
    if SOCKET_FLAG in flags:
        problems.append(
            (
                f"{SOCKET_FLAG} is given; the present agent takes the flag and never uses it",
                "mount the socket where the agent looks for it instead",
            )
        )
    if _WRONG_FLAG in flags:
        problems.append(
            (f"{_WRONG_FLAG} is no flag of the present agent", "take it out of its command line")
        )
    if "--node" in flags and not flags["--node"]:
        problems.append(
            (
                "--node is empty: the agent then knows no pods",
                "set it to spec.nodeName through the downward API",
            )
        )
    problems += [
        (f"{flag} is deprecated", "take it out of the agent's command line")
        for flag in _DEPRECATED
        if flag in flags
    ]
    return SocketDiagnosis(f"{name} {version}".strip(), sockets, tuple(problems))


def diagnose_parca(
    runtime_version: str, arguments: Sequence[str], mounts: Sequence[str]
) -> Diagnosis:
    """Returns whether the agent can find out which container a process is of.

    Args:
        runtime_version: the Node's containerRuntimeVersion, empty when it may not be read.
        arguments: the agent's command line.
        mounts: paths of the node that are mounted into it.
    """
    found = diagnose_sockets(runtime_version, arguments, mounts)
    runtime = found.runtime or "a runtime that is not known (nodes may not be read)"
    if not found.problems:
        return Diagnosis("ok", f"container label: {runtime}, tries {', '.join(found.sockets)}")
    cause, remedy = found.problems[0]
    more = "".join(f"; also: {each}" for each, _ in found.problems[1:])
    return Diagnosis(
        "container label missing", f"container label, {runtime}: {cause}{more}", remedy
    )


def _older(version: str, least: tuple[int, int]) -> bool:
    numbers = version.lstrip("v").split(".")[:2]
    if len(numbers) < 2 or not all(number.isascii() and number.isdigit() for number in numbers):
        return False
    return tuple(map(int, numbers)) < least


def _covers(mount: str, path: str) -> bool:
    mount = mount.rstrip("/")
    return path == mount or path.startswith(f"{mount}/")
