"""Check: how hunter gets into the container, or beside it. Pure."""

from __future__ import annotations

from gatherer.kube.review import Right
from gatherer.preflight.evidence import Evidence
from gatherer.preflight.findings import Finding, Level
from gatherer.ways import NoWay, inside

PATCH_EPHEMERAL = Right("patch", "pods/ephemeralcontainers")


def findings(evidence: Evidence) -> list[Finding]:
    """Returns the row `way in`."""
    interior, container = evidence.interior, evidence.container
    if evidence.container_failure is not None or container is None:
        return []
    if interior is None and not evidence.refused:
        return []
    way = inside(interior)
    if not isinstance(way, NoWay):
        later = " (if a bundled Python can be had, else ephemeral)" if way.kind == "bundle" else ""
        return [Finding("way in", f"{way.kind}: {way.reason}{later}", "")]
    allowed = evidence.rights.get(PATCH_EPHEMERAL)
    if allowed is not False:
        doubt = "" if allowed else ", if it may be added"
        return [
            Finding(
                "way in",
                f"ephemeral: {way.cause}",
                f"hunter runs beside the container{doubt}; the entry stays in the pod's spec",
                Level.NOTE,
            )
        ]
    remedy = "allow patch pods/ephemeralcontainers, or add CPython 3.8 or later to the image"
    if way.crowded:
        remedy = (
            "allow patch pods/ephemeralcontainers, raise resources.limits.memory of the container,"
            " or go on all the same with --force"
        )
    return [
        Finding(
            "way in",
            f"none: {way.cause}",
            "hunter runs neither in the container nor beside it",
            Level.STOPS,
            remedy,
            cause=f"hunter can run neither in container {container.name!r}: {way.cause}; nor"
            f" beside it: patch pods/ephemeralcontainers is not allowed",
        )
    ]
