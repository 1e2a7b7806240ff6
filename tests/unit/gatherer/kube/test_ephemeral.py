"""Ephemeral containers: what is asked for, and what the kubelet says of them."""

from __future__ import annotations

from typing import Any

import pytest

from gatherer.errors import DeployError
from gatherer.kube.ephemeral import container_patch, is_running, never_started, new_name
from gatherer.kube.models import Pod


def pod(state: dict[str, Any] | None) -> Pod:
    statuses = [] if state is None else [{"name": "hunter-1", "state": state}]
    return Pod.from_json(
        {
            "metadata": {"name": "web"},
            "spec": {"ephemeralContainers": [{"name": "hunter-1", "image": "python:9"}]},
            "status": {"ephemeralContainerStatuses": statuses},
        }
    )


def test_the_patch_is_the_general_profile_as_root() -> None:
    patch = container_patch("hunter-1", "python:9", "app", ["python3", "-c", "x"])
    (container,) = patch["spec"]["ephemeralContainers"]  # type: ignore[index]
    assert container["targetContainerName"] == "app"
    assert container["command"] == ["python3", "-c", "x"]
    security = container["securityContext"]
    assert security["capabilities"] == {"add": ["SYS_PTRACE"]}
    # SYS_PTRACE counts for root only, whatever the pod or the image say.
    assert (security["runAsUser"], security["runAsNonRoot"]) == (0, False)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    # Fields that no ephemeral container may have.
    assert not {"resources", "ports", "livenessProbe", "lifecycle"} & set(container)


def test_names_are_dns_labels_and_never_the_same() -> None:
    names = {new_name() for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("hunter-") and name.replace("-", "").isalnum() for name in names)


@pytest.mark.parametrize(
    "state", [None, {}, {"waiting": {"reason": "ContainerCreating"}},
              {"waiting": {"reason": "ErrImagePull", "message": "once more"}}],
)  # fmt: skip
def test_one_that_may_still_come(state: dict[str, Any] | None) -> None:
    assert not is_running(pod(state), "hunter-1")


def test_one_that_runs() -> None:
    assert is_running(pod({"running": {"startedAt": "2026-01-01T00:00:00Z"}}), "hunter-1")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling "python:9".'}},
            'cannot start (ImagePullBackOff): Back-off pulling "python:9"; name an image that',
        ),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": "no\nroot"}},
            "cannot start (CreateContainerConfigError): no root; see the pod's securityContext",
        ),
        (
            {"terminated": {"exitCode": 128, "reason": "StartError", "message": "no python3"}},
            "of image 'python:9' ended at once, exit code 128: no python3; name an image",
        ),
        (
            {"terminated": {"exitCode": 1, "reason": "Error"}},
            "ended at once, exit code 1: Error",
        ),
    ],
)
def test_one_that_never_will(state: dict[str, Any], words: str) -> None:
    with pytest.raises(DeployError) as caught:
        is_running(pod(state), "hunter-1")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_server_that_drops_it() -> None:
    with pytest.raises(DeployError, match=r"Kubernetes 1\.25"):
        is_running(pod(None), "hunter-2")


def test_one_that_takes_too_long_says_what_it_waits_for() -> None:
    pulling = pod({"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}})
    assert "(ErrImagePull): i/o timeout" in str(never_started(pulling, "hunter-1", 120))
    slow = pod({"waiting": {"reason": "ContainerCreating"}})
    told = str(never_started(slow, "hunter-1", 120))
    assert "did not run within 120 s (ContainerCreating)" in told
    assert "kubectl describe pod web" in told
