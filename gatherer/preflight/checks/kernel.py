"""Check: operating system, architecture and kernel of the node. Pure."""

from __future__ import annotations

import re

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts

MACHINES = ("x86_64", "aarch64")
"""Architectures hunter has system call tables and tracers for."""

KERNEL = (5, 3)
"""The first with PTRACE_GET_SYSCALL_INFO."""


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the row `node`."""
    pod, node = evidence.pod, evidence.node
    if pod is None or not pod.node:
        return []
    os = pod.os or (node.os if node is not None else "")
    if os and os != "linux":
        return [
            Finding(
                "node",
                f"{pod.node}: {os}",
                "hunter runs on Linux only",
                Level.STOPS,
                "name a pod on a Linux node",
                cause=f"node {pod.node} runs {os}, hunter runs on Linux only",
            )
        ]
    parts = [f"{os or 'linux'}/{evidence.machine or 'unknown architecture'}"]
    parts.append(f"kernel {evidence.kernel or 'unknown'}")
    if node is not None:
        parts += [node.runtime, f"kubelet {node.kubelet}"]
    finding = f"{pod.node}: {', '.join(filter(None, parts))}"
    if node is not None and node.ready is False:
        return [
            Finding(
                "node",
                f"{finding}, not ready: {node.message or 'no reason told'}",
                "the kubelet may not answer",
                Level.LIMITS,
                f"see `kubectl describe node {pod.node}`",
                cause=f"node {pod.node} is not ready: {node.message or 'no reason told'}",
            )
        ]
    if evidence.machine and evidence.machine not in MACHINES:
        why = f"hunter has no system call table for {evidence.machine}"
        return [_untraced(finding, why, f"trace a pod on a node of {' or '.join(MACHINES)}")]
    if too_old(evidence.kernel):
        why = f"kernel {evidence.kernel} has no PTRACE_GET_SYSCALL_INFO, which came with 5.3"
        return [_untraced(finding, why, "trace a pod on a node with a newer kernel")]
    return [Finding("node", finding, "" if evidence.machine else "the probe will tell")]


def _untraced(finding: str, why: str, remedy: str) -> Finding:
    return Finding(
        "node",
        finding,
        f"{why}: memory evidence only",
        Level.LIMITS,
        remedy,
        cause=f"tracing is denied: {why}",
    )


def too_old(release: str) -> bool:
    """Whether a kernel release is known to lack PTRACE_GET_SYSCALL_INFO."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})", release)
    return match is not None and (int(match[1]), int(match[2])) < KERNEL
