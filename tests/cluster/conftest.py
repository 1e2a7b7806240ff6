"""Fixtures of the cluster tests: the stand-in cluster and pods in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.standin.harness import StandInCluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInCluster]:
    """The stand-in cluster with problempod running."""
    started = StandInCluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def make_pod(cluster: StandInCluster) -> Iterator[Callable[..., dict[str, Any]]]:
    """Creates a pod that is removed at the end of the test; takes what ``create_pod`` takes."""
    names: list[str] = []

    def make(pod: dict[str, Any], *, wait: bool = True) -> dict[str, Any]:
        names.append(pod["metadata"]["name"])
        return cluster.create_pod(pod, wait=wait)

    yield make
    for name in names:
        cluster.delete_pod(name)


@pytest.fixture(scope="session")
def recorded_pods(cluster: StandInCluster) -> frozenset[str]:
    """Starts the recorded pods that recorded requests name; each is in its recorded state."""
    running = ("barepod", "sharedpod")
    others = ("crashpod", "donepod", "noimagepod", "pendingpod")
    for name in running:
        cluster.create_recorded(name)
    for name in others:
        cluster.create_recorded(name, wait=False)
    cluster.wait_state("donepod", lambda state: "terminated" in state, "ended")
    cluster.wait_state("noimagepod", lambda state: "waiting" in state, "waiting for its image")
    cluster.wait_state(
        "crashpod",
        lambda state: state.get("waiting", {}).get("reason") == "CrashLoopBackOff",
        "waiting for its restart",
    )
    return frozenset((*running, *others))
