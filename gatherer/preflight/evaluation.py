"""All checks in the order of cause and effect. Pure."""

from __future__ import annotations

from gatherer.preflight.checks import (
    agents,
    cluster,
    cpu,
    headroom,
    inside,
    kernel,
    privileges,
    processes,
    rights,
    tracing,
    way_in,
    workload,
)
from gatherer.preflight.findings import Finding, Report
from gatherer.preflight.target_facts import TargetFacts

CHECKS = (
    cluster,
    rights,
    workload,
    kernel,
    inside,
    privileges,
    processes,
    headroom,
    cpu,
    way_in,
    tracing,
    agents,
)


def evaluate(evidence: TargetFacts) -> Report:
    """Returns what the answers mean.

    Args:
        evidence: whatever could be learned; what follows from a failure is not judged.
    """
    found: list[Finding] = []
    for check in CHECKS:
        found += check.findings(evidence)
    target_ref = evidence.target_ref
    container = evidence.container.name if evidence.container is not None else target_ref.container
    parts = (target_ref.namespace, target_ref.pod, container)
    return Report("/".join(filter(None, parts)), tuple(found))
