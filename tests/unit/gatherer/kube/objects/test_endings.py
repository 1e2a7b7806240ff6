from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from gatherer.kube.objects.endings import (
    Instance,
    instance_end,
    node_end,
    replaced_since,
    running_instance,
    sibling_selector,
    successor,
)
from gatherer.kube.objects.models import Condition, Owner, Pod
from gatherer.kube.objects.node import Node

from ..recordings import load

NOW = datetime(2026, 11, 21, 8, 40, tzinfo=timezone.utc)  # noqa: UP017
FIRST = "containerd://e67bf0ad4a15e3ee523872e4e1bfd34a8830a7570d813bc8405d89741c743234"
SECOND = "containerd://91b3c139f805225ce22a8564a63d2f048f4235e32c78210f423392f641aa9c85"


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a recorded pod and the status of its first container in it, to be changed."""
    document = load(f"{name}.json")
    return document, document["status"]["containerStatuses"][0]


def instance(document: Mapping[str, Any], container_id: str) -> Instance:
    name = document["spec"]["containers"][0]["name"]
    return Instance(document["metadata"]["uid"], name, container_id, "node1")


def test_the_last_instance_of_a_pod_that_runs_out_of_memory() -> None:
    document, _ = recorded("oompod")
    end = instance_end(instance(document, SECOND), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.exit_code, end.restart_count) == ("OOMKilled", 137, 1)
    assert end.finished_at == "2026-11-21T08:36:34Z"
    assert end.restarts


def test_the_instance_before_it_is_in_the_last_state() -> None:
    document, _ = recorded("oompod")
    end = instance_end(instance(document, FIRST), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.finished_at) == ("OOMKilled", "2026-11-21T08:36:30Z")
    assert end.restarts


def test_an_instance_that_nobody_remembers_was_restarted() -> None:
    document, status = recorded("oompod")
    pod = Pod.from_json(document)
    end = instance_end(instance(document, "containerd://0123"), pod)
    assert end is not None
    assert (end.reason, end.exit_code, end.restarts) == ("Restarted", None, True)
    status["state"] = {"running": {"startedAt": "2026-11-21T08:36:40Z"}}
    end = instance_end(instance(document, "containerd://0123"), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.message) == (
        "Restarted", "it ran again meanwhile and last ended with OOMKilled",
    )  # fmt: skip


def test_back_off_keeps_the_end_in_the_last_state() -> None:
    document, status = recorded("crashpod")
    status["lastState"] = status["state"]
    status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s …"}}
    end = instance_end(instance(document, status["containerID"]), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.exit_code, end.restart_count, end.restarts) == ("Error", 1, 6, True)


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 3, True), ("Never", 3, False)],
)
def test_the_restart_policy_says_whether_it_runs_again(
    policy: str, code: int, restarts: bool
) -> None:
    document, status = recorded("oompod")
    document["spec"]["restartPolicy"] = policy
    status["state"]["terminated"] |= {"exitCode": code, "reason": "Error" if code else "Completed"}
    end = instance_end(instance(document, SECOND), Pod.from_json(document))
    assert end is not None
    assert (end.restarts, end.reason) == (restarts, "Error" if code else "Completed")


def test_a_pod_that_is_over() -> None:
    document, status = recorded("donepod")
    end = instance_end(instance(document, status["containerID"]), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.exit_code, end.restarts) == ("Error", 3, False)


def test_a_container_that_runs_has_not_ended() -> None:
    document, status = recorded("problempod-with-ephemeral")
    pod = Pod.from_json(document)
    assert instance_end(instance(document, status["containerID"]), pod) is None
    assert running_instance(pod, document["spec"]["containers"][0]["name"]) == status["containerID"]
    assert running_instance(pod, "nope") == ""


def test_a_deleted_pod() -> None:
    document, status = recorded("problempod-with-ephemeral")
    here = instance(document, status["containerID"])
    assert instance_end(here, None) is not None
    assert instance_end(here, None).reason == "Deleted"  # type: ignore[union-attr]
    document["metadata"] |= {
        "deletionTimestamp": "2026-11-21T08:40:30Z", "deletionGracePeriodSeconds": 30
    }  # fmt: skip
    assert instance_end(here, Pod.from_json(document)) is None, "it still runs"
    gone = {"exitCode": 143, "reason": "Error", "containerID": status["containerID"]}
    status["state"] = {"terminated": gone}
    end = instance_end(here, Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.exit_code, end.restarts) == ("Deleted", 143, False)


def test_another_pod_of_the_same_name_takes_its_place() -> None:
    document, status = recorded("problempod-with-ephemeral")
    here = instance(document, status["containerID"])
    document["metadata"]["uid"] = "another"
    end = instance_end(here, Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.successor) == ("Deleted", document["metadata"]["name"])


def test_an_eviction_for_want_of_memory() -> None:
    # kubelet, pkg/kubelet/eviction: the pod fails with these words, its containers with 137.
    document, status = recorded("problempod-with-ephemeral")
    words = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 41608Ki. "
        "Container buggycontainer was using 190Mi, request is 0, has larger consumption of memory. "
    )
    document["status"] |= {"phase": "Failed", "reason": "Evicted", "message": words}
    killed = {"exitCode": 137, "reason": "Error", "containerID": status["containerID"]}
    status["state"] = {"terminated": killed}
    end = instance_end(instance(document, status["containerID"]), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.message, end.exit_code) == ("Evicted", words, 137)
    assert not end.restarts
    del document["status"]["containerStatuses"]
    end = instance_end(instance(document, "containerd://x"), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.exit_code) == ("Evicted", None)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("EvictionByEvictionAPI", "Evicted"),
        ("PreemptionByScheduler", "Preempted"),
        ("DeletionByTaintManager", "Evicted"),
        ("DeletionByPodGC", "NodeLost"),
        ("SomethingNew", "SomethingNew"),
    ],
)
def test_a_disruption_is_told_by_its_condition(told: str, reason: str) -> None:
    document, status = recorded("problempod-with-ephemeral")
    document["metadata"]["deletionTimestamp"] = "2026-11-21T08:40:30Z"
    document["status"]["conditions"].append(
        {"type": "DisruptionTarget", "status": "True", "reason": told, "message": "Eviction API"}
    )
    gone = {"exitCode": 0, "reason": "Completed", "containerID": status["containerID"]}
    status["state"] = {"terminated": gone}
    end = instance_end(instance(document, status["containerID"]), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.message) == (reason, "Eviction API")


def test_an_oom_kill_is_told_before_everything_else() -> None:
    document, _ = recorded("oompod")
    document["metadata"]["deletionTimestamp"] = "2026-11-21T08:40:30Z"
    end = instance_end(instance(document, SECOND), Pod.from_json(document))
    assert end is not None
    assert (end.reason, end.restarts) == ("OOMKilled", False)


@pytest.mark.parametrize("junk", [None, [], "x", {"status": {"containerStatuses": [3, {}]}}, {}])
def test_an_answer_that_is_no_pod_breaks_nothing(junk: object) -> None:
    end = instance_end(Instance("", "main", "containerd://x"), Pod.from_json(junk))
    assert end is None or end.reason == "Deleted"


def test_a_node_that_is_silent_or_gone() -> None:
    well = Node("node1", conditions=(_ready("True"),))
    assert node_end(well) is None
    assert node_end(Node("node1", conditions=(_ready("False"),))) is None, (
        "it reports: its containers run"
    )
    silent = node_end(
        Node("node1", conditions=(_ready("Unknown", "Kubelet stopped posting node status."),))
    )
    assert silent is not None
    assert (silent.reason, silent.message) == ("NodeLost", "Kubelet stopped posting node status.")
    gone = node_end(None)
    assert gone is not None
    assert gone.reason == "NodeLost"


def _ready(status: str, message: str = "") -> Condition:
    return Condition("Ready", status, "NodeStatusUnknown" if message else "", message)


def web(suffix: str, created: str, revision: str = "7f9c", **more: Any) -> Pod:
    labels = {"app": "web", "pod-template-hash": revision}
    owner = Owner("ReplicaSet", f"web-{revision}", f"uid-{revision}")
    base = Pod("default", f"web-{revision}-{suffix}", uid=suffix, labels=labels, owner=owner,
               created_at=created, phase="Running")  # fmt: skip
    return replace(base, **more)


WENT = web("old", "2026-11-21T08:00:00Z")
SINCE = "2026-11-21T08:40:00Z"


def test_siblings_are_found_by_the_labels_they_share() -> None:
    assert sibling_selector(WENT) == "app=web"
    assert sibling_selector(replace(WENT, owner=Owner())) == ""


def test_the_successor_is_made_after_the_pod_went() -> None:
    others = [
        WENT,
        web("twin", "2026-11-21T08:00:00Z"),
        web("new", "2026-11-21T08:40:00Z"),
        web("newer", "2026-11-21T08:40:09Z"),
    ]
    assert successor(WENT, others, SINCE) == "web-7f9c-new"
    assert successor(WENT, others[:2], SINCE) == ""


def test_a_rollout_puts_a_pod_of_another_replica_set_in_its_place() -> None:
    assert successor(WENT, [web("x", SINCE, "55d8")], SINCE) == "web-55d8-x"


@pytest.mark.parametrize(
    "stranger",
    [
        web("x", SINCE, owner=Owner("ReplicaSet", "other-7f9c", "u")),
        web("x", SINCE, owner=Owner()),
        web("x", SINCE, owner=Owner("Job", "web", "u")),
        web("x", SINCE, deletion_timestamp="2026-11-21T08:41:00Z"),
        web("x", SINCE, phase="Failed"),
        web("old", SINCE),
    ],
)
def test_what_is_no_successor(stranger: Pod) -> None:
    assert successor(WENT, [stranger], SINCE) == ""


def test_a_daemon_sets_successor_is_on_the_same_node() -> None:
    owner = Owner("DaemonSet", "agent", "u")
    went = replace(WENT, owner=owner, node="node1")
    there = replace(web("x", SINCE), owner=owner, node="node2")
    here = replace(web("y", SINCE), owner=owner, node="node1")
    assert successor(went, [there], SINCE) == ""
    assert successor(went, [there, here], SINCE) == here.name


def test_the_successor_is_made_when_the_deletion_is_asked_for() -> None:
    deleted = replace(
        WENT, deletion_timestamp="2026-11-21T08:40:30Z", deletion_grace_seconds=30
    )  # fmt: skip
    assert replaced_since(deleted, NOW) == "2026-11-21T08:40:00Z"
    assert replaced_since(WENT, NOW) == "2026-11-21T08:39:00Z"
    for nonsense in ("soon", "9999", "0001-01-01T00:00:00Z"):
        broken = replace(deleted, deletion_timestamp=nonsense, deletion_grace_seconds=1 << 62)
        assert replaced_since(broken, NOW) == "2026-11-21T08:39:00Z"
