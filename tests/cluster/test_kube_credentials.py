"""The ways to prove who asks, against a server that checks."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gatherer.errors import ClusterUnreachable
from gatherer.kube.api import KubernetesApi
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.configuration import load_access
from gatherer.kube.auth.exec_credential import API_VERSIONS
from gatherer.kube.exec.channels import ExecExited
from tests.cluster.kube_access import edited_kubeconfig, execute, finish, user_named
from tests.cluster.standin.harness import StandInCluster

# Prints the next line of the file it is given, the last one again and again, and counts its runs.
PLUGIN = """
import json, os, sys
answers = open(sys.argv[1]).read().splitlines()
with open(sys.argv[1] + ".runs", "a") as runs:
    runs.write(os.environ["KUBERNETES_EXEC_INFO"] + "\\n")
number = len(open(sys.argv[1] + ".runs").readlines())
print(answers[min(number, len(answers)) - 1])
"""


async def accepted(access: ClusterAccess) -> bool:
    """Makes one request and one exec."""
    api = KubernetesApi(access)
    try:
        pod = await api.read_pod("default", "problempod")
    finally:
        await api.aclose()
    stdout, _, end = await finish(await execute(access, "echo", "hi"))
    return (pod.name, stdout, end) == ("problempod", b"hi\n", ExecExited(0))


@pytest.mark.parametrize("context", [None, "execer"])
async def test_a_token(cluster: StandInCluster, context: str | None) -> None:
    assert await accepted(load_access(str(cluster.kubeconfig), context))


def certificate_user(cluster: StandInCluster) -> dict[str, Any]:
    document = json.loads(cluster.kubeconfig.read_text())
    for entry in document["users"]:
        if "client-certificate-data" in entry["user"]:
            return dict(entry["user"])
    raise AssertionError("the stand-in's kubeconfig has no client certificate")


async def test_a_client_certificate_as_data(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(cluster, tmp_path / "config", user=certificate_user(cluster))
    assert await accepted(load_access(str(config)))


async def test_a_client_certificate_in_files(cluster: StandInCluster, tmp_path: Path) -> None:
    user = certificate_user(cluster)
    for key in ("client-certificate", "client-key"):
        (tmp_path / f"{key}.pem").write_bytes(base64.b64decode(user[f"{key}-data"]))
    config = edited_kubeconfig(
        cluster,
        tmp_path / "config",
        user={"client-certificate": "client-certificate.pem", "client-key": "client-key.pem"},
    )
    assert await accepted(load_access(str(config)))


async def test_a_token_file(cluster: StandInCluster, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(user_named(cluster, "admin")["token"] + "\n")
    config = edited_kubeconfig(cluster, tmp_path / "config", user={"tokenFile": "token"})
    assert await accepted(load_access(str(config)))


async def test_an_insecure_cluster(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(
        cluster,
        tmp_path / "config",
        **{"certificate-authority-data": None, "insecure-skip-tls-verify": True},
    )
    assert await accepted(load_access(str(config)))


async def test_the_servers_other_name(cluster: StandInCluster, tmp_path: Path) -> None:
    config = edited_kubeconfig(
        cluster, tmp_path / "config", **{"tls-server-name": "kubernetes.default.svc"}
    )
    assert await accepted(load_access(str(config)))


async def test_the_service_account_of_a_pod(cluster: StandInCluster, tmp_path: Path) -> None:
    document = json.loads(cluster.kubeconfig.read_text())
    authority = document["clusters"][0]["cluster"]["certificate-authority-data"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(authority))
    (tmp_path / "token").write_text(user_named(cluster, "execer")["token"])
    (tmp_path / "namespace").write_text("default")
    server = urlsplit(cluster.server)
    environment = {
        "HOME": str(tmp_path),
        "KUBERNETES_SERVICE_HOST": str(server.hostname),
        "KUBERNETES_SERVICE_PORT": str(server.port),
    }
    assert await accepted(load_access(environment=environment, service_account=tmp_path))


class Plugin:
    """An exec credential plugin with scripted answers."""

    def __init__(self, cluster: StandInCluster, directory: Path, **fields: Any) -> None:
        self._answers = directory / "answers"
        (directory / "plugin.py").write_text(PLUGIN)
        user = {
            "exec": {
                "apiVersion": API_VERSIONS[0],
                "command": sys.executable,
                "args": [str(directory / "plugin.py"), str(self._answers)],
                "interactiveMode": "Never",
                **fields,
            }
        }
        config = edited_kubeconfig(cluster, directory / "config", user=user)
        self.access = load_access(str(config))

    def answers(self, *statuses: dict[str, Any]) -> None:
        documents = [
            {"kind": "ExecCredential", "apiVersion": API_VERSIONS[0], "status": status}
            for status in statuses
        ]
        self._answers.write_text("".join(json.dumps(document) + "\n" for document in documents))

    @property
    def runs(self) -> list[dict[str, Any]]:
        lines = self._answers.with_suffix(".runs").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def plugin(cluster: StandInCluster, tmp_path: Path) -> Plugin:
    return Plugin(cluster, tmp_path)


def in_seconds(seconds: float) -> str:
    time = datetime.now(timezone.utc) + timedelta(seconds=seconds)  # noqa: UP017
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_plugin_that_prints_a_token_runs_once(
    cluster: StandInCluster, plugin: Plugin
) -> None:
    token = user_named(cluster, "admin")["token"]
    plugin.answers({"token": token, "expirationTimestamp": in_seconds(3600)})
    assert await accepted(plugin.access)
    assert len(plugin.runs) == 1
    assert plugin.runs[0]["spec"] == {"interactive": False}


async def test_requests_at_the_same_time_share_one_login(
    cluster: StandInCluster, plugin: Plugin
) -> None:
    plugin.answers({"token": user_named(cluster, "admin")["token"]})
    assert all(await asyncio.gather(*(accepted(plugin.access) for _ in range(4))))
    assert len(plugin.runs) == 1


async def test_a_plugins_token_is_renewed_when_it_expires(
    cluster: StandInCluster, plugin: Plugin
) -> None:
    token = user_named(cluster, "admin")["token"]
    plugin.answers({"token": token, "expirationTimestamp": in_seconds(5)})
    assert await accepted(plugin.access)
    assert len(plugin.runs) == 2


@pytest.mark.parametrize("first", ["request", "exec"])
async def test_a_plugin_runs_again_when_its_token_is_refused(
    cluster: StandInCluster, plugin: Plugin, first: str
) -> None:
    plugin.answers({"token": "revoked"}, {"token": user_named(cluster, "admin")["token"]})
    if first == "exec":
        assert (await finish(await execute(plugin.access, "true")))[2] == ExecExited(0)
    assert await accepted(plugin.access)
    assert len(plugin.runs) == 2


async def test_a_plugin_that_prints_a_client_certificate(
    cluster: StandInCluster, plugin: Plugin
) -> None:
    user = certificate_user(cluster)
    plugin.answers(
        {
            "clientCertificateData": base64.b64decode(user["client-certificate-data"]).decode(),
            "clientKeyData": base64.b64decode(user["client-key-data"]).decode(),
        }
    )
    assert await accepted(plugin.access)


async def test_a_plugin_is_told_about_the_cluster_when_it_asks(
    cluster: StandInCluster, tmp_path: Path
) -> None:
    plugin = Plugin(cluster, tmp_path, provideClusterInfo=True)
    plugin.answers({"token": user_named(cluster, "admin")["token"]})
    assert await accepted(plugin.access)
    told = plugin.runs[0]["spec"]["cluster"]
    assert told["server"] == cluster.server
    assert base64.b64decode(told["certificate-authority-data"]).startswith(b"-----BEGIN")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"command": "no-such-login-tool", "installHint": "install it\nfrom x"},
            "'no-such-login-tool' is not installed; install it from x",
        ),
        ({"command": "/etc/passwd"}, "cannot be run: Permission denied"),
        (
            {"args": ["-c", "import sys; sys.exit('usage\\nsession expired')"]},
            "exit code 1: session expired; log in",
        ),
        ({"args": ["-c", "print('hello')"]}, "printed no ExecCredential"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "set it to client.auth"),
        ({"interactiveMode": "Always"}, "needs a terminal"),
    ],
)
async def test_a_plugin_that_fails_is_named(
    cluster: StandInCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.setattr("os.isatty", lambda descriptor: False)
    plugin = Plugin(cluster, tmp_path, **fields)
    with pytest.raises(ClusterUnreachable) as caught:
        await execute(plugin.access, "true")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
