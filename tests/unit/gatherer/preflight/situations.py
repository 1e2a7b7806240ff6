"""Evidence for tests: a healthy target, and what can be wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from gatherer.errors import GathererError
from gatherer.kube.objects.containers import check_running, choose_container
from gatherer.kube.objects.models import Pod
from gatherer.kube.objects.node import Node
from gatherer.kube.objects.review import Right
from gatherer.preflight.checks.rights import RIGHTS
from gatherer.preflight.findings import Finding, Report
from gatherer.preflight.target_facts import TargetFacts, TargetRef
from gatherer.probe.facts import ContainerFacts
from gatherer.probe.output import interior

FIXTURES = Path(__file__).parents[3] / "fixtures"
SERVER = "https://10.0.0.1:6443"
USER = "system:serviceaccount:default:tracer"


def document(name: str) -> Any:
    """Returns a recorded object, a fresh one each time."""
    folder = FIXTURES / "kubernetes"
    if not (folder / f"{name}.json").exists():
        folder = FIXTURES.parent / "cluster" / "standin" / "objects"
    return json.loads((folder / f"{name}.json").read_text())


def probe_output(name: str) -> bytes:
    """Returns what the probe printed in a container of that name."""
    return (FIXTURES / "probe" / f"{name}.txt").read_bytes()


@cache
def seen(name: str) -> ContainerFacts:
    """Returns what the probe saw in a container of that name."""
    found = interior(probe_output(name), "sh", "sh")
    assert found is not None
    return found


def edited(name: str, **replaced: str) -> ContainerFacts:
    """Returns what the probe would have seen with other lines in its output.

    Args:
        name: of the recording.
        replaced: the start of a line, with ``_`` for a space, to the whole line.
    """
    text = probe_output(name).decode()
    for start, line in replaced.items():
        prefix = start.replace("_", " ")
        lines = text.splitlines()
        assert any(old.startswith(prefix) for old in lines), prefix
        text = "\n".join(line if old.startswith(prefix) else old for old in lines)
    found = interior(text.encode(), "sh", "sh")
    assert found is not None
    return found


def target(name: str, container: str | None = None) -> TargetFacts:
    """Returns the evidence about a recorded pod whose inside was not asked about."""
    return of_pod(document(name), container)


def of_pod(manifest: Any, container: str | None = None) -> TargetFacts:
    pod = Pod.from_json(manifest)
    evidence = TargetFacts(
        TargetRef("default", pod.name, container, "prod", SERVER),
        version="v1.36.2",
        user=USER,
        rights=dict.fromkeys(RIGHTS, True),
        pod=pod,
        node=Node.from_json(document("node1")),
    )
    try:
        chosen = choose_container(pod, container)
    except GathererError as error:
        return replace(evidence, container_failure=error)
    evidence = replace(evidence, container=chosen)
    try:
        check_running(pod, chosen)
    except GathererError as error:
        return replace(evidence, container_failure=error)
    return evidence


def healthy(**changes: Any) -> TargetFacts:
    """Returns the evidence about problempod, running and traceable."""
    return replace(target("problempod"), interior=seen("problempod"), **changes)


def without(*rights: tuple[str, str]) -> dict[Right, bool | None]:
    """Returns the answers when some rights are refused."""
    return {right: (right.verb, right.resource) not in rights for right in RIGHTS}


def row(report: Report, check: str) -> Finding:
    """Returns the row of a check."""
    (found,) = [finding for finding in report.findings if finding.check == check]
    return found
