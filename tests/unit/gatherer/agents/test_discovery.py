"""Which pods are agents, of both eras, and on which ports they are tried."""

from __future__ import annotations

from typing import Any

import pytest

from gatherer.agents.discovery import KINDS, PROMETHEUS, AgentPod, find_agents

TARGET = ("shop", "web-0")


def pod(
    name: str,
    *,
    container: str = "main",
    image: str = "registry.example/app:1",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    args: list[str] | None = None,
    env: list[dict[str, Any]] | None = None,
    ports: list[int] | None = None,
    namespace: str = "agents",
    running: bool = True,
) -> dict[str, Any]:
    state = {"running": {}} if running else {"waiting": {"reason": "CrashLoopBackOff"}}
    last = (
        {}
        if running
        else {
            "terminated": {"exitCode": 1, "reason": "Error", "message": "No suitable kernel object"}
        }
    )
    return {
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels, "annotations": annotations,
        },
        "spec": {
            "nodeName": "node1",
            "containers": [
                {
                    "name": container, "image": image, "args": args, "env": env,
                    "ports": [{"containerPort": number} for number in ports or []],
                }
            ],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": container, "state": state, "lastState": last}],
        },
    }  # fmt: skip


COROOT_SEED = pod(
    "coroot-node-agent-x1b2c",
    container="coroot-node-agent",
    image="ghcr.io/coroot/coroot-node-agent:latest",
    labels={"app": "coroot-node-agent"},
    annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "80"},
    ports=[80],
)
COROOT_OPERATOR = pod(
    "coroot-node-agent-abcde",
    container="node-agent",
    image="ghcr.io/coroot/coroot-node-agent:1.23@sha256:00",
    labels={"app.kubernetes.io/component": "coroot-node-agent"},
)
PARCA = pod(
    "parca-agent-1",
    container="parca-agent",
    image="ghcr.io/parca-dev/parca-agent:v0.39.0",
    labels={"app.kubernetes.io/name": "parca-agent"},
    args=["--http-address=:7072", "--node=node1"],
    ports=[7072],
)
POLAR = pod("polarsignals-agent-1", labels={"app.kubernetes.io/name": "polarsignals-agent"})
COLLECTOR = pod(
    "collector-vclg5",
    container="collector",
    image="quay.io/stackrox-io/collector:3.18",
    labels={"app": "collector", "service": "collector"},
    ports=[9091],
)
OTHER_COLLECTOR = pod("otel-collector-1", container="collector", labels={"app": "collector"})


def found(*documents: object, kinds: tuple[str, ...] = (*KINDS, PROMETHEUS)) -> list[AgentPod]:
    return find_agents(documents, kinds, TARGET)


@pytest.mark.parametrize(
    ("document", "kind", "ports"),
    [
        (COROOT_SEED, "coroot", (80, 10300)),
        (COROOT_OPERATOR, "coroot", (80, 10300)),
        (PARCA, "parca", (7072, 7071)),
        (POLAR, "parca", (7071,)),
        (COLLECTOR, "collector", (9090,)),
    ],
)
def test_agents_of_both_eras(document: object, kind: str, ports: tuple[int, ...]) -> None:
    (agent,) = found(pod("other"), document, OTHER_COLLECTOR)
    assert (agent.kind, agent.ports, agent.problem) == (kind, ports, "")


def test_where_it_is_told_to_listen_is_tried_first() -> None:
    for arguments in (["--listen=127.0.0.1:10301"], ["--listen", ":10301"]):
        (agent,) = found(pod("a", container="coroot-node-agent", args=arguments))
        assert agent.ports == (10301, 80, 10300)
    (agent,) = found(
        pod("a", container="coroot-node-agent", env=[{"name": "LISTEN", "value": "0.0.0.0:81"}])
    )
    assert agent.ports == (81, 80, 10300)


def test_one_of_a_kind_that_runs_is_enough() -> None:
    crashing = pod("a", container="coroot-node-agent", running=False)
    (agent,) = found(crashing, COROOT_SEED)
    assert agent.name == "agents/coroot-node-agent-x1b2c"
    (agent,) = found(crashing)
    assert agent.problem == (
        "CrashLoopBackOff, it last ended with Error 1: No suitable kernel object"
    )


def test_kinds_that_are_not_wanted_are_left_out() -> None:
    agents = found(COROOT_SEED, PARCA, COLLECTOR, kinds=("parca",))
    assert [agent.kind for agent in agents] == ["parca"]


def test_a_sidecar_and_the_annotation_of_the_targets_own_pod() -> None:
    sidecar = pod("web-0", namespace="shop", container="coroot-node-agent", ports=[8081])
    agents = found(COROOT_SEED, sidecar)
    assert [(agent.kind, agent.sidecar) for agent in agents] == [
        ("coroot", True),
        ("coroot", False),
    ]
    annotated = pod(
        "web-0",
        namespace="shop",
        annotations={"prometheus.io/port": "9102", "prometheus.io/path": "/stats?format=text"},
    )
    (agent,) = found(annotated)
    assert (agent.kind, agent.ports, agent.path) == (PROMETHEUS, (9102,), "/stats?format=text")


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {"prometheus.io/port": "0"},
        {"prometheus.io/port": "http"},
        {"prometheus.io/port": "99999"},
        {"prometheus.io/port": "80", "prometheus.io/scrape": "false"},
    ],
)
def test_annotations_that_name_no_endpoint(annotations: dict[str, str]) -> None:
    assert found(pod("web-0", namespace="shop", annotations=annotations)) == []


def test_a_path_that_would_leave_the_request_is_not_taken() -> None:
    (agent,) = found(
        pod(
            "web-0",
            namespace="shop",
            annotations={"prometheus.io/port": "80", "prometheus.io/path": "/x HTTP/1.1\r\nA: b"},
        )
    )
    assert agent.path == "/metrics"


@pytest.mark.parametrize("document", [None, [], {}, {"spec": 5}, {"spec": {"containers": [7, {}]}}])
def test_anything_that_is_no_pod_is_no_agent(document: object) -> None:
    assert found(document) == []
