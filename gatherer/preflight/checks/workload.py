"""Checks: the pod, the container and its liveness probe. Pure."""

from __future__ import annotations

from gatherer.errors import Forbidden
from gatherer.kube.objects.models import Container, Pod
from gatherer.kube.objects.pod_spec import HealthCheck
from gatherer.preflight.checks.rights import GET_PODS, missing
from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from gatherer.text import how_often

_PATIENT = 5
"""Seconds of timeout from which a slowed-down target hardly fails its probe."""


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the rows `pod`, `container` and `liveness`."""
    if evidence.failure is not None:
        return []
    if evidence.pod_failure is not None:
        failure = evidence.pod_failure
        if isinstance(failure, Forbidden) and GET_PODS in missing(evidence):
            return []  # the row `get pods` says so
        return [Finding("pod", failure.cause, "", Level.STOPS, failure.remedy)]
    pod, container = evidence.pod, evidence.container
    if pod is None:
        return []
    found = [_pod(pod)]
    if evidence.container_failure is not None:
        failure = evidence.container_failure
        found.append(Finding("container", failure.cause, "", Level.STOPS, failure.remedy))
    elif container is not None:
        found.append(_container(container))
    if container is not None and container.liveness is not None:
        found.append(_liveness(container.liveness))
    return found


def _pod(pod: Pod) -> Finding:
    where = f"on node {pod.node}" if pod.node else "on no node yet"
    finding = f"{pod.namespace}/{pod.name}: {pod.phase or 'no phase told'} {where}"
    if pod.deletion_timestamp:
        return Finding(
            "pod",
            f"{finding}, being deleted since {pod.deletion_timestamp}",
            "the capture ends with it",
            Level.LIMITS,
            "name the pod that replaces it: `kubectl get pods`",
        )
    return Finding("pod", finding, "")


def _container(container: Container) -> Finding:
    finding = f"{container.name}: running since {container.state.started_at or 'an unknown time'}"
    if not container.restart_count:
        return Finding("container", finding, "")
    last = container.last_state
    ended = f", last ended with {last.reason or 'Error'} ({last.exit_code})" if last.kind else ""
    return Finding(
        "container",
        f"{finding}, restarted {how_often(container.restart_count)}{ended}",
        "it may end while it is traced",
        Level.NOTE,
    )


def _liveness(check: HealthCheck) -> Finding:
    finding = (
        f"{check.action} every {check.period} s, timeout {check.timeout} s, "
        f"{check.failures} failures"
    )
    failing = check.period * (check.failures - 1) + check.timeout
    if check.timeout >= _PATIENT:
        return Finding("liveness", finding, "leaves time for a target that is slowed down")
    return Finding(
        "liveness",
        finding,
        f"a target slowed down past {check.timeout} s for {failing} s is restarted",
        Level.NOTE,
        "keep the slowdown small with --max-overhead 10%, or trace less with -e",
    )
