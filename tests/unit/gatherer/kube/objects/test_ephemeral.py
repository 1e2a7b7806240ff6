"""Ephemeral containers: what is asked for, and what the kubelet says of them."""

from __future__ import annotations

from typing import Any

import pytest

from gatherer.errors import DeployError
from gatherer.kube.objects.ephemeral import (
    check_earlier,
    container_patch,
    earlier,
    is_running,
    never_started,
    new_name,
)
from gatherer.kube.objects.models import Pod


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
    names = {new_name(), new_name()}  # of 2**24
    assert len(names) == 2
    assert all(name.startswith("hunter-") and name.replace("-", "").isalnum() for name in names)


@pytest.mark.parametrize(
    "state", [None, {}, {"waiting": {"reason": "ContainerCreating"}},
              {"waiting": {"reason": "PodInitializing"}}],
)  # fmt: skip
def test_one_that_may_still_come(state: dict[str, Any] | None) -> None:
    assert not is_running(pod(state), "hunter-1")


def test_one_that_runs() -> None:
    assert is_running(pod({"running": {"startedAt": "2026-01-01T00:00:00Z"}}), "hunter-1")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        # The first word of a failure: later ones only tell how often it was tried.
        (
            {"waiting": {"reason": "ErrImagePull", "message": "no such host."}},
            "cannot start (ErrImagePull): no such host; name an image that the node has or can",
        ),
        (
            {"waiting": {"reason": "ErrImageNeverPull", "message": "not present"}},
            "cannot start (ErrImageNeverPull): not present; name an image that the node has or",
        ),
        (
            {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse"}},
            "cannot start (InvalidImageName): couldn't parse; name an image that the node has or",
        ),
        (
            {"waiting": {"reason": "ImageInspectError", "message": "failed to inspect"}},
            "cannot start (ImageInspectError): failed to inspect; name an image that the node",
        ),
        (
            {"waiting": {"reason": "RunContainerError", "message": ""}},
            "cannot start (RunContainerError): no reason given; see the pod's securityContext",
        ),
        (
            {
                "waiting": {
                    "reason": "RunContainerError",
                    "message": 'exec: "python3": executable file not found in $PATH',
                }
            },
            "executable file not found in $PATH; name an image that has Python 3.8 or later with",
        ),
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
    slow = pod({"waiting": {"reason": "ContainerCreating"}})
    told = str(never_started(slow, "hunter-1", 120))
    assert "did not run within 120 s (ContainerCreating)" in told
    assert "kubectl describe pod web" in told


def tried(*entries: tuple[str, str, str, dict[str, Any] | None]) -> Pod:
    """Returns a pod with ephemeral containers: name, image, target and state of each."""
    return Pod.from_json(
        {
            "spec": {
                "ephemeralContainers": [
                    {"name": name, "image": image, "targetContainerName": target}
                    for name, image, target, _ in entries
                ]
            },
            "status": {
                "ephemeralContainerStatuses": [
                    {"name": name, "state": state}
                    for name, _, _, state in entries
                    if state is not None
                ]
            },
        }
    )


PULLING = {"waiting": {"reason": "ContainerCreating"}}
BACKING_OFF = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
OVER = {"terminated": {"exitCode": 0, "reason": "Completed"}}
RUNS = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    "entry",
    [
        ("hunter-1", "python:9", "app", OVER),
        ("hunter-1", "python:9", "app", RUNS),
        ("hunter-1", "python:9", "app", {"waiting": {"reason": "RunContainerError"}}),
        ("hunter-1", "python:8", "app", BACKING_OFF),
        ("hunter-1", "python:9", "other", BACKING_OFF),
        ("debugger-1", "python:9", "app", BACKING_OFF),
    ],
)
def test_entries_that_are_none_of_an_earlier_try(
    entry: tuple[str, str, str, dict[str, Any]],
) -> None:
    assert earlier(tried(entry), "python:9", "app") is None


@pytest.mark.parametrize("state", [None, PULLING])
def test_an_entry_of_an_earlier_try_that_is_on_its_way(state: dict[str, Any] | None) -> None:
    found = earlier(
        tried(("hunter-1", "python:9", "app", OVER), ("hunter-2", "python:9", "app", state)),
        "python:9",
        "app",
    )
    assert found is not None
    assert found.name == "hunter-2"
    check_earlier(found)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            BACKING_OFF,
            "ephemeral container 'hunter-1' of an earlier try with image 'python:9' is still there"
            " and cannot start (ImagePullBackOff): Back-off pulling image; the kubelet goes on"
            " trying, and the entry goes with the pod only: see to it that the node can pull the"
            " image, or name another with --image",
        ),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": "runs as root"}},
            "ephemeral container 'hunter-1' of an earlier try with image 'python:9' is still there"
            " and cannot start (CreateContainerConfigError): runs as root; the kubelet goes on"
            " trying, and the entry goes with the pod only: see the pod's securityContext, or"
            " name another image with --image",
        ),
    ],
)
def test_an_entry_of_an_earlier_try_that_cannot_start(state: dict[str, Any], words: str) -> None:
    found = earlier(tried(("hunter-1", "python:9", "app", state)), "python:9", "app")
    assert found is not None
    with pytest.raises(DeployError) as caught:
        check_earlier(found)
    assert str(caught.value) == words
