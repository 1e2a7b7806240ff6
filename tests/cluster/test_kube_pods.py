"""Lists and watches of pods, and workloads, by gatherer's client against the stand-in cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gatherer.errors import ApiError, Forbidden, NotFound
from gatherer.kube import api as kube_api
from gatherer.kube.api import KubernetesApi
from gatherer.kube.objects.references import parse_reference
from gatherer.kube.watch import pod_watch
from gatherer.kube.watch.pod_sources import PodSource, SelectedPods, WorkloadApi, pod_source
from tests.cluster.kube_access import access_to
from tests.cluster.standin.harness import StandInCluster, owned_pod, pod_manifest

MakePod = Callable[..., dict[str, Any]]


@pytest.fixture
async def connect(cluster: StandInCluster) -> AsyncIterator[Callable[[str], KubernetesApi]]:
    """Makes clients for users."""
    made: list[KubernetesApi] = []

    def connect_as(user: str) -> KubernetesApi:
        made.append(KubernetesApi(access_to(cluster, user)))
        return made[-1]

    yield connect_as
    for api in made:
        await api.aclose()


def sleeper(name: str, **labels: str) -> dict[str, Any]:
    pod = pod_manifest(name, ["sleep", "1000"], image="bare:dev")
    pod["metadata"]["labels"] = labels
    return pod


async def until(source: PodSource, wanted: Callable[[dict[str, bool]], bool]) -> dict[str, bool]:
    """Follows a source until something holds of its pods: name to whether it is gone."""
    known: dict[str, bool] = {}
    async with asyncio.timeout(60):
        async for changes in source.changes():
            known |= {change.pod.name: change.gone for change in changes}
            if wanted(known):
                return known
    raise AssertionError(f"the source ended with {known}")


async def test_pods_are_listed_page_by_page(
    connect: Callable[[str], KubernetesApi], make_pod: MakePod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_api, "_PAGE", 2)
    for number in range(5):
        make_pod(sleeper(f"paged-{number}", app="paged"), wait=False)
    listed = await connect("viewer").list_pods("default", "app=paged")
    assert [pod.name for pod in listed.pods] == [f"paged-{number}" for number in range(5)]
    assert listed.version.isdigit()


async def test_a_selector_that_is_none_is_refused_by_the_server(
    connect: Callable[[str], KubernetesApi],
) -> None:
    with pytest.raises(ApiError, match="unable to parse requirement") as caught:
        await connect("viewer").list_pods("default", "app in web")
    assert caught.value.status == 400


@pytest.mark.parametrize(("user", "watches"), [("viewer", True), ("unwatching", False)])
async def test_pods_that_appear_and_go_are_noticed(
    cluster: StandInCluster,
    connect: Callable[[str], KubernetesApi],
    make_pod: MakePod,
    monkeypatch: pytest.MonkeyPatch,
    user: str,
    watches: bool,
) -> None:
    monkeypatch.setattr(pod_watch, "POLL_SECONDS", 0.05)
    make_pod(sleeper("here", app="seen"), wait=False)
    notes: list[str] = []
    source = SelectedPods(connect(user), "default", "app=seen", notes.append)
    seen = asyncio.Event()

    def wanted(known: dict[str, bool]) -> bool:
        if "late" in known:
            seen.set()
        return known.get("late") is True

    following = asyncio.ensure_future(until(source, wanted))
    await asyncio.to_thread(make_pod, sleeper("other", app="unseen"), wait=False)
    await asyncio.to_thread(cluster.create_pod, sleeper("late", app="seen"))
    # Polling sees only what lasts.
    await asyncio.wait_for(seen.wait(), 60)
    await asyncio.to_thread(cluster.delete_pod, "late")
    assert await following == {"here": False, "late": True}
    assert bool(notes) is not watches
    if notes:
        assert "cannot watch resource" in notes[0]


async def test_a_deployments_pods_by_its_own_rights(
    cluster: StandInCluster, connect: Callable[[str], KubernetesApi], make_pod: MakePod
) -> None:
    labels = {"app": "front"}
    deployment = cluster.create_workload("deployments", "front", labels)
    replica_set = cluster.create_workload("replicasets", "front-1", labels, owner=deployment)
    try:
        make_pod(sleeper("front-stray", **labels), wait=False)
        make_pod(owned_pod(sleeper("front-1-a"), replica_set), wait=False)
        api: WorkloadApi = connect("tracer")
        source = pod_source(api, "default", parse_reference("deploy/front"), pytest.fail)
        known = await until(source, lambda known: bool(known))
        assert known == {"front-1-a": False}
        assert not await source.exhausted()
        with pytest.raises(Forbidden, match="deployments"):
            await connect("viewer").read_workload("default", parse_reference("deploy/front"))
    finally:
        cluster.delete_workload("replicasets", "front-1")
        cluster.delete_workload("deployments", "front")
    assert await source.exhausted()
    with pytest.raises(NotFound, match="`kubectl get deployments -n default` lists"):
        await api.read_workload("default", parse_reference("deploy/front"))


async def test_a_job_ends_with_its_condition(
    cluster: StandInCluster, connect: Callable[[str], KubernetesApi], make_pod: MakePod
) -> None:
    job = cluster.create_workload("jobs", "once", {"app": "once"})
    try:
        make_pod(owned_pod(sleeper("once-a"), job), wait=False)
        source = pod_source(connect("tracer"), "default", parse_reference("job/once"), pytest.fail)
        assert await until(source, lambda known: bool(known)) == {"once-a": False}
        assert not await source.exhausted()
        status = {"conditions": [{"type": "Complete", "status": "True"}]}
        path = "/apis/batch/v1/namespaces/default/jobs/once/status"
        cluster.request("PUT", path, {"status": status})
        assert await source.exhausted()
    finally:
        cluster.delete_workload("jobs", "once")
