from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from gatherer.errors import (
    ClusterUnreachable,
    Forbidden,
    GathererError,
    NotFound,
    TargetNotFound,
)
from gatherer.kube.objects.models import Owner, Pod
from gatherer.kube.objects.references import Reference
from gatherer.kube.objects.workloads import Workload
from gatherer.kube.watch.pod_sources import NamedPod, PodSource, SelectedPods, pod_source
from gatherer.kube.watch.watch_events import PodList, WatchEvent
from tests.unit.gatherer.kube.scripted_api import ScriptedApi, ScriptEnded, pod

DEPLOYMENT = Workload(Reference("deployments", "web"), "d", "app=web")
OLD = Workload(Reference("replicasets", "web-1"), "rs1", "app=web,hash=1", "d")
NEW = Workload(Reference("replicasets", "web-2"), "rs2", "app=web,hash=2", "d")
FOREIGN = Workload(Reference("replicasets", "other-1"), "rs9", "app=web", "other")


async def names(source: PodSource) -> list[list[str]]:
    """Returns the names of the pods, as they come, to the end of the script."""
    seen = []
    try:
        async for changes in source.changes():
            seen.append([change.pod.name for change in changes])
    except ScriptEnded:
        pass
    return seen


def deployment(
    api: ScriptedApi, notes: list[str], reference: Reference = DEPLOYMENT.reference
) -> PodSource:
    return pod_source(api, "default", reference, notes.append)


class OnePod:
    """An API server with one pod, whose answers to GET are a script; it may not be watched."""

    def __init__(self, *answers: Pod | GathererError) -> None:
        self._answers = list(answers)

    async def read_pod(self, namespace: str, name: str) -> Pod:
        answer = self._answers.pop(0)
        if isinstance(answer, GathererError):
            raise answer
        return answer

    async def watch_pods(self, *_: object, **more: object) -> AsyncIterator[WatchEvent]:
        raise Forbidden("you may not watch pods")
        yield


async def followed(*answers: Pod | GathererError) -> list[list[tuple[str, str, bool]]]:
    """Returns uid, phase and whether it is gone, of each batch of changes."""
    source = NamedPod(OnePod(*answers), "default", "web-1")  # type: ignore[arg-type]
    seen = []
    async for changes in source.changes():
        seen.append([(change.pod.uid, change.pod.phase, change.gone) for change in changes])
    assert not source.live
    assert await source.exhausted()
    return seen


GONE = NotFound("no such pod", "", 404)


async def test_a_named_pod_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatherer.kube.watch.last_seen.POLL_SECONDS", 0.001)
    first, later = pod("web-1", "one", phase="Pending"), pod("web-1", "one")
    away = ClusterUnreachable("no answer")
    assert await followed(first, first, away, later, later, GONE) == [
        [("one", "Pending", False)], [("one", "Running", False)], [("one", "Running", True)]
    ]  # fmt: skip
    with pytest.raises(NotFound):
        await followed(GONE)


async def test_a_named_pod_that_its_statefulset_makes_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatherer.kube.watch.last_seen.POLL_SECONDS", 0.001)
    owner = Owner("StatefulSet", "web", "uid")
    first = replace(pod("web-1", "one"), owner=owner)
    going = replace(first, deletion_timestamp="2026-11-21T08:40:30Z")
    second = replace(pod("web-1", "two", phase="Pending"), owner=owner)
    last = replace(second, owner=Owner())
    assert await followed(first, going, GONE, GONE, second, last, GONE) == [
        [("one", "Running", False)],
        [("one", "Running", True), ("two", "Pending", False)],
        [("two", "Pending", False)],
        [("two", "Pending", True)],
    ]


async def test_a_selector_that_takes_nothing_is_an_error_at_the_start_alone() -> None:
    with pytest.raises(TargetNotFound, match=r"no pod in namespace 'default' .* 'app=nope'"):
        await names(SelectedPods(ScriptedApi([PodList((), "1")]), "default", "app=nope", print))
    gone = WatchEvent("DELETED", pod("a"), "2")
    api = ScriptedApi([PodList((pod("a"),), "1")], [[gone]])
    source = SelectedPods(api, "default", "app=web", print)
    assert await names(source) == [["a"], ["a"]]
    assert not await source.exhausted()


async def test_a_deployments_pods_are_those_of_its_replica_sets() -> None:
    first = PodList((pod("old", controller="rs1"), pod("stray"), pod("x", controller="rs9")), "1")
    rollout = [
        WatchEvent("ADDED", pod("new", controller="rs2"), "2"),
        WatchEvent("ADDED", pod("x2", controller="rs9"), "3"),
    ]
    api = ScriptedApi(
        [first], [rollout], [DEPLOYMENT],
        [[OLD, FOREIGN], [OLD, FOREIGN], [OLD, FOREIGN], [OLD, NEW, FOREIGN]],
    )  # fmt: skip
    notes: list[str] = []
    assert await names(deployment(api, notes)) == [["old"], ["new"]]
    assert notes == []
    # One list for each controller that was not known.
    assert sum(asked[0] == "list replicasets" for asked in api.asked) == 4


async def test_without_the_right_to_list_replica_sets_the_selector_decides() -> None:
    refused = Forbidden("replicasets is forbidden", verb="list", resource="replicasets")
    listed = PodList((pod("a", controller="rs1"), pod("b", controller="rs9")), "1")
    notes: list[str] = []
    api = ScriptedApi([listed], [], [DEPLOYMENT], [refused])
    assert await names(deployment(api, notes)) == [["a", "b"]]
    assert notes == ["replicasets is forbidden; every pod that the selector takes is traced"]


@pytest.mark.parametrize("resource", ["replicasets", "statefulsets", "daemonsets", "jobs"])
async def test_other_workloads_own_their_pods_themselves(resource: str) -> None:
    reference = Reference(resource, "db")
    workload = Workload(reference, "w", "app=db")
    listed = PodList((pod("db-0", controller="w"), pod("other", controller="x")), "1")
    api = ScriptedApi([listed], [], [workload])
    assert await names(deployment(api, [], reference)) == [["db-0"]]


async def test_a_workload_without_pods_says_so() -> None:
    done = replace(DEPLOYMENT, reference=Reference("jobs", "once"), finished=True)
    api = ScriptedApi([PodList((), "1")], [], [done])
    with pytest.raises(TargetNotFound, match="job/once has no pods any more, it has finished"):
        await names(deployment(api, [], done.reference))
    bare = replace(DEPLOYMENT, selector="")
    with pytest.raises(TargetNotFound, match="deployment/web has no selector"):
        await names(deployment(ScriptedApi(workloads=[bare]), []))


@pytest.mark.parametrize(
    ("answers", "exhausted"),
    [
        ([DEPLOYMENT], False),
        ([NotFound("gone")], True),
        ([ClusterUnreachable("no answer")], False),
        ([replace(DEPLOYMENT, finished=True)], True),
    ],
)
async def test_a_workload_is_exhausted_when_it_is_gone_or_done(
    answers: Sequence[Workload | Exception], exhausted: bool
) -> None:
    assert await deployment(ScriptedApi(workloads=answers), []).exhausted() is exhausted
