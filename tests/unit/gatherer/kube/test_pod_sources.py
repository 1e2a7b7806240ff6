from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gatherer.errors import ClusterUnreachable, Forbidden, NotFound, TargetNotFound
from gatherer.kube.pod_sources import PodSource, SelectedPods, pod_source
from gatherer.kube.references import Reference
from gatherer.kube.watch_events import PodList, WatchEvent
from gatherer.kube.workloads import Workload
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


async def test_a_named_pod_needs_no_list() -> None:
    api = ScriptedApi(pods=[pod("web-1")])
    source = pod_source(api, "default", Reference("pods", "web-1"), print)
    assert await names(source) == [["web-1"]]
    assert api.asked == [("get", "default", "web-1")]
    assert not source.live
    assert await source.exhausted()
    with pytest.raises(NotFound):
        await names(pod_source(api, "default", Reference("pods", "nope"), print))


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
