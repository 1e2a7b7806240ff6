"""Check: the API server answers, and who it takes the user for. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the rows `cluster` and `user`."""
    target_ref = evidence.target_ref
    context = f" (context {target_ref.context})" if target_ref.context else ""
    if evidence.failure is not None:
        return [
            Finding(
                "cluster", evidence.failure.cause, "", Level.STOPS, evidence.failure.remedy
            )
        ]  # fmt: skip
    version = evidence.version or "a version it does not tell"
    found = [Finding("cluster", f"{target_ref.server}{context}: {version}", "it answers")]
    if evidence.user:
        found.append(Finding("user", evidence.user, ""))
    return found
