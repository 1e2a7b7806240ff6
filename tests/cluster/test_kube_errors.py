"""Every row of the error table, from the API server to the line the user reads."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import trustme

from gatherer.errors import (
    ApiError,
    ClusterUnreachable,
    DeployError,
    Forbidden,
    GathererError,
    NotFound,
    ServerError,
    TargetNotFound,
    TargetNotRunning,
    Unauthorized,
)
from gatherer.inject.plan import InjectionConfig
from gatherer.kube.auth.configuration import load_access
from gatherer.runtimes.kubernetes import KubernetesRuntime
from gatherer.target.values import HunterImage
from tests.cluster.kube_access import access_to, edited_kubeconfig, execute
from tests.cluster.standin.harness import StandInCluster

HUNTER = HunterImage(b"", "0" * 64)


async def refused_exec(
    cluster: StandInCluster, *, context: str | None = None, **arguments: Any
) -> GathererError:
    with pytest.raises(GathererError) as caught:
        await execute(access_to(cluster, context), "echo", **arguments)
    return judged(caught.value)


async def refused_start(kubeconfig: Path, pod: str, **arguments: Any) -> GathererError:
    runtime = KubernetesRuntime(pod, kubeconfig=str(kubeconfig), **arguments)
    try:
        with pytest.raises(GathererError) as caught:
            await runtime.start(HUNTER, [])
    finally:
        await runtime.aclose()
    return judged(caught.value)


def judged(error: GathererError) -> GathererError:
    assert error.exit_code == 3
    assert error.remedy
    assert str(error).isprintable()
    return error


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (
            {"context": "viewer"},
            Forbidden,
            'pods "problempod" is forbidden: User "system:serviceaccount:default:viewer" '
            'cannot get resource "pods/exec" in API group "" in the namespace "default"',
        ),
        ({"context": "createonly"}, Forbidden, 'cannot get resource "pods/exec"'),
        ({"context": "getonly"}, Forbidden, 'the verb create on "pods/exec" is missing'),
        ({"container": "nope"}, ApiError, "container nope is not valid for pod problempod"),
        ({"pod": "nopod"}, NotFound, 'pods "nopod" not found'),
        ({"pod": "nopod", "namespace": "nons"}, NotFound, 'pods "nopod" not found'),
        (
            {"pod": "donepod", "container": "donecontainer"},
            ServerError,
            'container not found ("donecontainer")',
        ),
        (
            {"pod": "pendingpod", "container": "pendingcontainer"},
            ApiError,
            "pod pendingpod does not have a host assigned",
        ),
        (
            {"pod": "sharedpod", "container": ""},
            ApiError,
            "a container name must be specified for pod sharedpod, choose one of: [app sidecar]",
        ),
        ({"subprotocols": ["v9.channel.k8s.io"]}, Forbidden, "does not pass websockets on"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
async def test_a_refused_exec(
    cluster: StandInCluster,
    recorded_pods: frozenset[str],
    request_: dict[str, Any],
    kind: type[GathererError],
    words: str,
) -> None:
    error = await refused_exec(cluster, **request_)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("pod", "container", "words"),
    [
        ("sharedpod", None, "choose one with -c: app, sidecar"),
        ("problempod", "nope", "has no container 'nope'; choose one of: buggycontainer"),
        ("donepod", None, "has ended, its phase is Failed: Error, exit code 3"),
        ("noimagepod", None, "it is waiting (ErrImageNeverPull)"),
        ("pendingpod", None, "is not scheduled to a node yet: 0/1 nodes are available"),
    ],
)
async def test_a_target_that_cannot_be_captured(
    cluster: StandInCluster,
    recorded_pods: frozenset[str],
    pod: str,
    container: str | None,
    words: str,
) -> None:
    error = await refused_start(cluster.kubeconfig, pod, container=container)
    assert type(error) is (TargetNotRunning if pod == "pendingpod" else TargetNotFound)
    assert words in str(error)


async def test_a_pod_that_does_not_exist(cluster: StandInCluster) -> None:
    error = await refused_start(cluster.kubeconfig, "nopod")
    assert type(error) is NotFound
    assert error.cause == "pods \"nopod\" not found in namespace 'default' of context 'admin'"
    error = await refused_start(cluster.kubeconfig, "problempod", namespace="nons")
    assert type(error) is NotFound
    assert "in namespace 'nons' of context 'admin'" in error.cause


async def test_a_container_without_python(
    cluster: StandInCluster, recorded_pods: frozenset[str]
) -> None:
    error = await refused_start(cluster.kubeconfig, "barepod", injection=InjectionConfig("memory"))
    assert type(error) is DeployError
    assert "in container 'barecontainer' of pod 'barepod': it has no Python" in str(error)


async def test_exec_is_forbidden_after_the_pod_was_read(cluster: StandInCluster) -> None:
    error = await refused_start(cluster.kubeconfig, "problempod", context="viewer")
    assert isinstance(error, Forbidden)
    assert error.resource == "pods/exec"
    assert "kubectl create role gatherer-pods-exec -n default --verb=get,create" in error.remedy
    assert "kubectl create rolebinding gatherer-pods-exec -n default" in error.remedy


async def test_a_token_that_is_not_accepted(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(cluster, tmp_path / "config", user={"token": "expired"})
    error = await refused_start(config, "problempod")
    assert type(error) is Unauthorized
    assert "refused the credentials of context 'admin': Unauthorized" in str(error)
    with pytest.raises(Unauthorized):
        await execute(load_access(str(config)), "echo")


async def test_no_credentials_at_all(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(cluster, tmp_path / "config", user={})
    error = await refused_start(config, "problempod")
    assert type(error) is ClusterUnreachable
    assert "user 'admin' in " in error.cause
    assert error.cause.endswith("has no credentials")


async def both_ways(kubeconfig: Path) -> list[str]:
    """Returns what a request and an exec say when there is no connection."""
    access = load_access(str(kubeconfig))
    error = await refused_start(kubeconfig, "problempod")
    with pytest.raises(ClusterUnreachable) as caught:
        await execute(access, "echo")
    assert type(error) is ClusterUnreachable
    return [str(error), str(judged(caught.value))]


async def test_a_server_that_does_not_listen(cluster: StandInCluster, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        server = f"https://127.0.0.1:{taken.getsockname()[1]}"
        for told in await both_ways(edited_kubeconfig(cluster, tmp_path / "config", server=server)):
            assert f"no connection to the API server {server}: connection refused" in told


async def test_a_name_that_does_not_resolve(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(cluster, tmp_path / "config", server="https://nowhere.invalid:6443")
    for told in await both_ways(config):
        assert "https://nowhere.invalid:6443: its name cannot be resolved" in told


async def test_a_certificate_that_is_not_trusted(cluster: StandInCluster, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.crt")
    config = edited_kubeconfig(
        cluster,
        tmp_path / "config",
        **{"certificate-authority-data": None, "certificate-authority": "other.crt"},
    )
    for told in await both_ways(config):
        assert f"certificate of the API server {cluster.server} is not trusted" in told
        assert "certificate-authority" in told


async def test_a_certificate_for_another_name(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(cluster, tmp_path / "config", **{"tls-server-name": "other.example"})
    for told in await both_ways(config):
        assert "is not trusted: Hostname mismatch" in told
        assert "tls-server-name" in told


async def test_tls_spoken_to_a_server_without_tls(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(
        cluster, tmp_path / "config", server=cluster.server.replace("https", "http")
    )
    for told in await both_ways(config):
        assert "no connection to the API server http://127.0.0.1" in told


async def test_a_kubeconfig_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("clusters: [\n")
    error = await refused_start(tmp_path / "config", "problempod")
    assert type(error) is ClusterUnreachable
    assert "config, line 2" in str(error)


async def test_a_context_that_does_not_exist(cluster: StandInCluster) -> None:
    error = await refused_start(cluster.kubeconfig, "problempod", context="prod")
    names = [entry["name"] for entry in json.loads(cluster.kubeconfig.read_text())["contexts"]]
    assert f"choose one: {', '.join(sorted(names))}" in str(error)
