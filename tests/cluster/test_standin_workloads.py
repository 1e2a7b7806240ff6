"""Workloads of the stand-in cluster, proven by the real kubectl."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.standin.harness import (
    KUBECTL,
    NEWEST_KUBECTL,
    StandInCluster,
    owned_pod,
    pod_manifest,
)
from tests.cluster.standin.workloads import KINDS

KUBECTLS = sorted({KUBECTL, NEWEST_KUBECTL})
LABELS = {"app": "shop"}


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def workloads(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """One workload of each kind; the Deployment's ReplicaSet and the others have a pod each."""
    template = {"containers": [{"name": "main", "image": "bare:dev"}]}
    made = {"deployments": cluster.create_workload("deployments", "shop", LABELS)}
    try:
        for resource, labels, owner in (
            ("replicasets", LABELS, made["deployments"]),
            ("statefulsets", {"app": "db"}, None),
            ("daemonsets", {"app": "log"}, None),
            ("jobs", {"app": "once"}, None),
        ):
            name = "shop-5d9f" if owner else labels["app"]
            value = cluster.create_workload(resource, name, labels, owner=owner, template=template)
            made[resource] = value
            pod = pod_manifest(f"{name}-0", ["sleep", "1000"], image="bare:dev")
            make_pod(owned_pod(pod, value))
        yield made
    finally:
        for resource, value in made.items():
            cluster.delete_workload(resource, value["metadata"]["name"])


def test_kubectl_reads_and_prints_workloads(
    cluster: StandInCluster, workloads: dict[str, Any], kubectl: str
) -> None:
    def row(*arguments: str) -> str:
        result = cluster.kubectl("get", *arguments, "--no-headers", program=kubectl)
        assert result.returncode == 0, result.stderr
        return " ".join(result.stdout.decode().split())

    assert re.fullmatch(r"shop 1/1 1 1 \w+", row("deploy", "shop"))
    assert re.fullmatch(r"shop-5d9f 1 1 1 \w+", row("rs"))
    assert re.fullmatch(r"db 1/1 \w+", row("statefulsets.apps/db"))
    assert re.fullmatch(r"log 1 1 1 1 1 <none> \w+", row("ds"))
    assert re.fullmatch(r"once Running 0/1 \w+ \w+", row("jobs"))
    wide = row("deploy", "-o", "wide")
    assert wide.endswith(" app=shop")
    for resource, value in workloads.items():
        name = value["metadata"]["name"]
        read = cluster.kubectl("get", resource, name, "-o", "json", program=kubectl)
        assert json.loads(read.stdout)["metadata"]["uid"] == value["metadata"]["uid"]
        listed = cluster.kubectl("get", resource, "-o", "json", program=kubectl)
        assert [item["kind"] for item in json.loads(listed.stdout)["items"]] == [
            KINDS[resource].kind
        ]


def test_kubectl_finds_the_pods_of_workloads(
    cluster: StandInCluster, workloads: dict[str, Any], kubectl: str
) -> None:
    for name, pod in (("deploy/shop", "shop-5d9f-0"), ("sts/db", "db-0"), ("ds/log", "log-0")):
        done = cluster.kubectl("exec", name, "--", "hostname", program=kubectl)
        assert (done.returncode, done.stdout) == (0, f"{pod}\n".encode()), done.stderr


def test_missing_and_forbidden_workloads_are_named_as_by_the_real_server(
    cluster: StandInCluster, kubectl: str
) -> None:
    missing = cluster.kubectl("get", "deploy", "nothere", program=kubectl)
    assert missing.stderr == (
        b'Error from server (NotFound): deployments.apps "nothere" not found\n'
    )
    refused = cluster.kubectl("get", "jobs", context="viewer", program=kubectl)
    assert refused.stderr == (
        b'Error from server (Forbidden): jobs.batch is forbidden: User "system:serviceaccount:'
        b'default:viewer" cannot list resource "jobs" in API group "batch" in the namespace '
        b'"default"\n'
    )


def test_kubectl_lists_page_by_page(
    cluster: StandInCluster, workloads: dict[str, Any], kubectl: str
) -> None:
    def names(*options: str) -> list[str]:
        result = cluster.kubectl("get", "pods", *options, "-o", "name", program=kubectl)
        return result.stdout.decode().split()

    paged = names("--chunk-size=2")
    assert len(paged) >= 5
    assert paged == names("--chunk-size=0")
    assert {"pod/db-0", "pod/problempod"} < set(paged)
