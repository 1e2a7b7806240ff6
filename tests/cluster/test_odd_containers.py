"""Containers as people have them: users nobody knows, an init in front, a thousand processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import capture, events, files, hunters, session, until
from tests.cluster.standin.harness import StandInCluster, pod_manifest

MakePod = Callable[..., dict[str, Any]]

HOLDER = """
import os, time
kept = bytearray(b"x") * (60 << 20)
while True:
    os.getppid()
    time.sleep(0.02)
"""
# As OpenShift runs containers: a user without a name, in group 0.
ARBITRARY = {
    "runAsUser": 1000720000,
    "runAsGroup": 0,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def traced(cluster: StandInCluster, output: Path, pod: str, *arguments: str) -> dict[str, Any]:
    done = capture(
        cluster, output, "-p", pod, "-m", "15", "-f", "0.5", "--duration", "2", *arguments
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = session(output)
    assert told["tracing"] == "on"
    assert told["records"]["received"] > 0
    assert told["complete"] is True
    assert hunters(cluster, pod, "main") == []
    assert cluster.tracer_pids(pod, "main") == {0}
    return told


def has_memory(cluster: StandInCluster, pod: str) -> None:
    def holds() -> bool:
        usage = cluster.cgroup(pod, "main") / "memory.usage_in_bytes"
        return int(usage.read_text()) > 60 << 20

    until(holds, "it has its memory")


@pytest.mark.parametrize("read_only", [False, True])
def test_an_arbitrary_user_without_a_name(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, read_only: bool
) -> None:
    pod = f"arbitrary-{'ro' if read_only else 'rw'}"
    security = {**ARBITRARY, "readOnlyRootFilesystem": read_only}
    make_pod(pod_manifest(pod, ["python3", "-c", HOLDER], memory="256Mi", security=security))
    has_memory(cluster, pod)
    before = files(cluster, pod, "main")
    told = traced(cluster, tmp_path, pod)
    assert told["hunter"]["uid"] == 1000720000
    assert told["hunter"]["inject"] == ("memory" if read_only else "copy")
    assert told["host"]["capabilities"] == []
    assert files(cluster, pod, "main") == before


def test_an_arbitrary_user_in_an_image_without_python(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    command = ["sh", "-c", "while :; do :; done"]
    make_pod(
        pod_manifest(
            "arbitrary-bare", command, image="bare:dev", memory="128Mi", security=ARBITRARY
        )
    )
    done = capture(
        cluster, tmp_path, "-p", "arbitrary-bare", "-m", "0.01", "-f", "0.5", "--duration", "2"
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = session(tmp_path)
    assert told["hunter"]["inject"] == "bundle"
    assert told["tracing"] == "on"
    assert [process["pid"] for process in told["processes"]] == [1]


def _foreign(shell: Path) -> None:
    """Makes it a program for a machine that nobody has."""
    shell.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xfe\xca" + bytes(100))
    shell.chmod(0o755)


def _without_loader(shell: Path) -> None:
    shell.write_text("#!/no/such/loader\n")
    shell.chmod(0o755)


def _for_nobody(shell: Path) -> None:
    shell.write_text("#!/bin/sleep\n")
    shell.chmod(0o644)


@pytest.mark.parametrize(
    "spoil",
    [
        _foreign,
        pytest.param(_without_loader, marks=pytest.mark.long),
        pytest.param(Path.mkdir, marks=pytest.mark.long),
        pytest.param(_for_nobody, marks=pytest.mark.long),
    ],
)
def test_a_shell_that_cannot_be_run_is_none(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    pod = f"noshell-{spoil.__name__.strip('_').replace('_', '-')}"
    make_pod(pod_manifest(pod, ["sleep", "1000000"], image="bare:dev", memory="128Mi"))
    programs = cluster.rootfs(pod, "main") / "bin"
    (programs / "sh").unlink()
    spoil(programs / "sh")
    told = cluster.kubectl("exec", pod, "--", "/bin/sh", "-c", ":")
    assert told.returncode != 0, told
    done = capture(cluster, tmp_path, "-p", pod, "-m", "0.01", "-f", "0.5", "--duration", "1")
    assert (done.returncode, done.stderr) == (0, "")
    hunter = session(tmp_path)["hunter"]
    assert hunter["inject"] == "ephemeral"
    assert hunter["inject_reason"].startswith("it has no shell and no Python that can be run (")


def test_pid_1_is_not_the_application(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    """A shell as init, which waits for nobody but its own child."""
    script = 'python3 -c "$CODE" & trap "kill $!" TERM; wait'
    make_pod(pod_manifest("initpod", ["sh", "-c", script], env={"CODE": HOLDER}, memory="256Mi"))
    has_memory(cluster, "initpod")
    told = traced(cluster, tmp_path, "initpod")
    (process,) = told["processes"]
    assert process["command"] == "python3"
    assert process["pid"] != 1
    states = {
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        for pid in cluster.host_pids("initpod", "main").values()
    }
    assert "Z" not in states, "hunter leaves no zombies to an init that waits for nobody"


@pytest.mark.long
def test_a_thousand_processes(cluster: StandInCluster, make_pod: MakePod, tmp_path: Path) -> None:
    script = (
        'i=0; while [ $i -lt 1000 ]; do sleep 1000000 & i=$((i+1)); done; exec python3 -c "$CODE"'
    )
    make_pod(pod_manifest("crowd", ["sh", "-c", script], env={"CODE": HOLDER}, memory="1Gi"))
    until(lambda: len(cluster.host_pids("crowd", "main")) > 1000, "all run", 60)
    has_memory(cluster, "crowd")
    until(lambda: cluster.rss("crowd", "main") > 60 << 20, "it has its memory")
    done = capture(cluster, tmp_path, "-p", "crowd", "-m", "5", "-f", "0.5", "--duration", "3")
    assert (done.returncode, done.stderr) == (0, "")
    told = session(tmp_path)
    (process,) = told["processes"]
    assert (process["command"], process["pid"]) == ("python3", 1)
    assert told["records"]["received"] > 0
    assert told["hunter"]["peak_pss_bytes"] < 32 << 20
    assert len(events(tmp_path, "scan")) == 1


USER_NAMESPACE = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000):  # CLONE_NEWUSER
    raise OSError(ctypes.get_errno(), "unshare")
kept = bytearray(b"x") * (60 << 20)
print("ready", flush=True)
while True:
    os.getppid()
    time.sleep(0.02)
"""


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.long
def test_a_target_in_a_user_namespace_of_its_own(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, right: bool
) -> None:
    """Root out here made that namespace, so it may do anything to who is in there."""
    security = {"capabilities": {"add": ["SYS_PTRACE"] if right else []}, "runAsUser": 0}
    pod = f"userns-{'with' if right else 'without'}"
    make_pod(
        pod_manifest(pod, ["python3", "-c", USER_NAMESPACE], memory="256Mi", security=security)
    )
    has_memory(cluster, pod)
    told = traced(cluster, tmp_path, pod)
    assert told["processes"][0]["peak_rss_bytes"] > 60 << 20
