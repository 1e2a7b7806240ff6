"""Checks: what the container has that hunter can use: shell, Python, places to write. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from gatherer.probe.facts import ContainerFacts
from gatherer.probe.interpreters import MINIMUM_VERSION

_MAX_PLACES = 6


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the rows `shell`, `python` and `places`, or why nobody could look."""
    if evidence.interior_failure is not None:
        failure = evidence.interior_failure
        return [Finding("inside", failure.cause, "", Level.STOPS, failure.remedy)]
    interior = evidence.interior
    if interior is not None:
        return [_shell(interior), _python(interior), _places(interior)]
    if not evidence.refused or evidence.container is None:
        return []
    security = evidence.container.security
    user = "the image's user" if security.run_as_user is None else f"uid {security.run_as_user}"
    root = "read-only root" if security.read_only_root else "writable root"
    return [
        Finding(
            "shell", f"none that can be run: {evidence.refused}",
            "the container can only be judged by its spec", Level.NOTE,
        ),
        Finding("python", "none that can be run", "hunter has nothing to run on", Level.NOTE),
        Finding("spec", f"{user}, {root}", "all that is known of the inside", Level.UNKNOWN),
    ]  # fmt: skip


def _shell(interior: ContainerFacts) -> Finding:
    if interior.shell:
        return Finding("shell", interior.shell, "")
    return Finding("shell", "none", f"{interior.asked} was asked instead")


def _python(interior: ContainerFacts) -> Finding:
    found = interior.python
    wanted = ".".join(map(str, MINIMUM_VERSION))
    if found is not None:
        return Finding("python", f"{found}, with ctypes", "hunter runs on it")
    if interior.interpreters:
        first = interior.interpreters[0]
        lack = "has no ctypes" if first.version >= MINIMUM_VERSION else f"is older than {wanted}"
        return Finding("python", str(first), f"{lack}: hunter cannot run on it", Level.NOTE)
    if interior.killed is not None:
        path, number = interior.killed
        return Finding(
            "python", f"{path} was killed by signal {number} when it was asked",
            "want of memory, or a seccomp profile that kills", Level.NOTE,
        )  # fmt: skip
    return Finding("python", "none", "hunter has nothing to run on", Level.NOTE)


def _places(interior: ContainerFacts) -> Finding:
    if not interior.places:
        return Finding("places", "nothing is writable", "hunter can only be in memory", Level.NOTE)
    named = [
        place.path if place.executable else f"{place.path} (noexec)" for place in interior.places
    ]
    more = len(named) - _MAX_PLACES
    listed = ", ".join(named[:_MAX_PLACES]) + (f" and {more} more" if more > 0 else "")
    return Finding("places", listed, "writable")
