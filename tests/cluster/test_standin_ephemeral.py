"""Ephemeral containers and attach of the stand-in, proven by the real kubectl."""

from __future__ import annotations

import json
import subprocess
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.standin.harness import KUBECTL, NEWEST_KUBECTL, StandInCluster, pod_manifest

TELL = "echo in=$(readlink /proc/self/ns/pid) $(cat /proc/1/comm); grep CapEff /proc/self/status"
MakePod = Callable[..., dict[str, Any]]


@pytest.fixture(params=sorted({KUBECTL, NEWEST_KUBECTL}))
def kubectl(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sleeper(make_pod: MakePod, kubectl: str) -> str:
    """A pod with one quiet container."""
    name = f"sleeper-{Path(kubectl).parent.name.strip('.')}"
    make_pod(pod_manifest(name, ["sleep", "1000000"], memory="64Mi"))
    return name


def statuses(cluster: StandInCluster, pod: str) -> dict[str, Any]:
    told = cluster.pod(pod)["status"].get("ephemeralContainerStatuses", [])
    return {status["name"]: status for status in told}


def wait_ended(cluster: StandInCluster, pod: str, name: str) -> dict[str, Any]:
    cluster.wait_condition(
        pod, lambda _: "terminated" in statuses(cluster, pod)[name]["state"], f"{name} ended"
    )
    ended: dict[str, Any] = statuses(cluster, pod)[name]["state"]["terminated"]
    return ended


def debug(pod: str, name: str, profile: str = "general", image: str = "bare:dev") -> list[str]:
    return ["debug", pod, f"--image={image}", f"--container={name}", f"--profile={profile}"]


def test_debug_joins_the_target_and_its_log_is_kept(
    cluster: StandInCluster, sleeper: str, kubectl: str
) -> None:
    command = [*debug(sleeper, "look"), "--target=main", "-q", "--", "sh", "-c", TELL]
    done = cluster.kubectl(*command, program=kubectl)
    assert done.returncode == 0, done.stderr
    assert wait_ended(cluster, sleeper, "look")["exitCode"] == 0
    log = cluster.kubectl("logs", sleeper, "-c", "look", program=kubectl).stdout.decode()
    inside = cluster.kubectl("exec", sleeper, "--", "readlink", "/proc/self/ns/pid").stdout
    assert log.splitlines()[0] == f"in={inside.decode().strip()} sleep"
    # CAP_SYS_PTRACE is bit 19: the general profile adds it.
    assert int(log.split("CapEff:\t")[1], 16) >> 19 & 1


def test_attach_carries_both_ways_until_the_container_ends(
    cluster: StandInCluster, sleeper: str, kubectl: str
) -> None:
    # kubectl never sets stdinOnce: the end of its stdin is not the end of the container's.
    script = 'read -r a; echo "got $a"; read -r b; echo "got $b"; echo over'
    command = [*debug(sleeper, "echo"), "--target=main", "-i", "-q", "--", "sh", "-c", script]
    done = cluster.kubectl(*command, program=kubectl, input=b"one\ntwo\n")
    assert (done.returncode, done.stdout) == (0, b"got one\ngot two\nover\n")
    assert wait_ended(cluster, sleeper, "echo")["reason"] == "Completed"


def test_its_end_takes_what_exec_started_in_it(
    cluster: StandInCluster, sleeper: str, kubectl: str
) -> None:
    command = [*debug(sleeper, "short"), "--target=main", "-i", "-q", "--", "head", "-n", "1"]
    with subprocess.Popen(
        cluster.kubectl_command(*command, program=kubectl), stdin=subprocess.PIPE
    ) as attached:
        cluster.wait_condition(
            sleeper,
            lambda _: "running" in statuses(cluster, sleeper).get("short", {}).get("state", {}),
            "short runs",
        )
        in_it = cluster.kubectl_command("exec", sleeper, "-c", "short", "--", "sleep", "1000000")
        with subprocess.Popen(in_it, stderr=subprocess.DEVNULL) as inner:
            cluster.wait_condition(
                sleeper, lambda _: len(cluster.host_pids(sleeper, "short")) == 2, "exec runs"
            )
            assert attached.stdin is not None
            attached.stdin.write(b"over\n")
            attached.stdin.close()
            assert inner.wait(30) == 137
    wait_ended(cluster, sleeper, "short")
    assert cluster.pod(sleeper)["status"]["containerStatuses"][0]["restartCount"] == 0


def test_an_image_that_is_not_there(cluster: StandInCluster, sleeper: str, kubectl: str) -> None:
    command = [*debug(sleeper, "noimage", image="nowhere:1"), "-q", "--", "true"]
    cluster.kubectl(*command, program=kubectl)
    cluster.wait_condition(
        sleeper,
        lambda _: (
            statuses(cluster, sleeper)["noimage"]["state"].get("waiting", {}).get("reason")
            == "ErrImagePull"
        ),
        "the pull has failed",
    )


def test_the_restricted_profile_needs_an_image_of_another_user(
    cluster: StandInCluster, sleeper: str, kubectl: str
) -> None:
    command = [*debug(sleeper, "strict", profile="restricted"), "-q", "--", "true"]
    cluster.kubectl(*command, program=kubectl)

    def waits(_: object) -> bool:
        state = statuses(cluster, sleeper)["strict"]["state"]
        return state.get("waiting", {}).get("reason") == "CreateContainerConfigError"

    cluster.wait_condition(sleeper, waits, "it cannot be made")


def patch(cluster: StandInCluster, pod: str, **container: Any) -> dict[str, Any]:
    path = f"/api/v1/namespaces/default/pods/{pod}/ephemeralcontainers"
    return cluster.request("PATCH", path, {"spec": {"ephemeralContainers": [container]}})


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            {"name": "x", "image": "bare:dev", "targetContainerName": "nope"},
            'spec.ephemeralContainers[0].targetContainerName: Not found: "nope"',
        ),
        ({"name": "x"}, "spec.ephemeralContainers[0].image: Required value"),
        (
            {"name": "main", "image": "bare:dev"},
            'spec.ephemeralContainers[0].name: Duplicate value: "main"',
        ),
        (
            {"name": "x", "image": "bare:dev", "resources": {"limits": {"memory": "1Mi"}}},
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral "
            "Container",
        ),
    ],
)
def test_what_is_not_admitted(
    cluster: StandInCluster, make_pod: MakePod, container: dict[str, Any], message: str
) -> None:
    make_pod(pod_manifest("strictpod", ["sleep", "1000000"]))
    with pytest.raises(urllib.error.HTTPError) as caught:
        patch(cluster, "strictpod", **container)
    assert caught.value.code == 422
    assert json.load(caught.value)["message"] == f'Pod "strictpod" is invalid: {message}'


def test_an_existing_one_may_not_be_changed(cluster: StandInCluster, make_pod: MakePod) -> None:
    make_pod(pod_manifest("changedpod", ["sleep", "1000000"]))
    sleeping = {"name": "x", "image": "bare:dev", "command": ["sleep", "1000000"]}
    assert patch(cluster, "changedpod", **sleeping)["metadata"]["generation"] == 2
    assert patch(cluster, "changedpod", **sleeping)["metadata"]["generation"] == 2
    with pytest.raises(urllib.error.HTTPError) as caught:
        patch(cluster, "changedpod", name="x", image="pyapp:dev")
    assert (
        'existing ephemeral containers "x" may not be changed' in json.load(caught.value)["message"]
    )
