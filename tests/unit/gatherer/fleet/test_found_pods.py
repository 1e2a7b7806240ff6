from __future__ import annotations

from dataclasses import replace

import pytest

from gatherer.errors import TargetNotFound
from gatherer.fleet.found_pods import FoundPods
from gatherer.kube.objects.models import Container, ContainerState
from gatherer.kube.watch.pod_watch import PodChange
from tests.unit.gatherer.kube.scripted_api import pod

WAITING = ContainerState("waiting", "CrashLoopBackOff")
WEB = pod("web-1", containers=("main", "proxy"))


def found(
    container: str | None, *changes: PodChange, live: bool = True, patient: bool = True
) -> FoundPods:
    pods = FoundPods(container, patient)
    for change in changes:
        pods.apply(live, change)
    return pods


def shown(pods: FoundPods) -> dict[str, str]:
    """Returns what is to become of each container."""
    words = {}
    for one in pods.containers():
        state = "run" if one.running else "wait"
        if one.refusal is not None:
            state = "skip" if one.optional else "refuse"
        words[f"{one.name.pod}/{one.name.container}"] = state
    return words


@pytest.mark.parametrize(
    ("container", "live", "expected"),
    [
        (None, True, {"web-1/-": "refuse"}),
        ("*", True, {"web-1/main": "run", "web-1/proxy": "run"}),
        ("main", True, {"web-1/main": "run"}),
        ("other", True, {"web-1/other": "skip"}),
        ("other", False, {"web-1/other": "refuse"}),
    ],
)
def test_which_containers_of_a_pod(
    container: str | None, live: bool, expected: dict[str, str]
) -> None:
    assert shown(found(container, PodChange(WEB), live=live)) == expected


@pytest.mark.parametrize("live", [False, True])
def test_a_container_that_does_not_run_yet_is_waited_for(live: bool) -> None:
    crashing = PodChange(pod("web-1", state=WAITING))
    assert shown(found(None, crashing, live=live)) == {"web-1/main": "wait"}
    [one] = found(None, crashing, live=live).containers()
    assert one.waits is not None
    assert one.waits.reason == "CrashLoopBackOff"


def test_without_patience_one_that_was_named_is_refused() -> None:
    crashing = PodChange(pod("web-1", state=WAITING))
    assert shown(found(None, crashing, patient=False)) == {"web-1/main": "wait"}
    assert shown(found(None, crashing, live=False, patient=False)) == {"web-1/main": "refuse"}


@pytest.mark.parametrize("live", [False, True])
def test_one_that_cannot_run_is_refused(live: bool) -> None:
    hopeless = ContainerState("waiting", "InvalidImageName")
    change = PodChange(pod("web-1", state=hopeless))
    assert shown(found(None, change, live=live)) == {"web-1/main": "refuse"}


def test_one_of_many_that_has_done_its_work_is_none() -> None:
    done = ContainerState("terminated", "Completed", exit_code=0)
    change = PodChange(pod("web-1", state=done, restart_policy="Never"))
    assert shown(found(None, change)) == {}
    assert shown(found(None, change, live=False)) == {"web-1/main": "refuse"}


def test_a_pod_that_has_ended_is_none() -> None:
    ended = PodChange(pod("web-1", phase="Succeeded"))
    assert shown(found(None, ended)) == {}


def test_a_pod_that_is_deleted_is_gone_at_once() -> None:
    pods = found(None, PodChange(pod("web-1")), PodChange(pod("web-2")))
    pods.apply(True, PodChange(pod("web-1", deletion_timestamp="2026-11-21T10:45:01Z")))
    pods.apply(True, PodChange(pod("web-2"), gone=True))
    assert shown(pods) == {}
    assert "uid-web-1" not in pods
    with pytest.raises(TargetNotFound, match="being deleted"):
        pods.check()


def test_who_finds_a_pod_first_keeps_it() -> None:
    waiting = PodChange(pod("web-1", state=WAITING))
    pods = found(None, waiting, live=False, patient=False)
    pods.apply(True, waiting)
    assert shown(pods) == {"web-1/main": "refuse"}


def test_an_instance_runs_on_until_it_is_told_otherwise() -> None:
    container = Container("main", state=ContainerState("running"), container_id="containerd://1")
    first = replace(pod("web-1"), containers=(container,))
    pods = found(None, PodChange(first))
    assert pods.runs("uid-web-1", "main", "containerd://1")
    restarted = replace(container, container_id="containerd://2")
    pods.apply(True, PodChange(replace(first, containers=(restarted,))))
    assert not pods.runs("uid-web-1", "main", "containerd://1")
    assert not pods.runs("uid-web-9", "main", "containerd://1")
