"""Ephemeral containers: what is asked for, and what the kubelet says about it. Pure.

One joins the PID namespace of its target, has a cgroup of its own without a limit, and can never be
removed from the pod's spec: it only ends (Kubernetes documentation, "Ephemeral Containers").
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from gatherer.errors import DeployError
from gatherer.kube.objects.models import Container, ContainerState, Pod
from gatherer.text import one_line

NAME_PREFIX = "hunter-"

_MAX_MESSAGE = 300
_ON_ITS_WAY = ("", "ContainerCreating", "PodInitializing")
"""Reasons to wait that name no failure; after any other the kubelet only repeats what failed."""
_IMAGE = ("image", "registry", "signature")  # in the reasons that concern the image, in lower case

_NAME_A_PYTHON = "name an image that has Python 3.8 or later with --image"


def new_name() -> str:
    """Returns a name that no container of the pod has: names are never free again."""
    return NAME_PREFIX + secrets.token_hex(3)


def container_patch(
    name: str, image: str, target: str, command: Sequence[str]
) -> dict[str, object]:
    """Returns the strategic merge patch that adds the container.

    It has what kubectl's profile `general` gives, SYS_PTRACE, and says what that profile leaves to
    the image and the pod: SYS_PTRACE counts for root only, and a seccomp profile of the pod may
    forbid ptrace(2), which the runtime's own allows.

    Args:
        name: of the container.
        image: that has a Python.
        target: the container whose processes it shall see.
        command: its first process.
    """
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "targetContainerName": target,
        "securityContext": {
            "capabilities": {"add": ["SYS_PTRACE"]},
            "runAsUser": 0,
            "runAsNonRoot": False,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "File",
    }
    return {"spec": {"ephemeralContainers": [container]}}


def find(pod: Pod, name: str) -> Container | None:
    """Returns an ephemeral container of a pod."""
    return next((each for each in pod.ephemeral_containers if each.name == name), None)


def is_running(pod: Pod, name: str) -> bool:
    """Tells whether it runs by now.

    Raises:
        DeployError: it never will; the message says why and what to do.
    """
    container = find(pod, name)
    if container is None:
        raise DeployError(
            f"the API server dropped ephemeral container {name!r}",
            "the cluster has no ephemeral containers: they need Kubernetes 1.25",
        )
    state = container.state
    if state.kind == "running":
        return True
    if state.kind == "terminated":
        message = one_line(state.message) or state.reason or "it did not say why"
        raise DeployError(
            f"ephemeral container {name!r} of image {container.image!r} ended at once, exit code"
            f" {state.exit_code}: {message[:_MAX_MESSAGE]}",
            _NAME_A_PYTHON,
        )
    if not _on_its_way(container):
        raise _hopeless(container)
    return False


def earlier(pod: Pod, image: str, target: str) -> Container | None:
    """Returns the entry of an earlier try that asks for the same and has not run yet.

    A second one would wait for the same image, and none of them can ever be removed. The kubelet
    does not try again what it could not start, though it says so as if it would.

    Args:
        pod: as it is now.
        image: that is asked for.
        target: the container whose processes it shall see.
    """
    found = [
        container
        for container in pod.ephemeral_containers
        if container.name.startswith(NAME_PREFIX)
        and (container.image, container.target) == (image, target)
        and container.state.kind in ("", "waiting")
        and container.state.reason != "RunContainerError"
    ]
    return found[-1] if found else None


def check_earlier(container: Container) -> None:
    """Makes sure that the entry of an earlier try may still run.

    Args:
        container: the entry.

    Raises:
        DeployError: it cannot start.
    """
    if _on_its_way(container):
        return
    state = container.state
    raise DeployError(
        f"ephemeral container {container.name!r} of an earlier try with image"
        f" {container.image!r} is still there and cannot start ({state.reason}): {_message(state)}",
        "the kubelet goes on trying, and the entry goes with the pod only: "
        + (
            "see to it that the node can pull the image, or name another with --image"
            if _concerns_image(state.reason)
            else "see the pod's securityContext, or name another image with --image"
        ),
    )


def never_started(pod: Pod, name: str, seconds: float) -> DeployError:
    """Returns the error for one that did not run in time.

    Args:
        pod: as it was at the end.
        name: of the container.
        seconds: how long it was waited for.
    """
    container = find(pod, name)
    reason = container.state.reason if container is not None else ""
    return DeployError(
        f"ephemeral container {name!r} did not run within {seconds:.0f} s"
        + (f" ({reason})" if reason else ""),
        f"see the events with `kubectl describe pod {pod.name}`",
    )


def _hopeless(container: Container) -> DeployError:
    state = container.state
    name = f"ephemeral container {container.name!r}"
    cause = f"{name} cannot start ({state.reason}): {_message(state)}"
    if _concerns_image(state.reason):
        return DeployError(cause, "name an image that the node has or can pull with --image")
    if _lacks_python(state):
        return DeployError(cause, _NAME_A_PYTHON)
    return DeployError(cause, "see the pod's securityContext and the admission rules")


def _on_its_way(container: Container) -> bool:
    return container.state.reason in _ON_ITS_WAY


def _concerns_image(reason: str) -> bool:
    return any(word in reason.lower() for word in _IMAGE)


def _lacks_python(state: ContainerState) -> bool:
    """Tells whether the runtime did not find the program, as it says it after exec(2)."""
    text = state.message.lower()
    return any(part in text for part in ("executable file not found", "no such file"))


def _message(state: ContainerState) -> str:
    return one_line(state.message)[:_MAX_MESSAGE].rstrip(".") or "no reason given"
