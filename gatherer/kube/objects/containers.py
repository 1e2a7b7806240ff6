"""The container of a pod that is meant, and whether it can be traced now. Pure."""

from __future__ import annotations

from typing import NoReturn

from gatherer.errors import TargetNotFound, TargetNotRunning
from gatherer.kube.objects.endings import restarts
from gatherer.kube.objects.models import (
    DEFAULT_CONTAINER_ANNOTATION,
    Container,
    ContainerState,
    Pod,
    condition,
)
from gatherer.text import how_often

_WAITS = "a capture waits for it with --wait 5m"
_WAITING_REMEDIES = {
    "CrashLoopBackOff": "see `kubectl logs {pod} -c {container} --previous` for why it crashes; "
    + _WAITS,
    "ImagePullBackOff": "check the image's name and the pull secrets",
    "ErrImagePull": "check the image's name and the pull secrets",
    "ErrImageNeverPull": "bring the image to the node, or change imagePullPolicy",
    "InvalidImageName": "correct the image's name",
    "CreateContainerConfigError": "check the config maps, secrets and securityContext it names",
    "CreateContainerError": "see the events with `kubectl describe pod {pod}`",
    "RunContainerError": "see the events with `kubectl describe pod {pod}`",
    "ContainerCreating": _WAITS,
    "PodInitializing": "wait until the init containers are done; " + _WAITS,
}
_HOPELESS = ("InvalidImageName", "ErrImageNeverPull")
"""Reasons to wait that only an edit of the pod or the node ends: Kubernetes does nothing more."""
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 10, 300
"""The kubelet's pauses before restarts (KubeletConfiguration crashLoopBackOff, defaults)."""
ALL_CONTAINERS = "*"
_MAX_MESSAGE = 300  # characters of the kubelet's message


def choose_container(pod: Pod, requested: str | None) -> Container:
    """Returns the container to capture.

    Args:
        pod: of the target.
        requested: name given with `-c`; any container of the pod, ephemeral ones included.

    Raises:
        TargetNotFound: there is no such container, or several and nothing tells which.
    """
    if requested:
        found = pod.find_container(requested)
        if found is None:
            raise TargetNotFound(
                f"pod {pod.name!r} has no container {requested!r}",
                f"choose one of: {_names(pod.all_containers)}",
            )
        return found
    if not pod.containers:
        raise TargetNotFound(
            f"pod {pod.name!r} has no containers", "check the pod with `kubectl describe pod`"
        )
    default = (pod.annotations or {}).get(DEFAULT_CONTAINER_ANNOTATION)
    if default:
        for container in pod.containers:
            if container.name == default:
                return container
        raise TargetNotFound(
            f"the annotation {DEFAULT_CONTAINER_ANNOTATION} of pod {pod.name!r} names "
            f"{default!r}, which is none of its containers",
            f"choose one with -c: {_names(pod.containers)}",
        )
    if len(pod.containers) == 1:
        return pod.containers[0]
    raise TargetNotFound(
        f"pod {pod.name!r} has {len(pod.containers)} containers",
        f"choose one with -c: {_names(pod.containers)}",
    )


def wanted_containers(pod: Pod, requested: str | None) -> tuple[Container, ...]:
    """Returns the containers of one of many pods to capture.

    Args:
        pod: one of the targets.
        requested: as `choose_container` takes it; `*` is every container that keeps running,
            sidecars included, ephemeral ones not.

    Raises:
        TargetNotFound: there is no such container, or several and nothing tells which.
    """
    if requested != ALL_CONTAINERS:
        return (choose_container(pod, requested),)
    sidecars = (c for c in pod.init_containers if c.restart_policy == "Always")
    found = (*pod.containers, *sidecars)
    if not found:
        raise TargetNotFound(
            f"pod {pod.name!r} has no containers", "check the pod with `kubectl describe pod`"
        )
    return found


def has_ended(pod: Pod) -> bool:
    """Whether no container of a pod will run again."""
    return pod.phase in ("Succeeded", "Failed")


def check_running(pod: Pod, container: Container) -> None:
    """Makes sure that the container runs.

    Raises:
        TargetNotRunning: it does not, and may later: it is restarted, scheduled, pulled, made, or
            init containers come first; the message says why and what to do.
        TargetNotFound: it does not and never will.
    """
    name = f"container {container.name!r} of pod {pod.name!r}"
    state = container.state
    if state.kind == "running":
        return
    if has_ended(pod):
        ended = _ending(state) if state.kind == "terminated" else ""
        why = f" ({pod.reason}: {_shorten(pod.message)})" if pod.reason else ""
        raise TargetNotFound(
            f"pod {pod.name!r} has ended, its phase is {pod.phase}{why}{ended and ': ' + ended}",
            "name a pod that runs: `kubectl get pods`",
        )
    if pod.deletion_timestamp:
        _refuse_deleted(pod)
    if state.kind == "terminated":
        _refuse_terminated(pod, container, name)
    if not pod.node:
        why = f": {_shorten(pod.message)}" if pod.message else ""
        raise TargetNotRunning(
            f"pod {pod.name!r} is not scheduled to a node yet{why}",
            f"see its events with `kubectl describe pod {pod.name}`",
            condition(pod.conditions, "PodScheduled").reason or "Pending",
            _shorten(pod.message),
        )
    _refuse_waiting(pod, container, name)


def _refuse_deleted(pod: Pod) -> NoReturn:
    cause = f"pod {pod.name!r} is being deleted"
    if pod.owner.kind == "StatefulSet":
        message = f"StatefulSet {pod.owner.name!r} makes it anew"
        raise TargetNotRunning(f"{cause}, and {message}", _WAITS, "Deleted", message)
    raise TargetNotFound(cause, "name a pod that runs: `kubectl get pods`")


def _refuse_terminated(pod: Pod, container: Container, name: str) -> NoReturn:
    state = container.state
    if not restarts(pod, container, state):
        policy = container.restart_policy or pod.restart_policy
        raise TargetNotFound(
            f"{name} has ended and is not restarted (restartPolicy {policy}): {_ending(state)}",
            "name a container that runs: `kubectl get pods`",
        )
    pause = backoff_seconds(container)
    after = f", runs again within about {pause} s" if pause else ""
    raise TargetNotRunning(
        f"{name} is not running: {_ending(state)}, restarted {how_often(container.restart_count)}",
        _WAITING_REMEDIES["CrashLoopBackOff"].format(pod=pod.name, container=container.name),
        state.reason or "Terminated",
        f"exit code {state.exit_code}, restarted {how_often(container.restart_count)}{after}",
    )


def _refuse_waiting(pod: Pod, container: Container, name: str) -> NoReturn:
    state = container.state
    reason = state.reason or pod.phase or "Unknown"
    message = f": {_shorten(state.message)}" if state.message else ""
    hopeless = reason in _HOPELESS
    remedy = _WAITING_REMEDIES.get(reason, "see the events with `kubectl describe pod {pod}`")
    remedy = remedy.format(pod=pod.name, container=container.name)
    first = _init_container(pod, container)
    if first is not None:
        told = _init_state(first)
        message = f"{message}: {told}" if not state.message else f"{message}, {told}"
        if first.state.reason in _HOPELESS:
            hopeless, remedy = True, _WAITING_REMEDIES[first.state.reason]
    last = container.last_state
    before = f", it last ended with {_ending(last)}" if last.kind == "terminated" else ""
    cause = f"{name} is not running, it is waiting ({reason}){message}".rstrip(".") + before
    if hopeless:
        raise TargetNotFound(cause, remedy)
    raise TargetNotRunning(cause, remedy, reason, f"{message.lstrip(': ')}{before}".lstrip(", "))


def _init_container(pod: Pod, container: Container) -> Container | None:
    """Returns the init container that a container waits for, None for none."""
    for one in pod.init_containers:
        if one.name == container.name:
            return None
        state = one.state
        sidecar = one.restart_policy == "Always"
        if state.kind == "running" and sidecar:
            continue
        if state.kind == "terminated" and state.exit_code == 0 and not sidecar:
            continue
        return one
    return None


def _init_state(container: Container) -> str:
    state = container.state
    name = f"init container {container.name!r}"
    if state.kind == "running":
        return f"{name} runs"
    if state.kind == "terminated":
        return f"{name} ended with {_ending(state)}"
    message = f", {_shorten(state.message)}" if state.message else ""
    last = container.last_state
    before = f", it last ended with {_ending(last)}" if last.kind == "terminated" else ""
    return f"{name} is waiting ({state.reason or 'not started'}){message}{before}"


def backoff_seconds(container: Container) -> int:
    """Returns about how long the kubelet lets a container rest before it restarts it.

    Args:
        container: that has ended; its first restart comes at once.
    """
    if not container.restart_count:
        return 0
    doubled = min(container.restart_count - 1, 10)
    return min(FIRST_BACKOFF_SECONDS << doubled, MAX_BACKOFF_SECONDS)


def _ending(state: ContainerState) -> str:
    reason = state.reason or "ended"
    signal = f", signal {state.signal}" if state.signal else ""
    return f"{reason}, exit code {state.exit_code}{signal}"


def _names(containers: tuple[Container, ...]) -> str:
    return ", ".join(
        c.name if c.kind == "container" else f"{c.name} ({c.kind})" for c in containers
    )


def _shorten(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"
