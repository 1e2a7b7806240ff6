"""Fixtures of the cluster tests: the stand-in cluster and pods in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster.agent_pods import agent_pod
from tests.cluster.standin import requirements
from tests.cluster.standin.harness import StandInCluster
from tests.cluster.standin.pod_worker import FIRST_BACKOFF_SECONDS


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInCluster]:
    """The stand-in cluster with problempod running."""
    if problem := requirements.missing():
        pytest.skip(problem)
    started = StandInCluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def make_pod(cluster: StandInCluster) -> Iterator[Callable[..., dict[str, Any]]]:
    """Creates a pod that is removed at the end of the test; takes what ``create_pod`` takes."""
    made: list[tuple[str, str]] = []

    def make(
        pod: dict[str, Any], *, wait: bool = True, namespace: str = "default"
    ) -> dict[str, Any]:
        made.append((pod["metadata"]["name"], namespace))
        return cluster.create_pod(pod, wait=wait, namespace=namespace)

    yield make
    for name, namespace in made:
        cluster.delete_pod(name, namespace)


@pytest.fixture
def make_agent(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]]
) -> Callable[..., str]:
    """Starts a stand-in agent, which takes what ``agent_pod`` takes; returns the pod's name."""

    def make(kind: str, *, namespace: str = "default", **settings: Any) -> str:
        pod = agent_pod(kind, **settings)
        make_pod(pod, namespace=namespace)
        name: str = pod["metadata"]["name"]
        cluster.wait_log(name, "ready on", namespace)
        return name

    return make


@pytest.fixture(scope="session")
def recorded_pods(cluster: StandInCluster) -> frozenset[str]:
    """Starts the recorded pods that recorded requests name; all but crashpod stay as they are."""
    running = ("barepod", "sharedpod")
    others = ("crashpod", "donepod", "noimagepod", "pendingpod")
    for name in running:
        cluster.create_recorded(name)
    for name in others:
        cluster.create_recorded(name, wait=False)
    cluster.wait_state("donepod", lambda state: "terminated" in state, "ended")
    cluster.wait_state("noimagepod", lambda state: "waiting" in state, "waiting for its image")
    return frozenset((*running, *others))


@pytest.fixture
def crashpod_waits(
    cluster: StandInCluster, recorded_pods: frozenset[str]
) -> Callable[[], dict[str, Any]]:
    """Waits until crashpod will not run for the next seconds."""

    def waits(pod: dict[str, Any]) -> bool:
        status = pod["status"]["containerStatuses"][0]
        if "running" in status["state"] or not status["restartCount"]:
            return False
        ended = status["state"].get("terminated") or status["lastState"]["terminated"]
        passed = datetime.now(UTC) - datetime.fromisoformat(ended["finishedAt"])
        backoff = FIRST_BACKOFF_SECONDS * 2 ** (status["restartCount"] - 1)
        return passed.total_seconds() < backoff - 4

    return lambda: cluster.wait_condition("crashpod", waits, "waiting for its restart")
