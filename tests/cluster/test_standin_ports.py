"""pods/proxy and pods/portforward of the stand-in, judged by the real kubectl."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.standin.harness import KUBECTL, NEWEST_KUBECTL, StandInCluster

PROGRAMS = pytest.mark.parametrize("program", [KUBECTL, NEWEST_KUBECTL])


@contextmanager
def forwarded(
    cluster: StandInCluster, pod: str, port: int, program: str, env: dict[str, str] | None = None
) -> Iterator[int]:
    """Runs kubectl port-forward; yields the local port."""
    command = cluster.kubectl_command("port-forward", f"pod/{pod}", f":{port}", program=program)
    process = subprocess.Popen(
        ["env", *(f"{key}={value}" for key, value in (env or {}).items()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("Forwarding from 127.0.0.1:"), (line, process.stderr)
        yield int(line.split(":")[1].split(" ")[0])
    finally:
        process.kill()
        process.communicate()


def fetch(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        data: bytes = answer.read()
    return data


@PROGRAMS
@pytest.mark.parametrize("websockets", ["true", "false"])
def test_kubectl_port_forward_reaches_a_server_on_loopback(
    cluster: StandInCluster,
    make_agent: Callable[..., str],
    program: str,
    websockets: str,
) -> None:
    make_agent("parca", listen="127.0.0.1:7071")
    env = {"KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets}
    with forwarded(cluster, "parca-agent-x1b2c", 7071, program, env) as port:
        for _ in range(3):
            assert b"parca_agent_num_cpu" in fetch(port, "/metrics")


@PROGRAMS
def test_kubectl_port_forward_to_a_closed_port_says_so(
    cluster: StandInCluster, program: str
) -> None:
    command = cluster.kubectl_command("port-forward", "pod/problempod", ":81", program=program)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().decode().split(":")[1].split(" ")[0])
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        fetch(port, "/")
    # A refused port ends the whole port-forward: kubernetes/kubectl#1169.
    _, errors = process.communicate(timeout=60)
    assert b"dial tcp4 127.0.0.1:81: connect: connection refused" in errors
    assert b"lost connection to pod" in errors
    assert process.returncode == 1


@PROGRAMS
def test_kubectl_get_raw_goes_through_the_proxy(
    cluster: StandInCluster, make_agent: Callable[..., str], program: str
) -> None:
    make_agent("parca")
    path = "/api/v1/namespaces/default/pods/parca-agent-x1b2c{}/proxy/metrics"
    for port in (":7071", ""):
        done = cluster.kubectl("get", "--raw", path.format(port), program=program)
        assert b"parca_agent_num_cpu" in done.stdout, done.stderr
    closed = cluster.kubectl("get", "--raw", path.format(":81"), program=program)
    assert closed.returncode == 1
    assert b"error trying to reach service: dial tcp 10.244.0." in closed.stderr


def test_proxy_answers_as_recorded(cluster: StandInCluster, make_agent: Callable[..., str]) -> None:
    make_agent("parca", listen="127.0.0.1:7071")
    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.proxy("parca-agent-x1b2c:7071", "metrics")
    told = json.load(refused.value)
    assert (told["code"], told["reason"]) == (503, "ServiceUnavailable")
    assert told["message"].startswith("error trying to reach service: dial tcp 10.244.0.")
    assert told["message"].endswith(":7071: connect: connection refused")
    forbidden = cluster.kubectl(
        "get", "--raw", "/api/v1/namespaces/default/pods/problempod:8080/proxy/", context="execer"
    )
    assert b'pods "problempod:8080" is forbidden' in forbidden.stderr
    assert b'cannot get resource "pods/proxy"' in forbidden.stderr


def test_an_agent_follows_the_cgroup_of_the_target(
    cluster: StandInCluster, make_agent: Callable[..., str]
) -> None:
    make_agent("coroot", env={"MIN_AGE_SECONDS": "0"})
    text = cluster.proxy("coroot-node-agent-x1b2c:80", "metrics").decode()
    mine = 'container_id="/k8s/default/problempod/buggycontainer"'
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("container_resources_memory_rss_bytes{") and mine in line
    ]
    rss = float(line.rsplit(" ", 1)[1])
    assert 1 << 20 < rss < 256 << 20
    assert "container_oom_kills_total{" not in text
