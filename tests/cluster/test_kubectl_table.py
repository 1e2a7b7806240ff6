"""kubectl and gatherer, given the same kubeconfig and environment, ask for the same thing."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

from gatherer.errors import GathererError
from gatherer.kube.api import KubernetesApi
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.configuration import load_access
from tests.cluster.kube_access import execute, finish
from tests.cluster.kubectl_rows import ROWS, Row
from tests.cluster.proxies import Asked, RecordingProxy
from tests.cluster.standin.harness import NEWEST_KUBECTL, StandInCluster

# Headers that say who asks, and whom; the others are each client's own.
TELLING = ("authorization", "impersonate-", "proxy-authorization", "cookie")


class Place:
    """The stand-in with proxies around it.

    Args:
        cluster: the stand-in.
        proxies: by the word that stands for their address.
    """

    def __init__(self, cluster: StandInCluster, proxies: dict[str, RecordingProxy]) -> None:
        self.cluster = cluster
        self.proxies = proxies
        document = json.loads(cluster.kubeconfig.read_text())
        users = {entry["name"]: entry["user"] for entry in document["users"]}
        pair = next(user for user in users.values() if "client-key-data" in user)
        authority = document["clusters"][0]["cluster"]["certificate-authority-data"]
        server, plain = urlsplit(cluster.server), urlsplit(cluster.plain)
        self.words = {
            "SERVER": cluster.server,
            "PLAIN": cluster.plain,
            "HOST": server.netloc,
            "PLAINHOST": plain.netloc,
            "PORT": str(server.port),
            "PLAINPORT": str(plain.port),
            "CA": authority,
            "CAPEM": base64.b64decode(authority).decode(),
            "CERT": pair["client-certificate-data"],
            "KEY": pair["client-key-data"],
            "CERTPEM": _escaped(pair["client-certificate-data"]),
            "KEYPEM": _escaped(pair["client-key-data"]),
            "TOKEN": users["admin"]["token"],
            "OTHER": "nobodys-token",
            "JWT": _jwt(time.time() + 3600),
            "OLDJWT": _jwt(time.time() - 3600),
            **{word: proxy.host for word, proxy in proxies.items()},
        }

    def trust(self, authority: trustme.CA) -> None:
        """Adds another authority to the cluster's."""
        both = self.words["CAPEM"] + authority.cert_pem.bytes().decode()
        self.words["BOTHCAS"] = base64.b64encode(both.encode()).decode()

    def filled(self, text: str, directory: Path) -> str:
        """Returns a text with its words in place."""
        for word, value in {**self.words, "DIR": str(directory)}.items():
            text = text.replace(f"@{word}@", value)
        return text

    def taken(self) -> set[Asked]:
        """Returns what the proxies were asked for since the last call."""
        return {asked for proxy in self.proxies.values() for asked in proxy.taken()}


def _escaped(data: str) -> str:
    # A JSON string within a JSON string.
    return base64.b64decode(data).decode().replace("\n", "\\\\n")


def _jwt(expires: float) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part({'exp': int(expires)})}.{part('x')}"


@pytest.fixture(scope="module")
def place(cluster: StandInCluster) -> Iterator[Place]:
    server, plain = urlsplit(cluster.server), urlsplit(cluster.plain)
    upstream = (str(server.hostname), server.port or 0)
    without_tls = (str(plain.hostname), plain.port or 0)
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with (
        RecordingProxy(upstream, without_tls) as proxy,
        RecordingProxy(upstream, without_tls, password=True) as locked,
        RecordingProxy(upstream, without_tls, tls=tls) as with_tls,
    ):
        place = Place(cluster, {"PROXY": proxy, "LOCKED": locked, "TLSPROXY": with_tls})
        place.trust(authority)
        yield place


def written(row: Row, place: Place, directory: Path) -> tuple[dict[str, str], str | None]:
    """Writes the files of a row; returns its environment and the value of --kubeconfig."""
    for name, content in row.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("->"):
            path.symlink_to(content[2:])
            continue
        if isinstance(content, bytes):
            encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(
                content[:2], "latin-1"
            )
            if b"\0" in content[2:4] and encoding == "latin-1":
                encoding = "utf-16-le"
            path.write_bytes(place.filled(content.decode(encoding), directory).encode(encoding))
            continue
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(place.filled(text, directory), encoding="utf-8", newline="")
        path.chmod(0o700)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory / "home"),
        "KUBECONFIG": "@DIR@/config",
        **row.environment,
    }
    environment = {key: place.filled(value, directory) for key, value in environment.items()}
    return environment, place.filled(row.option, directory) if row.option else None


def of_interest(requests: list[dict[str, Any]], what: str) -> set[tuple[Any, ...]]:
    """Returns the requests whose path ends so, with all that tells who asks whom."""
    return {
        (
            request["scheme"],
            request["path"].rstrip("/"),
            (request["sni"] or "").lower(),
            request["client"],
            *sorted(
                (name, value.lower() if name == "host" else value)
                for name, value in request["headers"]
                if name.startswith(TELLING) or name == "host"
            ),
        )
        for request in requests
        if request["path"].rstrip("/").endswith(what)
    }


def by_kubectl(
    program: str, row: Row, place: Place, directory: Path, arguments: tuple[str, ...]
) -> str:
    environment, option = written(row, place, directory)
    command = [program, f"--cache-dir={directory / 'cache'}", "--request-timeout=15s"]
    command += [f"--kubeconfig={option}"] if option else []
    command += [f"--context={row.context}"] if row.context else []
    result = subprocess.run(
        [*command, *arguments],
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    return result.stdout.decode("utf-8", "replace")


async def by_gatherer(
    row: Row, place: Place, directory: Path, monkeypatch: pytest.MonkeyPatch, run: bool
) -> str:
    environment, option = written(row, place, directory)
    monkeypatch.chdir(directory)
    for name in set(os.environ) - set(environment):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        access = load_access(option, row.context, service_account=directory / "nowhere")
        return await _asked(access, row, run)
    except GathererError as error:
        return str(error) if error.exit_code == 3 and error.remedy else f"no remedy: {error}"


async def _asked(access: ClusterAccess, row: Row, run: bool) -> str:
    if run:
        async with asyncio.timeout(60):
            session = await execute(access, "true", namespace=access.namespace)
            return str(await finish(session))
    api = KubernetesApi(access)
    try:
        if not row.pod:
            return await api.version()
        return (await api.read_pod(access.namespace, "problempod")).name
    finally:
        await api.aclose()


VERSION = ("version",)
GET = ("get", "pod", "problempod", "-o", "name")
RUN = ("exec", "problempod", "--", "true")
CASES = [
    pytest.param(row, run, id=f"{row.name}{', exec' if run else ''}")
    for row in ROWS
    for run in ((False, True) if row.run else (False,))
]


@pytest.mark.parametrize(("row", "run"), CASES)
async def test_kubectl_and_gatherer_agree(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: Row, run: bool
) -> None:
    what = "/problempod/exec" if run else "/pods/problempod" if row.pod else "/version"
    arguments = RUN if run else GET if row.pod else VERSION
    seen, said = {}, {}
    _, position = place.cluster.audited()
    place.taken()
    for who in ("kubectl", "gatherer"):
        directory = tmp_path / "work"
        directory.mkdir()
        if who == "kubectl":
            said[who] = await asyncio.to_thread(
                by_kubectl, NEWEST_KUBECTL, row, place, directory, arguments
            )
        else:
            said[who] = await by_gatherer(row, place, directory, monkeypatch, run)
        directory.rename(tmp_path / who)
        requests, position = place.cluster.audited(position)
        seen[who] = (of_interest(requests, what), place.taken())
    assert seen["gatherer"] == seen["kubectl"], said
    assert "no remedy" not in said["gatherer"]
    assert bool(seen["kubectl"][0]) == row.arrives, said
