"""Hunter's way into real containers, with a small zipapp in its place."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import signal
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gatherer.errors import DeployError
from gatherer.inject.plan import InjectionConfig
from gatherer.kube.exec.channels import V4, V5
from gatherer.runtimes import kubernetes as runtime_module
from gatherer.runtimes.kubernetes import KubernetesRuntime
from gatherer.target.runtime import HunterChannel
from gatherer.target.values import SILENT, Exit, HunterImage
from tests.cluster.standin.harness import StandInCluster, pod_manifest

# Tells its arguments and descriptor 0's first bytes, loads a module of the zipapp late, echoes.
ECHO = """
import os, sys
print(sys.argv[1:], sys.flags.isolated, sys.flags.no_site, flush=True)
while True:
    data = os.read(0, 65536)
    if not data:
        break
    os.write(1, data)
import late
os.write(2, late.WORDS)
os.write(int(sys._xoptions["hunter"]), bytes([5]))
sys.exit(5)
"""


def zipapp(source: str) -> HunterImage:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", source)
        archive.writestr("late.py", "WORDS = b'loaded late\\n'\n")
        archive.writestr("ballast", os.urandom(100_000))
    data = buffer.getvalue()
    return HunterImage(data, hashlib.sha256(data).hexdigest())


Start = Callable[..., Any]


@pytest.fixture
async def start(cluster: StandInCluster) -> AsyncIterator[Start]:
    """Starts a zipapp in a pod; drops its channel at the end of the test."""
    opened: list[Any] = []

    async def run(
        source: str | HunterImage = ECHO,
        *arguments: str,
        pod: str = "problempod",
        inject: str = "auto",
    ) -> HunterChannel:
        runtime = KubernetesRuntime(
            pod, kubeconfig=str(cluster.kubeconfig), injection=InjectionConfig(inject)
        )
        opened.append(runtime)
        image = zipapp(source) if isinstance(source, str) else source
        channel = await runtime.start(image, arguments)
        opened.append(channel)
        return channel

    yield run
    for item in reversed(opened):
        await item.aclose()


async def read_line(channel: HunterChannel) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        async with asyncio.timeout(20):
            part = await channel.receive()
        assert part
        line += part
    return line


async def read_all(channel: HunterChannel) -> bytes:
    output = b""
    while True:
        async with asyncio.timeout(20):
            part = await channel.receive()
        if not part:
            return output
        output += part


def hunters(cluster: StandInCluster, pod: str = "problempod") -> dict[int, bytes]:
    """Returns the command lines of the zipapps that run in a pod, by process id of the host."""
    container = cluster.pod(pod)["spec"]["containers"][0]["name"]
    found = {}
    for pid in cluster.host_pids(pod, container).values():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"hunter" in command:
            found[pid] = command
    return found


def become(commands: dict[int, bytes]) -> dict[int, bytes]:
    """Returns what runs as hunter, without the processes of the execs that wait for it."""
    return {pid: text for pid, text in commands.items() if b"-X\0hunter=" in text}


def wait_gone(cluster: StandInCluster, pod: str = "problempod") -> None:
    deadline = time.monotonic() + 10
    while hunters(cluster, pod):
        assert time.monotonic() < deadline, hunters(cluster, pod)
        time.sleep(0.01)


def files_of_hunter(cluster: StandInCluster, pod: str = "problempod") -> list[Path]:
    container = cluster.pod(pod)["spec"]["containers"][0]["name"]
    root = cluster.rootfs(pod, container)
    places = [root / place for place in ("tmp", "var/tmp", "dev/shm", "root", "run", ".")]
    return [path for place in places if place.is_dir() for path in place.glob(".hunter-*")]


@pytest.mark.parametrize("subprotocol", [V5, V4])
async def test_a_zipapp_comes_in_runs_and_leaves_nothing(
    cluster: StandInCluster, start: Start, monkeypatch: pytest.MonkeyPatch, subprotocol: str
) -> None:
    monkeypatch.setattr(runtime_module.KubernetesRuntime, "_open_exec_in", opener_with(subprotocol))
    image = zipapp(ECHO)
    channel = await start(image, "--frequency", "1 5")
    assert channel.inject == "copy"
    assert channel.python == "/usr/bin/python3"
    identifier = cluster.container_id("problempod", "buggycontainer")
    about = f"'--container-id', '{identifier}', '--spec-limit', '{256 << 20}'"
    told = f"['--frequency', '1 5', '--sha256', '{image.sha256}', {about}, '--exclude-pid', "
    assert (await read_line(channel)).decode().startswith(told)
    assert len(hunters(cluster)) == 2
    (command,) = become(hunters(cluster)).values()
    flags = [b"-I", b"-B", b"-S", b"-X", b"hunter=5"]
    assert command.split(b"\0")[1:7] == [*flags, b"/proc/self/fd/3"]
    assert files_of_hunter(cluster) == []
    await channel.send(b"first bytes after the zipapp\n")
    assert await read_line(channel) == b"first bytes after the zipapp\n"
    await channel.close_stdin()
    if subprotocol == V5:
        assert await read_all(channel) == b""
        assert await channel.wait() == Exit(5, "", "loaded late", certain=False)
    else:
        assert hunters(cluster)  # v4 cannot close stdin: the channel has to go
    await channel.aclose()
    wait_gone(cluster)
    assert files_of_hunter(cluster) == []


def opener_with(subprotocol: str) -> Any:
    from gatherer.kube.exec.session import open_exec

    async def open_with(self: Any, container: str, command: Any, stdin: bool) -> Any:
        target = self._target
        return await open_exec(
            *(self._access, target.namespace, target.pod, container, command),
            stdin=stdin,
            subprotocols=[subprotocol],
        )

    return open_with


async def test_the_target_of_a_capture(cluster: StandInCluster) -> None:
    runtime = KubernetesRuntime("problempod", kubeconfig=str(cluster.kubeconfig))
    target = await runtime.resolve()
    await runtime.aclose()
    assert (target.runtime, target.context, target.namespace) == ("kubernetes", "admin", "default")
    assert (target.pod, target.container) == ("problempod", "buggycontainer")
    assert (target.node, target.image) == ("node1", "pyapp:dev")


async def test_a_dropped_channel_ends_it(cluster: StandInCluster, start: Start) -> None:
    channel = await start()
    await read_line(channel)
    assert hunters(cluster)
    await channel.aclose()
    wait_gone(cluster)
    assert files_of_hunter(cluster) == []
    assert await channel.receive() == b""
    assert (await channel.wait()).code is None


async def test_one_that_is_killed_leaves_nothing(cluster: StandInCluster, start: Start) -> None:
    channel = await start()
    await read_line(channel)
    for pid in hunters(cluster):
        os.kill(pid, signal.SIGKILL)
    assert await read_all(channel) == b""
    assert (await channel.wait()).code in (137, SILENT), "either of the two may be first"
    assert files_of_hunter(cluster) == []


async def test_one_that_fails_at_once_tells_its_last_words(
    cluster: StandInCluster, start: Start
) -> None:
    channel = await start("import sys\nsys.exit('hunter: \\x1b[31mno luck')")
    assert await channel.wait() == Exit(SILENT, "", "hunter: [31mno luck", certain=False)
    assert files_of_hunter(cluster) == []


async def test_a_zipapp_of_10_mb(cluster: StandInCluster, start: Start) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("__main__.py", "print('big', flush=True)")
        archive.writestr("ballast", os.urandom(10 << 20))
    data = buffer.getvalue()
    channel = await start(HunterImage(data, hashlib.sha256(data).hexdigest()))
    assert await read_all(channel) == b"big\n"


async def test_bytes_that_changed_on_the_way_are_not_run(
    cluster: StandInCluster, start: Start
) -> None:
    good = zipapp(ECHO)
    bad = bytearray(good.data)
    bad[5000] ^= 1
    with pytest.raises(DeployError) as caught:
        await start(HunterImage(bytes(bad), good.sha256))
    received = hashlib.sha256(bad).hexdigest()
    assert f"sha256 {good.sha256} expected, {received} received" in str(caught.value)
    assert files_of_hunter(cluster) == []
    wait_gone(cluster)


async def test_a_read_only_root_without_any_room(
    cluster: StandInCluster, start: Start, make_pod: Callable[..., dict[str, Any]]
) -> None:
    fill = "head -c 100000000 /dev/zero >/dev/shm/full 2>/dev/null; echo full; exec sleep 1000000"
    make_pod(
        pod_manifest(
            "fullpod",
            ["sh", "-c", fill],
            security={"readOnlyRootFilesystem": True},
            env={"HOME": "/root"},
        )
    )
    deadline = time.monotonic() + 10
    while b"full" not in cluster.kubectl("logs", "fullpod").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(DeployError) as caught:
        await start(pod="fullpod", inject="copy")
    told = str(caught.value)
    assert "nothing is writable in container 'main' of pod 'fullpod'" in told
    assert "/tmp: Read-only file system" in told
    assert "/dev/shm: No space left on device" in told
    assert "use --inject memory or ephemeral" in told
    wait_gone(cluster, "fullpod")


async def test_a_read_only_root_of_another_user_has_dev_shm(
    cluster: StandInCluster, start: Start, make_pod: Callable[..., dict[str, Any]]
) -> None:
    security = {
        "readOnlyRootFilesystem": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    make_pod(pod_manifest("readonlypod", ["sleep", "1000000"], security=security))
    channel = await start(pod="readonlypod")
    assert (await read_line(channel)).endswith(b" 1 1\n")
    (pid,) = become(hunters(cluster, "readonlypod"))
    assert os.readlink(f"/proc/{pid}/fd/3") == "/memfd:hunter (deleted)"
    await channel.aclose()
    wait_gone(cluster, "readonlypod")
    channel = await start(pod="readonlypod", inject="copy")
    assert (await read_line(channel)).endswith(b" 1 1\n")
    (pid,) = become(hunters(cluster, "readonlypod"))
    held = os.readlink(f"/proc/{pid}/fd/3")
    assert held.startswith("/dev/shm/.hunter-")
    assert held.endswith(".pyz (deleted)")
    assert files_of_hunter(cluster, "readonlypod") == []
