"""The questions to the API server and the container. Nothing is written and nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from gatherer.errors import (
    ApiError,
    ExecError,
    GathererError,
    ServerError,
    TargetNotFound,
    Unauthorized,
)
from gatherer.inject.plan import goes_inside, in_sidecar, inside
from gatherer.kube.objects.containers import check_running, choose_container
from gatherer.kube.objects.models import Pod
from gatherer.kube.objects.node import Node
from gatherer.preflight.checks.rights import RIGHTS, missing
from gatherer.preflight.target_facts import TargetFacts, TargetRef
from gatherer.probe.container_probe import PROBE_SECONDS, look_inside
from gatherer.probe.facts import ContainerFacts
from gatherer.probe.run_command import ExecStreams, OpenExec
from gatherer.timeouts import within

if TYPE_CHECKING:
    from gatherer.kube.api import KubernetesApi
    from gatherer.kube.auth.access import ClusterAccess


T = TypeVar("T")


async def ask(access: ClusterAccess, api: KubernetesApi, target_ref: TargetRef) -> TargetFacts:
    """Returns all that can be learned about a target; failures are part of it.

    Args:
        access: to the API server, for execs.
        api: of the same server.
        target_ref: the target.
    """
    return await ask_inside(access, await ask_cluster(api, target_ref))


async def ask_inside(access: ClusterAccess, evidence: TargetFacts) -> TargetFacts:
    """Returns the evidence with what an exec shows, where one makes sense.

    Args:
        access: to the API server.
        evidence: what the server told about the target.
    """
    if (
        evidence.failure is not None
        or evidence.container is None
        or evidence.container_failure is not None
        or (evidence.node is not None and evidence.node.os not in ("", "linux"))
        or missing(evidence)
    ):
        return evidence
    from gatherer.kube.exec.session import open_exec

    target_ref = evidence.target_ref

    def execs_in(container: str) -> OpenExec:
        async def run(command: Sequence[str], stdin: bool) -> ExecStreams:
            return await open_exec(
                access, target_ref.namespace, target_ref.pod, container, command, stdin=stdin
            )

        return run

    seen = await ask_container(evidence, execs_in(evidence.container.name))
    return await ask_others(seen, execs_in) if wants_others(seen) else seen


def wants_others(evidence: TargetFacts) -> bool:
    """Whether hunter may have to run in another container that sees the target's processes."""
    pod, interior = evidence.pod, evidence.interior
    if pod is None or not pod.shares_process_namespace or evidence.interior_failure is not None:
        return False
    way = inside(interior, force=evidence.target_ref.force)
    return not goes_inside(way, interior, shared=True)


async def ask_others(evidence: TargetFacts, execs_in: Callable[[str], OpenExec]) -> TargetFacts:
    """Returns the evidence with what the pod's other containers show, the first that will do last.

    Args:
        evidence: about a container that will not do.
        execs_in: gives what starts commands in a container.
    """
    assert evidence.pod is not None
    assert evidence.container is not None
    others: dict[str, ContainerFacts | None] = {}
    for other in (*evidence.pod.containers, *evidence.pod.init_containers):
        if other.name == evidence.container.name or other.state.kind != "running":
            continue
        try:
            async with within(PROBE_SECONDS):
                others[other.name] = (await look_inside(execs_in(other.name)))[0]
        except (TimeoutError, GathererError):
            others[other.name] = None
        if in_sidecar(others[other.name], evidence.target_ref.force) is not None:
            break
    return replace(evidence, others=others)


async def ask_cluster(api: KubernetesApi, target_ref: TargetRef) -> TargetFacts:
    """Returns what the API server tells. All requests but that for the node go out at once.

    Args:
        api: of the server.
        target_ref: the target.
    """
    version, user, pod, *rights = await asyncio.gather(
        caught(api.version()),
        caught(api.user()),
        caught(api.read_pod(target_ref.namespace, target_ref.pod)),
        *(caught(api.may(right, target_ref.namespace)) for right in RIGHTS),
    )
    evidence = TargetFacts(
        target_ref,
        failure=_common_failure((version, pod, *rights)),
        version=version if isinstance(version, str) else "",
        user=user if isinstance(user, str) else "",
        rights={
            right: answer if isinstance(answer, bool) else None
            for right, answer in zip(RIGHTS, rights, strict=True)
        },
    )
    if evidence.failure is not None:
        return evidence
    if not isinstance(pod, Pod):
        return replace(evidence, pod_failure=pod if isinstance(pod, GathererError) else None)
    evidence = _choose(evidence, pod)
    if pod.node:
        node = await caught(api.read_node(pod.node))
        if isinstance(node, Node):
            evidence = replace(evidence, node=node)
    return evidence


async def ask_container(evidence: TargetFacts, open_exec: OpenExec) -> TargetFacts:
    """Returns the evidence with what the inside of the container shows.

    Args:
        evidence: about a container that runs.
        open_exec: starts commands in it.
    """
    try:
        async with within(PROBE_SECONDS):
            seen, refused = await look_inside(open_exec)
    except TimeoutError:
        return replace(
            evidence,
            interior_failure=ExecError(
                f"looking into the container took more than {PROBE_SECONDS:.0f} s",
                "see whether the container is out of CPU: `kubectl top pod`",
            ),
        )
    except GathererError as error:
        return replace(evidence, interior_failure=error)
    return replace(evidence, interior=seen, refused=refused)


def _choose(evidence: TargetFacts, pod: Pod) -> TargetFacts:
    """Returns the evidence with the container that is meant, and why it cannot be captured."""
    try:
        container = choose_container(pod, evidence.target_ref.container)
    except TargetNotFound as error:
        return replace(evidence, pod=pod, container_failure=error)
    try:
        check_running(pod, container)
    except TargetNotFound as error:
        return replace(evidence, pod=pod, container=container, container_failure=error)
    return replace(evidence, pod=pod, container=container)


async def caught(request: Awaitable[T]) -> T | GathererError:
    """Returns the error of a request instead of raising it: a refusal is an answer too."""
    try:
        return await request
    except GathererError as error:
        return error


def _common_failure(answers: Sequence[object]) -> GathererError | None:
    """Returns why the server answers nobody: no connection, or credentials it refuses."""
    failures = [answer for answer in answers if isinstance(answer, GathererError)]
    for failure in failures:
        if not isinstance(failure, ApiError) or isinstance(failure, Unauthorized):
            return failure
    broken = len(failures) == len(answers) and isinstance(failures[0], ServerError)
    return failures[0] if broken else None
