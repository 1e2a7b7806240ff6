from __future__ import annotations

from typing import Any

import pytest

from gatherer.kube.objects.models import Pod
from gatherer.kube.objects.workloads import Workload, selector_text


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({}, ""),
        ({"matchLabels": {"app": "web", "tier": "front"}}, "app=web,tier=front"),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "zone", "operator": "In", "values": ["a", "b"]},
                    {"key": "env", "operator": "NotIn", "values": ["dev"]},
                    {"key": "team", "operator": "Exists"},
                    {"key": "old", "operator": "DoesNotExist"},
                ],
            },
            "app=web,zone in (a,b),env notin (dev),team,!old",
        ),
        # An operator of later versions must not widen the selection.
        ({"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["3"]}]}, "n,!n"),
        ({"matchLabels": "nonsense", "matchExpressions": [7]}, ""),
    ],
)
def test_label_selectors_in_the_form_of_the_query(selector: dict[str, Any], text: str) -> None:
    assert selector_text(selector) == text


def test_the_controller_tells_whose_pod_it_is() -> None:
    owners = [
        {"uid": "someone", "controller": False},
        {"uid": "rs-1", "controller": True, "kind": "ReplicaSet"},
    ]
    pod = Pod.from_json({"metadata": {"name": "web-1", "ownerReferences": owners}})
    replica_set = Workload.from_json("replicasets", {"metadata": {"uid": "rs-1"}})
    deployment = Workload.from_json("deployments", {"metadata": {"uid": "d-1"}})
    assert replica_set.owns(pod)
    assert not deployment.owns(pod)
    assert deployment.owns(pod, {"rs-1", "rs-2"})
    assert not replica_set.owns(Pod.from_json({"metadata": {"name": "stray"}}))


@pytest.mark.parametrize(
    ("conditions", "finished"),
    [
        ([], False),
        ([{"type": "Complete", "status": "True"}], True),
        ([{"type": "Failed", "status": "True"}], True),
        ([{"type": "Complete", "status": "False"}, {"type": "Suspended", "status": "True"}], False),
    ],
)
def test_a_job_is_finished_by_its_conditions(
    conditions: list[dict[str, str]], finished: bool
) -> None:
    document = {"metadata": {"name": "once", "uid": "j"}, "status": {"conditions": conditions}}
    assert Workload.from_json("jobs", document).finished is finished
    assert not Workload.from_json("deployments", document).finished
