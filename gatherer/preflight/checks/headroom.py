"""Checks: cgroup version, and the memory that is left below the limit. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from gatherer.text import byte_count
from hg_shared.headroom import HEADROOM_BYTES, headroom


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the rows `cgroup` and `memory`."""
    if evidence.interior is None:
        return _by_spec(evidence)
    memory = evidence.interior.memory
    if memory is None:
        return [
            Finding("cgroup", "no memory cgroup is mounted", "usage is not known", Level.UNKNOWN),
            *_by_spec(evidence),
        ]
    cgroup = Finding("cgroup", f"version {memory.version}", "")
    if memory.limit is None:
        return [
            cgroup,
            Finding("memory", "no limit", "percentages are of the node's memory", Level.NOTE),
        ]
    if memory.usage is None:
        return [
            cgroup,
            Finding(
                "memory", f"limit {byte_count(memory.limit)}, usage unreadable",
                "the headroom is not known", Level.UNKNOWN,
            ),
        ]  # fmt: skip
    left = headroom(memory.limit, memory.usage, memory.inactive_file) or 0
    working = memory.usage - memory.inactive_file
    limit = byte_count(memory.limit) + (" (limit of a parent cgroup)" if memory.parent else "")
    finding = f"{byte_count(working)} of {limit} in use, {byte_count(left)} left"
    if left >= HEADROOM_BYTES:
        return [cgroup, Finding("memory", finding, "hunter stays under 32 MiB")]
    return [
        cgroup,
        Finding(
            "memory",
            finding,
            f"hunter inside the limit wants {byte_count(HEADROOM_BYTES)} of headroom",
            Level.NOTE,
        ),
    ]


def _by_spec(evidence: TargetFacts) -> list[Finding]:
    container = evidence.container
    if container is None or evidence.container_failure is not None:
        return []
    if container.memory_limit is None:
        return [Finding("memory", "no limit in the spec", "usage is not known", Level.UNKNOWN)]
    return [
        Finding(
            "memory", f"limit {byte_count(container.memory_limit)} by the spec",
            "usage is not known", Level.UNKNOWN,
        )
    ]  # fmt: skip
