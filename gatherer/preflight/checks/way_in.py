"""Check: how hunter gets into the container, or beside it. Pure."""

from __future__ import annotations

from gatherer.inject.plan import InjectionPlan, no_room_beside, plan
from gatherer.kube.objects.review import Right
from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts

PATCH_EPHEMERAL = Right("patch", "pods/ephemeralcontainers")


def choice(evidence: TargetFacts) -> InjectionPlan | None:
    """Returns the way a capture would take, None when the container was not looked into."""
    pod, container, interior = evidence.pod, evidence.container, evidence.interior
    if pod is None or container is None or evidence.container_failure is not None:
        return None
    if interior is None and not evidence.refused:
        return None
    others = evidence.others.items() if pod.shares_process_namespace else None
    return plan(container.name, interior, others, evidence.target_ref.force)


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the row `way in`."""
    chosen = choice(evidence)
    if chosen is None or evidence.container is None:
        return []
    if chosen.inject != "ephemeral":
        bundle = chosen.inject == "bundle"
        later = " (if a bundled Python can be had, else ephemeral)" if bundle else ""
        return [Finding("way in", f"{chosen.inject}: {chosen.reason}{later}", "")]
    allowed = evidence.rights.get(PATCH_EPHEMERAL)
    refused = "" if evidence.target_ref.force else _no_room(evidence)
    if refused:
        return [
            Finding(
                "way in",
                f"none: {chosen.reason}; {refused}",
                "hunter runs neither in the container nor beside it",
                Level.STOPS,
                "raise resources.limits.memory of the container, or go on all the same with"
                " --force",
                cause=f"hunter can run neither in container {evidence.container.name!r}:"
                f" {chosen.reason}; nor beside it: {refused}",
            )
        ]
    if allowed is not False:
        doubt = "" if allowed else ", if it may be added"
        return [
            Finding(
                "way in",
                f"ephemeral: {chosen.reason}",
                f"hunter runs beside the container{doubt}; the entry stays in the pod's spec",
                Level.NOTE,
            )
        ]
    remedy = "allow patch pods/ephemeralcontainers, or add CPython 3.8 or later to the image"
    if chosen.lacks_headroom:
        remedy = (
            "allow patch pods/ephemeralcontainers, raise resources.limits.memory of the container,"
            " or go on all the same with --force"
        )
    return [
        Finding(
            "way in",
            f"none: {chosen.reason}",
            "hunter runs neither in the container nor beside it",
            Level.STOPS,
            remedy,
            cause=f"hunter can run neither in container {evidence.container.name!r}:"
            f" {chosen.reason}; nor beside it: patch pods/ephemeralcontainers is not allowed",
        )
    ]


def _no_room(evidence: TargetFacts) -> str:
    """Returns why the pod has no room for an ephemeral container, empty when it has."""
    assert evidence.pod is not None
    assert evidence.container is not None
    memory = evidence.interior.memory if evidence.interior is not None else None
    return no_room_beside(evidence.pod, evidence.container, memory)
