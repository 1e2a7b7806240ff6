"""Fixtures of the cluster tests: the stand-in cluster and pods in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.cluster import applicability
from tests.cluster.agent_pods import agent_pod
from tests.cluster.real_cluster import RealCluster
from tests.cluster.standin import requirements
from tests.cluster.standin.harness import StandInCluster
from tests.cluster.standin.pod_worker import BACKOFF_ANNOTATION, FIRST_BACKOFF_SECONDS


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandInCluster]:
    """The stand-in cluster with problempod running, or the one of KUBECONFIG (CLUSTER=real)."""
    if applicability.REAL:
        real = RealCluster(tmp_path_factory.mktemp("cluster"))
        try:
            yield real
        finally:
            real.stop()
        return
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
    """Waits until crashpod is in a back-off, which is held for a day in the stand-in."""

    def waits(pod: dict[str, Any]) -> bool:
        status = pod["status"]["containerStatuses"][0]
        if "running" in status["state"] or not status["restartCount"]:
            return False
        ended = status["state"].get("terminated") or status["lastState"]["terminated"]
        passed = datetime.now(UTC) - datetime.fromisoformat(ended["finishedAt"])
        first = float(
            pod["metadata"].get("annotations", {}).get(BACKOFF_ANNOTATION, FIRST_BACKOFF_SECONDS)
        )
        backoff = first * 2 ** (status["restartCount"] - 1)
        return passed.total_seconds() < backoff - 4

    return lambda: cluster.wait_condition("crashpod", waits, "waiting for its restart")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what does not apply to a real cluster, with its reason."""
    if not applicability.REAL:
        return
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if why := applicability.reason(item.path.stem, item.originalname):
            item.add_marker(pytest.mark.skip(reason=applicability.WORDS + why))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says of a real cluster what ran there, and what did not, by reason."""
    if not applicability.REAL:
        return
    reports = terminalreporter.stats
    left: dict[str, list[str]] = {}
    for report in reports.get("skipped", []):
        text = report.longrepr[2].removeprefix("Skipped: ")
        left.setdefault(text, []).append(report.nodeid.removeprefix("tests/cluster/"))
    terminalreporter.section("a real cluster")
    for text, tests in sorted(left.items()):
        terminalreporter.write_line(f"{len(tests)} {text}")
        by_file = Counter(test.partition("[")[0] for test in tests)
        for test, count in by_file.items():
            terminalreporter.write_line(f"    {test}" + (f" ({count})" if count > 1 else ""))
    passed, failed = len(reports.get("passed", [])), len(reports.get("failed", []))
    errors = len(reports.get("error", []))
    terminalreporter.write_line(
        f"{passed + failed} ran, {passed} passed, {failed} failed, {errors} errors of set-up; "
        f"{sum(map(len, left.values()))} not applicable"
    )
