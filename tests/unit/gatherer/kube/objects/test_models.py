from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.kube.objects.models import Pod, Status

from ..recordings import FIXTURES, load

PODS = sorted(path.name for path in FIXTURES.glob("*.json"))


def test_a_running_pod() -> None:
    pod = Pod.from_json(load("problempod.json"))
    assert (pod.namespace, pod.name, pod.node, pod.phase) == (
        *("default", "problempod"),
        *("node1", "Running"),
    )
    (container,) = pod.containers
    assert container.name == "buggycontainer"
    assert container.image == "pyapp:dev"
    assert container.memory_limit == 256 << 20
    assert container.state.kind == "running"
    assert container.state.started_at == "2026-11-21T08:37:50Z"
    assert container.container_id.startswith("containerd://303c21f7")
    assert not pod.deletion_timestamp


def test_an_oom_killed_container() -> None:
    (container,) = Pod.from_json(load("oompod.json")).containers
    assert (container.state.kind, container.state.reason) == ("terminated", "OOMKilled")
    assert container.state.exit_code == 137
    assert container.last_state.reason == "OOMKilled"
    assert container.restart_count == 1
    assert container.memory_limit == 64 << 20


def test_a_limit_of_the_whole_pod() -> None:
    document = load("problempod.json")
    assert Pod.from_json(document).memory_limit is None
    document["spec"]["resources"] = {"limits": {"memory": "1Gi"}}
    assert Pod.from_json(document).memory_limit == 1 << 30


def test_ephemeral_containers_and_their_targets() -> None:
    pod = Pod.from_json(load("problempod-with-ephemeral.json"))
    kinds = {container.kind for container in pod.ephemeral_containers}
    assert kinds == {"ephemeral"}
    assert {container.target for container in pod.ephemeral_containers} == {"buggycontainer"}
    assert len(pod.containers) == 1


def test_an_unscheduled_pod_says_why() -> None:
    pod = Pod.from_json(load("pendingpod.json"))
    assert pod.node == ""
    assert "didn't match Pod's node affinity/selector" in pod.message
    assert pod.containers[0].state.kind == ""


def test_a_shared_process_namespace() -> None:
    assert Pod.from_json(load("sharedpod.json")).shares_process_namespace
    assert not Pod.from_json(load("problempod.json")).shares_process_namespace


@pytest.mark.parametrize("name", PODS)
def test_every_recorded_pod_has_the_containers_of_its_spec(name: str) -> None:
    document = load(name)
    pod = Pod.from_json(document)
    assert [c.name for c in pod.containers] == [c["name"] for c in document["spec"]["containers"]]


@pytest.mark.parametrize("document", [None, [], "pod", {}, {"spec": {"containers": None}}])
def test_a_document_that_lacks_everything_is_an_empty_pod(document: object) -> None:
    assert Pod.from_json(document).containers == ()
    assert not Status.from_json(document).success


junk = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2)


def _paths(node: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [path] if path else []
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, value in items:
        found += _paths(value, (*path, key))
    return found


@given(st.data())
def test_any_field_may_have_a_wrong_type(data: st.DataObject) -> None:
    document = load("problempod-with-ephemeral.json")
    path = data.draw(st.sampled_from(_paths(document)))
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = data.draw(junk)
    pod = Pod.from_json(document)
    assert all(isinstance(container.name, str) for container in pod.containers)
