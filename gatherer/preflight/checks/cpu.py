"""Check: how much CPU the container may use, which hunter in it shares. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from hg_shared.cpu_quota import LITTLE_CPUS


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the row `cpu`, none where there is no limit or nobody could look."""
    cpus = evidence.interior.cpus if evidence.interior is not None else None
    if cpus is None:
        return []
    finding = f"limit {cpus:g} CPUs"
    if cpus >= LITTLE_CPUS:
        return [Finding("cpu", finding, "hunter in the container shares it")]
    return [
        Finding(
            "cpu",
            finding,
            "hunter shares it: what it traces with ptrace is slowed down to what is left, and a"
            " hunter that gets none for 2 s is ended",
            Level.LIMITS,
            "give limits.cpu of 100m or more, or run hunter beside the container with"
            " --inject ephemeral",
            cause=f"the container may use {cpus:g} CPUs only, which hunter shares",
        )
    ]
