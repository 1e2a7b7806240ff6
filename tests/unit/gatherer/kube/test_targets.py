from __future__ import annotations

from dataclasses import replace

import pytest

from gatherer.errors import TargetNotFound
from gatherer.kube.models import DEFAULT_CONTAINER_ANNOTATION, Container, ContainerState, Pod
from gatherer.kube.targets import check_running, choose_container

from .recordings import load


def pod_of(name: str) -> Pod:
    return Pod.from_json(load(f"{name}.json"))


def refusal(pod: Pod, requested: str | None = None) -> TargetNotFound:
    with pytest.raises(TargetNotFound) as caught:
        check_running(pod, choose_container(pod, requested))
    assert str(caught.value).isprintable()
    assert caught.value.remedy
    return caught.value


def test_the_only_container_needs_no_name() -> None:
    pod = pod_of("problempod-with-ephemeral")
    container = choose_container(pod, None)
    assert container.name == "buggycontainer"
    check_running(pod, container)


def test_a_named_container() -> None:
    pod = pod_of("sharedpod")
    for name in ("app", "sidecar"):
        assert choose_container(pod, name).name == name
        check_running(pod, choose_container(pod, name))


def test_several_containers_are_listed() -> None:
    error = refusal(pod_of("sharedpod"))
    assert error.cause == "pod 'sharedpod' has 2 containers"
    assert error.remedy == "choose one with -c: app, sidecar"


def test_the_default_container_annotation_decides() -> None:
    pod = replace(pod_of("sharedpod"), annotations={DEFAULT_CONTAINER_ANNOTATION: "sidecar"})
    assert choose_container(pod, None).name == "sidecar"
    assert choose_container(pod, "app").name == "app"


def test_a_default_container_that_does_not_exist_is_named() -> None:
    pod = replace(pod_of("sharedpod"), annotations={DEFAULT_CONTAINER_ANNOTATION: "web"})
    error = refusal(pod)
    assert "names 'web', which is none of its containers" in error.cause
    assert "app, sidecar" in error.remedy


def test_a_container_that_does_not_exist_lists_all_with_their_kind() -> None:
    error = refusal(pod_of("problempod-with-ephemeral"), "nope")
    assert error.cause == "pod 'problempod' has no container 'nope'"
    assert "buggycontainer, d1-legacy (ephemeral)" in error.remedy


def test_a_pod_without_containers() -> None:
    assert "has no containers" in refusal(Pod("default", "empty")).cause


def test_a_crashing_container() -> None:
    error = refusal(pod_of("crashpod"))
    assert error.cause == (
        "container 'crashcontainer' of pod 'crashpod' is not running: "
        "Error, exit code 1, restarted 6 times"
    )
    assert "kubectl logs crashpod -c crashcontainer --previous" in error.remedy


def test_an_oom_killed_container() -> None:
    assert "OOMKilled, exit code 137" in refusal(pod_of("oompod")).cause


def test_a_pod_that_has_ended() -> None:
    cause = refusal(pod_of("donepod")).cause
    assert cause == "pod 'donepod' has ended, its phase is Failed: Error, exit code 3"


def test_an_evicted_pod_says_so() -> None:
    pod = Pod(
        *("default", "p"),
        phase="Failed",
        reason="Evicted",
        message="The node was low on resource: memory.",
        containers=(Container("c"),),
    )
    assert "Failed (Evicted: The node was low on resource: memory)" in refusal(pod).cause


def test_an_image_that_cannot_be_pulled() -> None:
    error = refusal(pod_of("noimagepod"))
    assert 'ErrImageNeverPull): Container image "nosuch:dev" is not present' in error.cause
    assert "imagePullPolicy" in error.remedy


def test_an_unscheduled_pod() -> None:
    error = refusal(pod_of("pendingpod"))
    assert "'pendingpod' is not scheduled to a node yet: 0/1 nodes are available" in error.cause
    assert "kubectl describe pod pendingpod" in error.remedy


def waiting(reason: str, last: ContainerState | None = None) -> Pod:
    container = Container(
        "c", state=ContainerState("waiting", reason), last_state=last or ContainerState()
    )
    return Pod("default", "p", node="n", phase="Running", containers=(container,))


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("ImagePullBackOff", "pull secrets"),
        ("CreateContainerConfigError", "securityContext"),
        ("ContainerCreating", "kubectl wait --for=condition=Ready pod/p"),
        ("PodInitializing", "init containers"),
        ("SomethingNew", "kubectl describe pod p"),
    ],
)
def test_each_reason_to_wait_has_a_remedy(reason: str, remedy: str) -> None:
    error = refusal(waiting(reason))
    assert f"it is waiting ({reason})" in error.cause
    assert remedy in error.remedy


def test_a_crash_loop_tells_how_the_last_instance_ended() -> None:
    last = ContainerState("terminated", "OOMKilled", exit_code=137)
    error = refusal(waiting("CrashLoopBackOff", last))
    assert error.cause.endswith(
        "is waiting (CrashLoopBackOff), it last ended with OOMKilled, exit code 137"
    )
    assert "kubectl logs p -c c --previous" in error.remedy


def test_a_container_the_kubelet_has_said_nothing_about() -> None:
    pod = Pod("default", "p", node="n", phase="Pending", containers=(Container("c"),))
    assert "it is waiting (Pending)" in refusal(pod).cause
