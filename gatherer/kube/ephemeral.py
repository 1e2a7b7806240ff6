"""Ephemeral containers: what is asked for, and what the kubelet says about it. Pure.

One joins the PID namespace of its target, has a cgroup of its own without a limit, and can never be
removed from the pod's spec: it only ends (Kubernetes documentation, "Ephemeral Containers").
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from gatherer.errors import DeployError
from gatherer.kube.answers import one_line
from gatherer.kube.models import Container, Pod

DEFAULT_IMAGE = "python:3.13-slim"
NAME_PREFIX = "hunter-"

_MAX_MESSAGE = 300
_PULL = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_HOPELESS = (
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    *("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"),
)


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
        words = one_line(state.message) or state.reason or "it did not say why"
        raise DeployError(
            f"ephemeral container {name!r} of image {container.image!r} ended at once, exit code"
            f" {state.exit_code}: {words[:_MAX_MESSAGE]}",
            "name an image that has Python 3.8 or later with --image",
        )
    if state.reason in _HOPELESS:
        raise _hopeless(container)
    return False


def never_started(pod: Pod, name: str, seconds: float) -> DeployError:
    """Returns the error for one that did not run in time.

    Args:
        pod: as it was at the end.
        name: of the container.
        seconds: how long it was waited for.
    """
    container = find(pod, name)
    if container is not None and container.state.reason in _PULL:
        return _hopeless(container)
    reason = container.state.reason if container is not None else ""
    return DeployError(
        f"ephemeral container {name!r} did not run within {seconds:.0f} s"
        + (f" ({reason})" if reason else ""),
        f"see the events with `kubectl describe pod {pod.name}`",
    )


def _hopeless(container: Container) -> DeployError:
    state = container.state
    words = one_line(state.message)[:_MAX_MESSAGE].rstrip(".")
    cause = f"ephemeral container {container.name!r} cannot start ({state.reason}): {words}"
    if state.reason in _PULL:
        return DeployError(cause, "name an image that the node has or can pull with --image")
    return DeployError(cause, "see the pod's securityContext and the admission rules")
