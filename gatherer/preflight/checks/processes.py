"""Checks: whose processes can be seen, and whether somebody traces them already. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from gatherer.probe.facts import ContainerFacts
from gatherer.text import byte_count, printable


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the rows `pid namespace` and `processes`."""
    found = []
    pod = evidence.pod
    if pod is not None and evidence.container is not None:
        if pod.host_pid:
            whose = Finding(
                "pid namespace", "the node's", "every process of the node can be seen", Level.NOTE
            )
        elif pod.shares_process_namespace:
            whose = Finding(
                "pid namespace", "shared by the pod's containers",
                "processes of the other containers can be seen; 1 is the pause process",
                Level.NOTE,
            )  # fmt: skip
        else:
            whose = Finding("pid namespace", "the container's own", "")
        found.append(whose)
    if evidence.interior is not None:
        found.append(_processes(evidence.interior))
    return found


def _processes(interior: ContainerFacts) -> Finding:
    processes = [process for process in interior.processes if process.own]
    others = len(interior.processes) - len(processes)
    if not processes:
        return Finding(
            "processes", "none but the probe", "there is nothing to trace: is /proc hidden?",
            Level.UNKNOWN,
        )  # fmt: skip
    biggest = processes[0]
    count = f"{len(processes)}{' and more' if interior.cut else ''}"
    finding = (
        f"{count}, the biggest {biggest.pid} {printable(biggest.command, 40)} "
        f"{byte_count(biggest.rss_bytes)}" + (f"; {others} of other containers" if others else "")
    )
    traced = [process for process in processes if process.tracer]
    if not traced:
        return Finding("processes", finding, "none is traced by anybody (TracerPid 0)")
    named = ", ".join(f"{process.pid} by {process.tracer}" for process in traced[:3])
    return Finding(
        "processes", finding, f"already traced: {named}; those are left alone",
        Level.NOTE if len(traced) < len(processes) else Level.LIMITS,
        "end the other tracer: `kubectl exec` and `ps` show it",
        cause=f"every process is already traced: {named}",
    )  # fmt: skip
