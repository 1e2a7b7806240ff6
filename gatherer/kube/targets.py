"""Which container of a pod is meant, and whether it can be traced now. Pure."""

from __future__ import annotations

from gatherer.errors import TargetNotFound
from gatherer.kube.models import DEFAULT_CONTAINER_ANNOTATION, Container, ContainerState, Pod
from gatherer.text import how_often

_WAITING_REMEDIES = {
    "CrashLoopBackOff": "see `kubectl logs {pod} -c {container} --previous` for why it crashes, "
    "and start gatherer when it runs",
    "ImagePullBackOff": "check the image's name and the pull secrets",
    "ErrImagePull": "check the image's name and the pull secrets",
    "ErrImageNeverPull": "bring the image to the node, or change imagePullPolicy",
    "InvalidImageName": "correct the image's name",
    "CreateContainerConfigError": "check the config maps, secrets and securityContext it names",
    "CreateContainerError": "see the events with `kubectl describe pod {pod}`",
    "RunContainerError": "see the events with `kubectl describe pod {pod}`",
    "ContainerCreating": "wait until it runs: `kubectl wait --for=condition=Ready pod/{pod}`",
    "PodInitializing": "wait until the init containers are done",
}
ALL_CONTAINERS = "*"
_MAX_MESSAGE = 300  # characters of the kubelet's words


def choose_container(pod: Pod, requested: str | None) -> Container:
    """Returns the container to capture.

    Args:
        pod: of the target.
        requested: name given with `-c`; any container of the pod, ephemeral ones included.

    Raises:
        TargetNotFound: there is no such container, or several and nothing tells which.
    """
    everything = (*pod.containers, *pod.init_containers, *pod.ephemeral_containers)
    if requested:
        for container in everything:
            if container.name == requested:
                return container
        raise TargetNotFound(
            f"pod {pod.name!r} has no container {requested!r}",
            f"choose one of: {_names(everything)}",
        )
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
        TargetNotFound: it does not; the message says why and what to do.
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
    if state.kind == "terminated":
        raise TargetNotFound(
            f"{name} is not running: {_ending(state)},"
            f" restarted {how_often(container.restart_count)}",
            f"see `kubectl logs {pod.name} -c {container.name} --previous`, and start gatherer "
            "when it runs",
        )
    if not pod.node:
        why = f": {_shorten(pod.message)}" if pod.message else ""
        raise TargetNotFound(
            f"pod {pod.name!r} is not scheduled to a node yet{why}",
            f"see its events with `kubectl describe pod {pod.name}`",
        )
    reason = state.reason or pod.phase or "Unknown"
    remedy = _WAITING_REMEDIES.get(reason, "see the events with `kubectl describe pod {pod}`")
    words = f": {_shorten(state.message)}" if state.message else ""
    last = container.last_state
    before = f", it last ended with {_ending(last)}" if last.kind == "terminated" else ""
    raise TargetNotFound(
        f"{name} is not running, it is waiting ({reason}){words}".rstrip(".") + before,
        remedy.format(pod=pod.name, container=container.name),
    )


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
