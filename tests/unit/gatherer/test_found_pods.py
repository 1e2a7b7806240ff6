from __future__ import annotations

from dataclasses import replace

import pytest

from gatherer.errors import TargetNotFound
from gatherer.found_pods import FoundPods
from gatherer.kube.models import Container, ContainerState
from gatherer.kube.pod_watch import PodChange
from tests.unit.gatherer.kube.scripted_api import pod

WAITING = ContainerState("waiting", "CrashLoopBackOff")
WEB = pod("web-1", containers=("main", "proxy"))


def found(container: str | None, *changes: PodChange, live: bool = True) -> FoundPods:
    pods = FoundPods(container)
    for change in changes:
        pods.take(live, change)
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


def test_a_container_that_does_not_run_waits_unless_its_pod_was_named() -> None:
    crashing = PodChange(pod("web-1", state=WAITING))
    assert shown(found(None, crashing)) == {"web-1/main": "wait"}
    assert shown(found(None, crashing, live=False)) == {"web-1/main": "refuse"}
    ended = PodChange(pod("web-1", phase="Succeeded"))
    assert shown(found(None, ended)) == {}


def test_a_pod_that_is_deleted_is_gone_at_once() -> None:
    pods = found(None, PodChange(pod("web-1")), PodChange(pod("web-2")))
    pods.take(True, PodChange(pod("web-1", deletion_timestamp="2026-11-21T10:45:01Z")))
    pods.take(True, PodChange(pod("web-2"), gone=True))
    assert shown(pods) == {}
    assert "uid-web-1" not in pods
    with pytest.raises(TargetNotFound, match="being deleted"):
        pods.check()


def test_who_finds_a_pod_first_keeps_it() -> None:
    waiting = PodChange(pod("web-1", state=WAITING))
    pods = found(None, waiting, live=False)
    pods.take(True, waiting)
    assert shown(pods) == {"web-1/main": "refuse"}


def test_an_instance_runs_on_until_it_is_told_otherwise() -> None:
    container = Container("main", state=ContainerState("running"), container_id="containerd://1")
    first = replace(pod("web-1"), containers=(container,))
    pods = found(None, PodChange(first))
    assert pods.runs("uid-web-1", "main", "containerd://1")
    restarted = replace(container, container_id="containerd://2")
    pods.take(True, PodChange(replace(first, containers=(restarted,))))
    assert not pods.runs("uid-web-1", "main", "containerd://1")
    assert not pods.runs("uid-web-9", "main", "containerd://1")
