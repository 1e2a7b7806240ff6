"""The stand-in cluster, proven by the real kubectl: the machine's and the newest one."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.standin import recordings
from tests.cluster.standin.cluster import recorded
from tests.cluster.standin.harness import KUBECTL, NEWEST_KUBECTL, StandInCluster, pod_manifest

KUBECTLS = sorted({KUBECTL, NEWEST_KUBECTL})
BULK_BYTES = 50 * 1024 * 1024


@pytest.fixture(
    params=KUBECTLS, ids=["newest" if x == NEWEST_KUBECTL else "machine" for x in KUBECTLS]
)
def kubectl(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@functools.cache
def minor_version(kubectl: str) -> int:
    command = [kubectl, "version", "--client", "-o", "json"]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=30)
    return int(json.loads(answer.stdout)["clientVersion"]["minor"].rstrip("+"))


def recorded_version(kubectl: str) -> str:
    """Returns the recorded kubectl that speaks as this one: the wording changed in between."""
    return "v1.32.4-dispatcher" if minor_version(kubectl) < 35 else "v1.37.1"


def on_one_stream(cluster: StandInCluster, *arguments: str, **options: str) -> tuple[str, int]:
    """Runs kubectl with stdout and stderr on one pipe, as it was recorded."""
    command = cluster.kubectl_command(*arguments, **options)
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )
    return recordings.normalise(result.stdout.decode()), result.returncode


def test_version(cluster: StandInCluster, kubectl: str) -> None:
    result = cluster.kubectl("version", "-o", "json", program=kubectl)
    # A kubectl shows the fields its own release knows.
    assert json.loads(result.stdout)["serverVersion"].items() <= recorded("version").items()


def test_get_pods_wide(cluster: StandInCluster, kubectl: str) -> None:
    result = cluster.kubectl("get", "pods", "-o", "wide", program=kubectl)
    assert result.returncode == 0, result.stderr
    header, *rows = result.stdout.decode().splitlines()
    columns = "NAME  READY  STATUS  RESTARTS  AGE  IP  NODE  NOMINATED NODE  READINESS GATES"
    assert re.split(r"  +", header) == columns.split("  ")
    row = next(row for row in rows if row.startswith("problempod"))
    assert re.fullmatch(
        r"problempod +1/1 +Running +0 +\w+ +10\.244\.0\.\d+ +node1 +<none> +<none>", row
    )


def test_get_pod_as_json_has_every_field_of_the_recorded_one(
    cluster: StandInCluster, kubectl: str
) -> None:
    result = cluster.kubectl("get", "pod", "problempod", "-o", "json", program=kubectl)
    assert result.returncode == 0, result.stderr
    pod = json.loads(result.stdout)
    assert field_paths(pod) == field_paths(recorded("problempod"))
    for field in ("restartPolicy", "tolerations", "dnsPolicy", "nodeName"):
        assert pod["spec"][field] == recorded("problempod")["spec"][field]


def field_paths(value: Any, path: str = "") -> set[str]:
    """Returns the paths of all fields; what is in the lists of a volume is left out."""
    if isinstance(value, dict):
        found = set()
        for key, part in value.items():
            found |= {f"{path}.{key}"} | field_paths(part, f"{path}.{key}")
        return found
    if isinstance(value, list) and not path.endswith("sources"):
        return {item for part in value for item in field_paths(part, f"{path}[]")}
    return set()


def test_get_nodes_namespaces_and_access(cluster: StandInCluster, kubectl: str) -> None:
    nodes = cluster.kubectl("get", "nodes", "-o", "wide", program=kubectl).stdout.decode()
    assert "node1   Ready    <none>" in nodes
    assert "containerd://1.6.20" in nodes
    namespaces = cluster.kubectl("get", "ns", "-o", "name", program=kubectl).stdout.split()
    assert b"namespace/default" in namespaces
    for user, answer in (("viewer", b"no\n"), ("execer", b"yes\n")):
        asked = cluster.kubectl(
            *("auth", "can-i", "create", "pods", "--subresource=exec"),
            context=user,
            program=kubectl,
        )
        assert asked.stdout == answer


def test_access_review_answers_as_recorded(cluster: StandInCluster) -> None:
    expected = json.loads((recordings.RECORDINGS / "ssar-viewer-exec.json").read_text())
    review = {key: expected[key] for key in ("kind", "apiVersion", "spec")}
    result = cluster.kubectl(
        *("create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "-f", "-"),
        context="viewer",
        input=json.dumps(review).encode(),
    )
    answer = json.loads(result.stdout)
    assert {key: answer[key] for key in ("kind", "spec", "status")} == {
        key: expected[key] for key in ("kind", "spec", "status")
    }


def test_get_watch_shows_a_pod_from_its_creation_to_its_end(
    cluster: StandInCluster, kubectl: str
) -> None:
    command = cluster.kubectl_command(
        *("get", "pods", "-l", "test=watch", "-w", "--output-watch-events"), program=kubectl
    )
    pod = pod_manifest("watched", ["sleep", "1000"], image="bare:dev")
    pod["metadata"]["labels"] = {"test": "watch"}
    cluster.create_pod(pod)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        limit = threading.Timer(20, watching.kill)
        limit.start()
        assert watching.stdout is not None
        for line in watching.stdout:
            lines.append(line.split())
            if lines[-1][:2] == ["ADDED", "watched"]:
                cluster.delete_pod("watched")
            if lines[-1][:2] == ["DELETED", "watched"]:
                break
        limit.cancel()
        watching.kill()
    assert lines[0] == ["EVENT", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1][:4] == ["ADDED", "watched", "1/1", "Running"]
    assert ["MODIFIED", "watched", "1/1", "Terminating"] in [line[:4] for line in lines]
    assert lines[-1][:2] == ["DELETED", "watched"]


@pytest.mark.parametrize(("script", "exit_code"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_exec_passes_the_exit_code_on(
    cluster: StandInCluster, kubectl: str, script: str, exit_code: int
) -> None:
    result = cluster.kubectl("exec", "problempod", "--", "sh", "-c", script, program=kubectl)
    expected = f"command terminated with exit code {exit_code}\n" if exit_code else ""
    assert (result.returncode, result.stderr.decode()) == (exit_code, expected)


def test_exec_keeps_stdout_and_stderr_apart(cluster: StandInCluster, kubectl: str) -> None:
    result = cluster.kubectl(
        *("exec", "problempod", "--", "sh", "-c", "echo out; echo err >&2"), program=kubectl
    )
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")


def test_exec_carries_50_mb_through_stdin_and_stdout(cluster: StandInCluster, kubectl: str) -> None:
    data = os.urandom(BULK_BYTES)
    result = cluster.kubectl("exec", "-i", "problempod", "--", "cat", program=kubectl, input=data)
    assert result.returncode == 0, result.stderr
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()
    assert result.stderr == b""


def test_exec_over_spdy(cluster: StandInCluster, kubectl: str) -> None:
    data = os.urandom(BULK_BYTES)
    result = cluster.kubectl(
        *("exec", "-i", "problempod", "--", "sh", "-c", "cat; echo err >&2; exit 5"),
        program=kubectl,
        input=data,
        env={"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"},
    )
    assert result.returncode == 5
    assert result.stdout == data
    assert result.stderr == b"err\ncommand terminated with exit code 5\n"


def test_exec_on_a_terminal(cluster: StandInCluster, kubectl: str) -> None:
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    command = cluster.kubectl_command(
        *("exec", "-it", "problempod", "--", "sh", "-c", "tty; exit 3"), program=kubectl
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
    )
    assert b"/dev/pts/0\r\n" in result.stdout
    assert result.returncode == 3


def test_kubectl_creates_applies_logs_and_deletes(
    cluster: StandInCluster, kubectl: str, tmp_path: Path
) -> None:
    path = tmp_path / "pod.json"
    pod = pod_manifest("made", ["sh", "-c", "echo one; echo two; sleep 1000"], image="bare:dev")
    path.write_text(json.dumps(pod))
    for arguments, expected in (
        (("apply", "-f", str(path)), b"pod/made created\n"),
        (("wait", "--for=condition=Ready", "pod/made"), b"pod/made condition met\n"),
        (("logs", "made"), b"one\ntwo\n"),
        (("logs", "made", "--tail=1"), b"two\n"),
        (("delete", "pod", "made"), b'pod "made" deleted'),
    ):
        result = cluster.kubectl(*arguments, program=kubectl)
        assert result.stdout.startswith(expected), (arguments, result.stderr)
        assert result.returncode == 0
    assert cluster.kubectl("get", "pod", "made", program=kubectl).stderr == (
        b'Error from server (NotFound): pods "made" not found\n'
    )


def test_a_client_certificate_is_as_good_as_a_token(cluster: StandInCluster, kubectl: str) -> None:
    result = cluster.kubectl(
        "exec", "problempod", "--", "echo", "hi", context="admin-certificate", program=kubectl
    )
    assert (result.returncode, result.stdout) == (0, b"hi\n")


def test_a_wrong_token_is_unauthorized(cluster: StandInCluster, kubectl: str) -> None:
    result = cluster.kubectl("get", "pods", "--token", "wrong", program=kubectl)
    assert result.returncode == 1
    assert result.stderr == (b"error: You must be logged in to the server (Unauthorized)\n")


RECORDED_COMMANDS = list(recordings.client_rows("v1.37.1"))


@pytest.mark.parametrize("command", RECORDED_COMMANDS)
def test_kubectl_prints_what_it_prints_on_a_real_cluster(
    cluster: StandInCluster,
    kubectl: str,
    crashpod_waits: Callable[[], Any],
    command: str,
    tmp_path: Path,
) -> None:
    if "crashpod" in command:
        crashpod_waits()
    expected = recordings.client_rows(recorded_version(kubectl))[command]
    arguments = command.split()[1:]
    context = "admin"
    if "--kubeconfig" in arguments:
        at = arguments.index("--kubeconfig")
        context = arguments[at + 1].removesuffix(".kubeconfig")
        del arguments[at : at + 2]
    if arguments[-1] == "nofile":
        arguments[-1] = str(tmp_path / "nofile")
    got = on_one_stream(cluster, *arguments, context=context, program=kubectl)
    if command.endswith("nofile"):
        # kubectl ends at the end of stdout and shows what of stderr it has got by then.
        complete = recordings.client_rows("v1.32.4-dispatcher")[command]
        assert complete.text.startswith(got[0])
        assert got[1] == complete.exit_code
    else:
        assert got == (expected.text, expected.exit_code)


@pytest.mark.parametrize("user", ["getonly", "createonly", "execer", "viewer"])
def test_exec_as_users_with_fewer_rights(cluster: StandInCluster, kubectl: str, user: str) -> None:
    expected = recordings.user_row(user, recorded_version(kubectl))
    command = ("exec", "problempod", "--", "echo", "hi")
    got = on_one_stream(cluster, *command, context=user, program=kubectl)
    assert got == (expected.text, expected.exit_code)


def test_a_pod_over_its_memory_limit_is_oom_killed(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], kubectl: str
) -> None:
    name = f"oom-{Path(kubectl).parent.name}"
    command = ["python3", "-c", "x = bytearray(200 << 20)"]
    make_pod(pod_manifest(name, command, memory="64Mi", restartPolicy="Never"), wait=False)
    cluster.wait_state(name, lambda state: "terminated" in state, "ended")
    row = cluster.kubectl("get", "pod", name, "--no-headers", program=kubectl).stdout.split()
    assert row[:3] == [name.encode(), b"0/1", b"OOMKilled"]
    status = cluster.pod(name)["status"]
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
