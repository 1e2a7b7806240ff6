from __future__ import annotations

from dataclasses import replace

import pytest

from gatherer.errors import TargetNotFound, TargetNotRunning
from gatherer.kube.objects.containers import backoff_seconds, check_running, choose_container
from gatherer.kube.objects.models import (
    DEFAULT_CONTAINER_ANNOTATION,
    Container,
    ContainerState,
    Owner,
    Pod,
)

from ..recordings import load


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
        ("ContainerCreating", "a capture waits for it with --wait 5m"),
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


def not_yet(pod: Pod, requested: str | None = None) -> TargetNotRunning:
    error = refusal(pod, requested)
    assert isinstance(error, TargetNotRunning), error
    return error


def never(pod: Pod, requested: str | None = None) -> str:
    error = refusal(pod, requested)
    assert not isinstance(error, TargetNotRunning), error
    return error.cause


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("crashpod", "Error", "exit code 1, restarted 6 times, runs again within about 300 s"),
        ("oompod", "OOMKilled", "exit code 137, restarted once, runs again within about 10 s"),
        ("pendingpod", "Unschedulable", "0/1 nodes are available: 1 node(s) didn't match Pod's"),
    ],
)
def test_recorded_pods_that_may_run_later(name: str, reason: str, message: str) -> None:
    error = not_yet(pod_of(name))
    assert error.reason == reason
    assert error.message.startswith(message)


@pytest.mark.parametrize("name", ["donepod", "noimagepod"])
def test_recorded_pods_that_never_will(name: str) -> None:
    never(pod_of(name))


@pytest.mark.parametrize(
    "reason",
    [
        *("CrashLoopBackOff", "ContainerCreating", "PodInitializing", "ErrImagePull"),
        *("ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError"),
        *("RunContainerError", "SomethingNew"),
    ],
)
def test_whatever_the_kubelet_tries_again_is_waited_for(reason: str) -> None:
    assert not_yet(waiting(reason)).reason == reason


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_what_only_a_person_can_end_is_not_waited_for(reason: str) -> None:
    assert reason in never(waiting(reason))


def ended(code: int, policy: str = "Always", **more: object) -> Pod:
    state = ContainerState("terminated", "Error" if code else "Completed", exit_code=code)
    container = Container("c", state=state, **more)  # type: ignore[arg-type]
    return Pod("default", "p", node="n", phase="Running", containers=(container,),
               restart_policy=policy)  # fmt: skip


def test_an_end_that_the_restart_policy_leaves_for_good() -> None:
    assert never(ended(3, "Never")) == (
        "container 'c' of pod 'p' has ended and is not restarted (restartPolicy Never):"
        " Error, exit code 3"
    )
    assert "restartPolicy OnFailure" in never(ended(0, "OnFailure"))
    assert "restartPolicy Never" in never(ended(3, "Always", restart_policy="Never"))


def test_an_end_that_a_restart_follows() -> None:
    assert not_yet(ended(0)).reason == "Completed"
    assert not_yet(ended(3, "OnFailure")).reason == "Error"
    assert not_yet(ended(3, "Never", restart_policy="Always")).reason == "Error"


def initializing(*inits: Container, policy: str = "Always", target: str = "PodInitializing") -> Pod:
    main = Container("main", state=ContainerState("waiting", target))
    return Pod("default", "p", node="n", phase="Pending", containers=(main,),
               init_containers=inits, restart_policy=policy)  # fmt: skip


RUNNING = ContainerState("running")
DONE = ContainerState("terminated", "Completed", exit_code=0)
FAILED = ContainerState("terminated", "Error", exit_code=2)
LOOPING = ContainerState("waiting", "CrashLoopBackOff", "back-off 10s restarting")


@pytest.mark.parametrize(
    ("inits", "words"),
    [
        ([Container("a", state=RUNNING)], "init container 'a' runs"),
        ([Container("a", state=DONE), Container("b", state=RUNNING)], "init container 'b' runs"),
        (
            [Container("proxy", state=RUNNING, restart_policy="Always"),
             Container("b", state=FAILED)],
            "init container 'b' ended with Error, exit code 2",
        ),
        (
            [Container("a", state=LOOPING, last_state=FAILED)],
            "init container 'a' is waiting (CrashLoopBackOff), back-off 10s restarting,"
            " it last ended with Error, exit code 2",
        ),
        ([Container("a")], "init container 'a' is waiting (not started)"),
        ([Container("a", state=DONE)], ""),
    ],
)  # fmt: skip
def test_what_comes_first_is_told(inits: list[Container], words: str) -> None:
    error = not_yet(initializing(*(replace(one, kind="init") for one in inits)), "main")
    assert (error.reason, error.message) == ("PodInitializing", words)
    assert "a capture waits for it" in error.remedy


def test_an_init_container_whose_image_is_no_image_is_the_end() -> None:
    first = Container("a", "init", state=ContainerState("waiting", "InvalidImageName"))
    assert "init container 'a' is waiting (InvalidImageName)" in never(initializing(first), "main")


def test_a_sidecar_waits_for_the_init_containers_before_it_only() -> None:
    waits = ContainerState("waiting", "PodInitializing")
    pod = initializing(
        Container("a", "init", state=RUNNING),
        Container("proxy", "init", state=waits, restart_policy="Always"),
        Container("z", "init", state=waits),
    )
    assert not_yet(pod, "proxy").message == "init container 'a' runs"
    restarted = replace(
        pod, init_containers=(Container("proxy", "init", state=FAILED, restart_policy="Always"),)
    )
    assert not_yet(restarted, "proxy").reason == "Error"


def test_an_init_container_that_has_done_its_work_does_not_run_again() -> None:
    assert "has ended" in never(initializing(Container("a", "init", state=DONE)), "a")
    assert not_yet(initializing(Container("a", "init", state=FAILED)), "a").reason == "Error"
    pod = initializing(Container("a", "init", state=FAILED), policy="Never")
    assert "has ended" in never(pod, "a")


def test_a_pod_that_is_being_deleted_comes_back_with_a_statefulset_only() -> None:
    pod = replace(waiting("CrashLoopBackOff"), deletion_timestamp="2026-11-21T08:40:30Z")
    assert never(pod) == "pod 'p' is being deleted"
    error = not_yet(replace(pod, owner=Owner("StatefulSet", "db", "uid")))
    assert (error.reason, error.message) == ("Deleted", "StatefulSet 'db' makes it anew")


@pytest.mark.parametrize(
    ("restarts", "seconds"), [(0, 0), (1, 10), (2, 20), (5, 160), (6, 300), (1000000, 300)]
)
def test_the_pauses_before_restarts(restarts: int, seconds: int) -> None:
    assert backoff_seconds(Container("c", restart_count=restarts)) == seconds
