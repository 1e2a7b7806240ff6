"""The exec protocol of the stand-in, message by message, against what a real cluster sent."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.standin import recordings
from tests.cluster.standin.harness import StandInCluster, pod_manifest
from tests.cluster.standin.raw_client import RawClient

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
SUCCESS = b'\x03{"metadata":{},"status":"Success"}'
OUTPUTS = {"stdout": "true", "stderr": "true"}
BULK_BYTES = 64 * 1024 * 1024
STREAMS = {**OUTPUTS, "stdin": "true"}
WIRE_ROWS = recordings.wire_rows()

# Title of the recording: pod, command, what differs from the plain request.
REQUESTS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "ok: exec echo (v5)": ("problempod", ["echo", "hi"], {}),
    "ok: stdin close v5 (frame ff00)": (
        "problempod",
        ["wc", "-c"],
        {"streams": STREAMS, "send": [b"\x00abc", b"\xff\x00"]},
    ),
    "ok: v4 offered only": ("problempod", ["echo", "hi"], {"protocols": (V4,)}),
    "unknown protocol only": ("problempod", ["echo"], {"protocols": ("v9.channel.k8s.io",)}),
    "non-zero exit": ("problempod", ["sh", "-c"], {}),
    "killed by signal": ("problempod", ["sh", "-c", "kill -9 $$"], {}),
    "FORBIDDEN (viewer)": ("problempod", ["echo"], {"user": "viewer"}),
    "MISSING CONTAINER": ("problempod", ["echo"], {"container": "nope"}),
    "MISSING POD": ("nopod", ["echo"], {}),
    "MISSING NAMESPACE": ("nopod", ["echo"], {"namespace": "nons"}),
    "MISSING BINARY": ("barepod", ["python3", "-V"], {}),
    "BINARY NOT EXECUTABLE": ("problempod", ["/app/leak.py"], {}),
    "CONTAINER NOT RUNNING donepod (Terminated)": ("donepod", ["echo"], {}),
    "CONTAINER NOT RUNNING crashpod": ("crashpod", ["echo"], {}),
    "CONTAINER NOT RUNNING noimagepod (waiting ErrImageNeverPull)": ("noimagepod", ["echo"], {}),
    "PENDING POD no node": ("pendingpod", ["echo"], {}),
    "no container given, 2-container pod": ("sharedpod", ["echo"], {}),
    "no command": ("problempod", [], {}),
    "no streams": ("problempod", ["echo"], {"streams": {}}),
    "tty+stderr": ("problempod", ["echo"], {"streams": {**OUTPUTS, "tty": "true"}}),
    "BAD TOKEN": ("problempod", ["echo"], {"token": "wrong"}),
    "execer ok": ("problempod", ["id", "-u"], {"user": "execer"}),
    "execer port-forward FORBIDDEN": (
        "problempod",
        [],
        {"user": "execer", "subresource": "portforward"},
    ),
}


class Client:
    """Asks for exec; what the request needs is kept here."""

    def __init__(self, cluster: StandInCluster) -> None:
        self._cluster = cluster

    def connect(
        self,
        pod: str,
        command: list[str],
        *,
        protocols: tuple[str, ...] = (V5, V4),
        streams: dict[str, str] = OUTPUTS,
        user: str = "admin",
        token: str = "",
        container: str = "",
        namespace: str = "default",
        subresource: str = "exec",
    ) -> RawClient:
        parameters = [("command", word) for word in command] + list(streams.items())
        if container:
            parameters.append(("container", container))
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/{subresource}"
        return RawClient(
            self._cluster.server + path,
            parameters,
            self._cluster.tls,
            token or self._cluster.tokens[user],
            protocols,
        )


@pytest.fixture
def client(cluster: StandInCluster) -> Client:
    return Client(cluster)


def test_every_recorded_answer_is_compared_but_those_of_ephemeral_containers() -> None:
    assert set(REQUESTS) == {title for title in WIRE_ROWS if not title.startswith("EPHEMERAL")}


@pytest.mark.parametrize("title", [title for title in REQUESTS if WIRE_ROWS[title].code == 101])
def test_messages_are_those_of_a_real_cluster(
    client: Client, recorded_pods: frozenset[str], title: str
) -> None:
    pod, command, options = REQUESTS[title]
    options = dict(options)
    sent = options.pop("send", [])
    with client.connect(pod, command, **options) as socket:
        assert socket.code == 101
        for message in sent:
            socket.send(message)
        received = list(socket.messages())
    assert socket.headers["sec-websocket-protocol"] == options.get("protocols", (V5,))[0]
    assert socket.close_code == WIRE_ROWS[title].close_code
    assert joined(received) == joined(WIRE_ROWS[title].messages)


def joined(messages: Iterable[bytes]) -> list[tuple[int, str]]:
    """Returns channels and texts; one line may come in several messages."""
    found: list[tuple[int, str]] = []
    for message in messages:
        text = recordings.normalise(message[1:].decode())
        if found and found[-1][0] == message[0] and found[-1][1]:
            text = found.pop()[1] + text
        found.append((message[0], text))
    return found


@pytest.mark.parametrize("title", [title for title in REQUESTS if WIRE_ROWS[title].code != 101])
def test_refusals_are_those_of_a_real_cluster(
    client: Client, crashpod_waits: Callable[[], Any], title: str
) -> None:
    pod, command, options = REQUESTS[title]
    if pod == "crashpod":
        crashpod_waits()
    expected = WIRE_ROWS[title]
    with client.connect(pod, command, **options) as answer:
        assert answer.code == expected.code
    assert recordings.normalise(answer.body.decode()) == recordings.normalise(
        expected.body.decode()
    )
    if expected.content_type:
        assert answer.headers["content-type"] == expected.content_type


def test_get_without_create_is_refused_with_a_message_that_is_cut_off(client: Client) -> None:
    text = (recordings.RECORDINGS / "client-errors.txt").read_text()
    expected = text.split("### getonly raw ws\n")[1].split("BODY ")[1].split("\n")[0]
    with client.connect("problempod", ["echo"], user="getonly") as answer:
        assert (answer.code, answer.body.decode()) == (403, expected + "\n")


def test_v4_knows_no_half_close(client: Client) -> None:
    command = ["head", "-c", "3"]
    with client.connect("problempod", command, protocols=(V4,), streams=STREAMS) as socket:
        socket.send(b"\xff\x00")
        socket.send(b"\x00abc")
        assert list(socket.messages()) == [b"\x01", b"\x01abc", SUCCESS]


def test_status_waits_for_the_streams_not_for_the_process_alone(client: Client) -> None:
    script = "(sleep 0.3; echo late) & echo early"
    with client.connect("problempod", ["sh", "-c", script]) as socket:
        assert list(socket.messages()) == [b"\x01", b"\x01early\n", b"\x01late\n", SUCCESS]


def test_the_process_outlives_its_client_and_sees_eof_at_once(
    client: Client, cluster: StandInCluster, make_pod: Callable[..., Any]
) -> None:
    make_pod(pod_manifest("lonely", ["sleep", "1000"]))
    tmp = cluster.rootfs("lonely", "main") / "tmp"
    script = (
        "echo ready; cat > /dev/null; touch /tmp/eof; head -c 1000000 /dev/zero; touch /tmp/after"
    )
    with client.connect("lonely", ["sh", "-c", script], streams=STREAMS) as socket:
        assert socket.receive() == b"\x01"
        assert socket.receive() == b"\x01ready\n"
    gone = time.monotonic()
    wait_for_file(tmp / "eof")
    assert time.monotonic() - gone < 0.5
    # What it writes to nobody neither blocks nor kills it.
    wait_for_file(tmp / "after")


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.005)


def test_a_client_that_does_not_read_stops_the_process(
    client: Client, cluster: StandInCluster, make_pod: Callable[..., Any]
) -> None:
    make_pod(pod_manifest("writer", ["sleep", "1000"]))
    progress = cluster.rootfs("writer", "main") / "tmp/progress"
    script = (
        "import os\n"
        f"for count in range({BULK_BYTES // 65536}):\n"
        "    data = memoryview(bytes(65536))\n"
        "    while data:\n"
        "        data = data[os.write(1, data):]\n"
        "    with open('/tmp/next', 'w') as file:\n"
        "        file.write(str((count + 1) * 65536))\n"
        "    os.rename('/tmp/next', '/tmp/progress')\n"
    )
    with client.connect("writer", ["python3", "-c", script]) as socket:
        wait_for_file(progress)
        before, now = "", progress.read_text()
        while before != now:
            time.sleep(0.3)
            before, now = now, progress.read_text()
        assert int(now) < BULK_BYTES // 2
        received = sum(len(message) - 1 for message in socket.messages() if message[0] == 1)
    assert received == BULK_BYTES
    assert progress.read_text() == str(BULK_BYTES)


def test_a_process_that_does_not_read_stops_the_client(cluster: StandInCluster) -> None:
    command = cluster.kubectl_command("exec", "-i", "problempod", "--", "sleep", "5")
    chunk = bytes(65536)
    sent, stalled_since = 0, None
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        while sent < BULK_BYTES and (
            stalled_since is None or time.monotonic() - stalled_since < 0.5
        ):
            try:
                sent += os.write(process.stdin.fileno(), chunk)
                stalled_since = None
            except BlockingIOError:
                stalled_since = stalled_since or time.monotonic()
                time.sleep(0.01)
        process.kill()
    assert sent < BULK_BYTES


def test_many_execs_at_once_do_not_mix(client: Client) -> None:
    def run(number: int) -> list[bytes]:
        command = ["sh", "-c", f"echo {number}; exit {number}"]
        with client.connect("problempod", command) as socket:
            return list(socket.messages())

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(run, range(12)))
    for number, received in enumerate(answers):
        assert received[1] == f"\x01{number}\n".encode()
        expected = f'"message":"{number}"' if number else '"status":"Success"'
        assert expected in received[-1].decode()
