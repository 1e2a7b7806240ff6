"""Check: how hunter gets into the container. Pure."""

from __future__ import annotations

from gatherer.preflight.evidence import Evidence
from gatherer.preflight.findings import Finding, Level


def findings(evidence: Evidence) -> list[Finding]:
    """Returns the row `way in`."""
    interior = evidence.interior
    if evidence.container_failure is not None or evidence.container is None:
        return []
    if interior is None and not evidence.refused:
        return []
    name = f"container {evidence.container.name!r}"
    python = interior.python if interior is not None else None
    if interior is None or python is None:
        lack = _lack(evidence)
        return [
            Finding(
                "way in",
                f"none: {lack}",
                "hunter runs on a Python",
                Level.STOPS,
                "add CPython 3.8 or later, with ctypes, to the image",
                cause=f"hunter has nothing to run on: {name} has {lack}",
            )
        ]
    if not interior.places:
        return [
            Finding(
                "way in",
                "none: nothing is writable",
                "hunter is brought as a file",
                Level.STOPS,
                "mount an emptyDir at /tmp, or drop readOnlyRootFilesystem",
                EMPTY_DIR_MANIFEST.replace("CONTAINER", evidence.container.name),
                cause=f"nothing is writable in {name}",
            )
        ]
    return [Finding("way in", f"copy: to {interior.places[0].path}, run by {python}", "")]


EMPTY_DIR_MANIFEST = """\
spec:
  containers:
  - name: CONTAINER
    volumeMounts:
    - {name: tmp, mountPath: /tmp}
  volumes:
  - name: tmp
    emptyDir: {}
"""


def _lack(evidence: Evidence) -> str:
    interior = evidence.interior
    if interior is None:
        return "no shell and no Python that could be run"
    if interior.interpreters:
        return f"only {interior.interpreters[0]}"
    if interior.killed is not None:
        return (
            f"no Python that runs: {interior.killed[0]} was killed by signal {interior.killed[1]}"
        )
    return "no Python"
