"""Every way in, on containers like the recorded pods, and what each leaves: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import (
    capture,
    command,
    events,
    files,
    hunters,
    samples,
    session,
    until,
)
from tests.cluster.standin.harness import StandInCluster, pod_manifest

MakePod = Callable[..., dict[str, Any]]

# Allocates once and makes a system call now and then: its memory does not change by itself.
STEADY = """
import os, time
kept = bytearray(b"x") * (60 << 20)
while True:
    os.getppid()
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def pods(cluster: StandInCluster) -> dict[str, str]:
    """The recorded pods, and which container of each is the target."""
    targets = {
        "problempod": "buggycontainer",
        "lockedpod": "lockedcontainer",
        "restrictedpod": "restrictedcontainer",
        "barepod": "barecontainer",
        "sharedpod": "app",
    }
    for name in targets:
        cluster.create_recorded(name)
    return targets


def run(
    cluster: StandInCluster, output: Path, pod: str, container: str, *arguments: str
) -> dict[str, Any]:
    """Captures for 1 s, checks that it went well and left nothing; returns session.json."""
    done = capture(
        cluster, output, "-p", pod, "-c", container, "-f", "0.3", "--duration", "1", *arguments
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "belongs to gatherer" not in done.stdout, "of its own processes nothing need be said"
    told = session(output)
    assert told["complete"] is True
    assert f"inject: {told['hunter']['inject']}, {told['hunter']['inject_reason']}" in done.stdout
    assert hunters(cluster, pod, container) == []
    assert cluster.tracer_pids(pod, container) == {0}
    return told


@pytest.mark.parametrize(
    ("pod", "inject", "words"),
    [
        ("problempod", "copy", "from a file without a name in /tmp"),
        ("lockedpod", "memory", "from memory, as nothing on its disk is writable"),
        ("restrictedpod", "memory", "from memory, as nothing on its disk is writable"),
        ("sharedpod", "copy", "from a file without a name in /tmp"),
    ],
)
def test_the_automatic_way_where_there_is_a_python(
    cluster: StandInCluster,
    pods: dict[str, str],
    tmp_path: Path,
    pod: str,
    inject: str,
    words: str,
) -> None:
    before = files(cluster, pod, pods[pod])
    told = run(cluster, tmp_path, pod, pods[pod], "-m", "1")
    assert told["hunter"]["inject"] == inject
    assert words in told["hunter"]["inject_reason"]
    assert told["tracing"] == "on"
    assert told["records"]["received"] > 0
    assert told["records"]["lost"] == 0
    assert files(cluster, pod, pods[pod]) - before <= {"tmp/leak.txt"}
    # Only the target's processes: the sidecar of sharedpod is seen as well.
    assert {process["command"] for process in told["processes"]} <= {"python3", "leak"}


def test_locked_nothing_is_written_to_any_file_system(
    cluster: StandInCluster, pods: dict[str, str], tmp_path: Path
) -> None:
    """What hunter opens for writing, as the kernel shows it, while it runs."""
    command_line = command(cluster, "-p", "lockedpod", "-m", "1", "-f", "0.5")
    running = subprocess.Popen(
        [*command_line, "-o", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until(lambda: hunters(cluster, "lockedpod", "lockedcontainer"), "its exec runs")
        until(lambda: list(tmp_path.glob("*.log")), "a log")
        commands = {
            pid: Path(f"/proc/{pid}/cmdline").read_bytes()
            for pid in hunters(cluster, "lockedpod", "lockedcontainer")
        }
        pid = min(pid for pid, text in commands.items() if b"\0-X\0hunter=" in text)
        opened = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        on_disk = [path for path in opened if path.startswith("/") and not path.startswith("/proc")]
        assert [path for path in on_disk if not path.startswith("/memfd:")] == []
        assert "/memfd:hunter (deleted)" in opened
    finally:
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (0, b"")


def test_bare_a_bundled_python_runs_and_is_gone(
    cluster: StandInCluster, pods: dict[str, str], tmp_path: Path
) -> None:
    before = files(cluster, "barepod", "barecontainer")
    told = run(cluster, tmp_path, "barepod", "barecontainer", "-m", "0.01")
    assert told["hunter"]["inject"] == "bundle"
    assert told["hunter"]["inject_reason"].startswith("it has no Python; Python 3.")
    assert told["tracing"] == "on"
    assert told["hunter"]["peak_pss_bytes"] < 32 << 20
    assert [process["command"] for process in told["processes"]] == ["sleep"]
    assert files(cluster, "barepod", "barecontainer") == before


TIGHT = {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}
BUNDLE_PODS: dict[str, dict[str, Any]] = {
    "busybox": {},
    "distroless-with-a-shell": {"image": "distroless:dev", "command": None},
    "read-only-with-an-emptydir": {
        "security": {**TIGHT, "readOnlyRootFilesystem": True},
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    },
    "limit-of-64mi": {"memory": "64Mi"},
    "non-root": {"security": {**TIGHT, "runAsUser": 1000, "runAsNonRoot": True}},
}


@pytest.mark.parametrize(
    "name",
    [
        "busybox",
        "non-root",
        pytest.param("distroless-with-a-shell", marks=pytest.mark.long),
        pytest.param("read-only-with-an-emptydir", marks=pytest.mark.long),
        pytest.param("limit-of-64mi", marks=pytest.mark.long),
    ],
)
def test_a_bundle_arrives_whatever_the_image(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, name: str
) -> None:
    settings = {"image": "bare:dev", "command": ["sleep", "1000000"], "memory": "256Mi"}
    pod = pod_manifest(name, **{**settings, **BUNDLE_PODS[name]})
    for volume in pod["spec"].get("volumes", []):
        mount = {"name": volume["name"], "mountPath": "/data"}
        pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    make_pod(pod)
    before = files(cluster, name, "main")
    told = run(cluster, tmp_path, name, "main", "-m", "0.01", "--inject", "bundle")
    assert told["hunter"]["inject"] == "bundle"
    place = "/data" if "volumes" in pod["spec"] else "/tmp"
    assert f"was brought to {place} and removed" in told["hunter"]["inject_reason"]
    assert told["tracing"] == "on"
    assert [process["command"] for process in told["processes"]] == ["sleep"]
    assert files(cluster, name, "main") == before


@pytest.mark.parametrize(
    ("pod", "inject"),
    [
        # What the automatic choice takes in these pods is tested above.
        ("problempod", "bundle"),
        ("lockedpod", "copy"),
        ("restrictedpod", "ephemeral"),
        ("barepod", "ephemeral"),
        ("sharedpod", "memory"),
        ("sharedpod", "sidecar"),
    ],
)
def test_each_way_can_be_forced(
    cluster: StandInCluster, pods: dict[str, str], tmp_path: Path, pod: str, inject: str
) -> None:
    threshold = "0.01" if pod == "barepod" else "1"
    told = run(cluster, tmp_path, pod, pods[pod], "-m", threshold, "--inject", inject)
    assert told["hunter"]["inject"] == inject
    assert told["tracing"] == "on"
    assert told["processes"]
    assert {process["command"] for process in told["processes"]} <= {"python3", "leak", "sleep"}
    assert all(process["attached"] for process in told["processes"])
    assert told["host"]["memory_limit_bytes"] == 256 << 20
    usages = [sample["usage_bytes"] for sample in samples(tmp_path)]
    assert usages
    assert all(0 < usage < 256 << 20 for usage in usages)


@pytest.mark.parametrize(
    ("pod", "inject", "words"),
    [
        ("barepod", "copy", "it has no Python; leave --inject out"),
        ("barepod", "memory", "it has no Python; leave --inject out"),
        ("lockedpod", "bundle", "no writable place to run one from"),
        ("problempod", "sidecar", "the pod does not set shareProcessNamespace"),
    ],
)
def test_a_forced_way_that_does_not_exist(
    cluster: StandInCluster,
    pods: dict[str, str],
    tmp_path: Path,
    pod: str,
    inject: str,
    words: str,
) -> None:
    done = capture(cluster, tmp_path, "-p", pod, "-c", pods[pod], "--inject", inject)
    assert done.returncode == 3
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def ephemeral(cluster: StandInCluster, pod: str) -> list[dict[str, Any]]:
    told = cluster.pod(pod)["status"].get("ephemeralContainerStatuses", [])
    return [status for status in told if status["name"].startswith("hunter-")]


def ended(cluster: StandInCluster, pod: str) -> bool:
    found = ephemeral(cluster, pod)
    return bool(found) and all("terminated" in status["state"] for status in found)


def test_beside_the_target_its_memory_does_not_change(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    make_pod(pod_manifest("steadypod", ["python3", "-c", STEADY], memory="128Mi"))
    until(lambda: cluster.rss("steadypod", "main") > 60 << 20, "it has its memory")
    usage = cluster.cgroup("steadypod", "main") / "memory.usage_in_bytes"
    before = int(usage.read_text())
    seen: list[int] = []
    running = subprocess.Popen(
        [
            *command(cluster, "-p", "steadypod", "-m", "20", "-f", "0.5", "--duration", "4"),
            *("--inject", "ephemeral", "-o", str(tmp_path)),
        ],
        stdout=subprocess.DEVNULL,
    )
    while running.poll() is None:
        seen.append(int(usage.read_text()))
        time.sleep(0.05)
    assert running.returncode == 0
    assert max(abs(size - before) for size in seen) < 1 << 20
    status = cluster.pod("steadypod")["status"]
    assert status["containerStatuses"][0]["restartCount"] == 0
    assert ended(cluster, "steadypod")
    told = session(tmp_path)
    assert "of image 'pyapp:dev'" in told["hunter"]["inject_reason"]
    assert "Kubernetes keeps its entry in the pod's spec" in told["hunter"]["inject_reason"]
    assert told["hunter"]["container"].startswith("hunter-")
    assert told["records"]["received"] > 50
    assert told["host"]["memory_limit_bytes"] == 128 << 20
    assert told["host"]["memory_source"].startswith("/proc/1/root/sys/fs/cgroup")
    for sample in samples(tmp_path):
        assert sample["limit_bytes"] == 128 << 20
        assert abs(sample["usage_bytes"] - before) < 1 << 20
        assert sample["oom_kills"] == 0
    (decision,) = events(tmp_path, "scan")
    assert decision["source"].startswith("/proc/1/root/sys/fs/cgroup")


def tight_pod(beside: bool = True) -> dict[str, Any]:
    """Returns a pod without headroom in its container.

    Args:
        beside: whether another container has no limit, so that the pod's own cgroup has none.
    """
    pod = pod_manifest("tightpod", ["python3", "-c", STEADY], memory="90Mi")
    if beside:
        pod["spec"]["containers"].append(
            {"name": "free", "image": "bare:dev", "imagePullPolicy": "Never"}
        )
    return pod


@pytest.mark.parametrize("inject", ["auto", "ephemeral"])
def test_where_the_pod_has_no_headroom_either_nothing_is_added(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, inject: str
) -> None:
    make_pod(tight_pod(beside=False))
    until(lambda: cluster.rss("tightpod", "main") > 60 << 20, "it has its memory")
    done = capture(cluster, tmp_path, "-p", "tightpod", "--inject", inject)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "counts against the pod's memory limit of 90.0 MiB, of which only" in done.stderr
    assert done.stderr.rstrip().endswith("--force")
    assert ephemeral(cluster, "tightpod") == []


def test_without_headroom_hunter_runs_beside_the_target(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    make_pod(tight_pod())
    until(lambda: cluster.rss("tightpod", "main") > 60 << 20, "it has its memory")
    told = run(cluster, tmp_path, "tightpod", "main", "-m", "20")
    assert told["hunter"]["inject"] == "ephemeral"
    reason = told["hunter"]["inject_reason"]
    assert "are left below its memory limit of 90.0 MiB, 48.0 MiB are asked for" in reason
    # The node has the target's own image, with a Python.
    assert "of image 'pyapp:dev'" in reason
    assert told["records"]["received"] > 0


def test_without_headroom_and_without_the_right_it_is_refused(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    make_pod(tight_pod())
    until(lambda: cluster.rss("tightpod", "main") > 60 << 20, "it has its memory")
    done = capture(cluster, tmp_path, "-p", "tightpod", "-c", "main", context="execer")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "48.0 MiB are asked for; nor beside it: " in done.stderr
    assert "pods/ephemeralcontainers" in done.stderr
    assert done.stderr.rstrip().endswith("with --force")
    assert ephemeral(cluster, "tightpod") == []
    forced = capture(
        cluster, tmp_path, "-p", "tightpod", "-c", "main", "-m", "20", "--duration", "2", "--force",
        context="execer",
    )  # fmt: skip
    assert (forced.returncode, forced.stderr) == (0, "")


def test_an_image_that_cannot_be_pulled(
    cluster: StandInCluster, pods: dict[str, str], tmp_path: Path
) -> None:
    words = ("-p", "lockedpod", "--inject", "ephemeral", "--image", "nowhere:1")
    done = capture(cluster, tmp_path, *words)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    # Not only once the kubelet says how long it will wait before it tries again.
    assert "cannot start (ErrImagePull): " in done.stderr
    assert "nowhere:1" in done.stderr
    assert "name an image that the node has or can pull with --image" in done.stderr
    entries = [status["name"] for status in ephemeral(cluster, "lockedpod")]
    again = capture(cluster, tmp_path, *words)
    assert again.returncode == 3
    assert again.stderr.count("\n") == 1
    assert f"ephemeral container {entries[-1]!r} of an earlier try" in again.stderr
    assert "is still there and cannot start (" in again.stderr
    assert [status["name"] for status in ephemeral(cluster, "lockedpod")] == entries


def test_an_image_without_a_python(
    cluster: StandInCluster, pods: dict[str, str], tmp_path: Path
) -> None:
    done = capture(
        cluster, tmp_path, "-p", "lockedpod", "--inject", "ephemeral", "--image", "bare:dev"
    )
    assert done.returncode == 3
    assert "executable file not found" in done.stderr
    assert "name an image that has Python 3.8 or later with --image" in done.stderr


SIDECAR_POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sidecarpod"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "shareProcessNamespace": True,
        "containers": [
            {
                "name": "app",
                "image": "bare:dev",
                "imagePullPolicy": "Never",
                "command": ["sleep", "1000000"],
                "resources": {"limits": {"memory": "64Mi"}},
                "securityContext": {"readOnlyRootFilesystem": True},
            },
            {
                "name": "tools",
                "image": "pyapp:dev",
                "imagePullPolicy": "Never",
                "command": ["sleep", "1000000"],
                "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}},
            },
        ],
    },
}


def test_a_sidecar_with_a_python_serves_a_target_without(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    make_pod(SIDECAR_POD)
    # One that is small and has just begun outside is left alone for two seconds.
    told = run(cluster, tmp_path, "sidecarpod", "app", "-m", "0.01", "--duration", "4")
    assert told["hunter"]["inject"] == "sidecar"
    assert told["hunter"]["container"] == "tools"
    reason = told["hunter"]["inject_reason"]
    assert reason.startswith("container 'tools' shares the PID namespace (it has no Python")
    (process,) = told["processes"]
    assert process["command"] == "sleep"
    # Only the app's: the sidecar's own sleep is as big. Its limit is read through its root.
    assert told["host"]["memory_limit_bytes"] == 64 << 20
    assert cluster.host_pids("sidecarpod", "app").keys() == {process["pid"]}


@pytest.mark.parametrize(
    "inject",
    [
        "ephemeral",
        "bundle",
        pytest.param("copy", marks=pytest.mark.long),
        pytest.param("memory", marks=pytest.mark.long),
        pytest.param("sidecar", marks=pytest.mark.long),
    ],
)
def test_a_killed_gatherer_leaves_nothing_in_any_way(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, inject: str
) -> None:
    pod = f"killed-{inject}"
    manifest = pod_manifest(pod, ["python3", "-c", STEADY], memory="256Mi")
    if inject == "sidecar":
        manifest = {**SIDECAR_POD, "metadata": {"name": pod}}
        manifest["spec"]["containers"][0] |= {"image": "pyapp:dev"}
    make_pod(manifest)
    target = "app" if inject == "sidecar" else "main"
    where = "tools" if inject == "sidecar" else target
    before = files(cluster, pod, where)
    running = subprocess.Popen(
        [
            *command(cluster, "-p", pod, "-c", target, "-m", "0.01", "-f", "0.5"),
            *("--inject", inject, "--linger", "2", "-o", str(tmp_path)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: list(tmp_path.glob("*.log")), "a log", 60)
    running.kill()
    running.wait()
    if inject == "ephemeral":
        until(lambda: ended(cluster, pod), "the container has ended", 15)
    until(lambda: not hunters(cluster, pod, where), "hunter is gone", 15)
    until(lambda: cluster.tracer_pids(pod, target) == {0}, "nothing is traced", 5)
    assert files(cluster, pod, where) == before


def test_a_gatherer_killed_while_it_brings_the_bundle(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    make_pod(pod_manifest("halfpod", ["sleep", "1000000"], image="bare:dev", memory="256Mi"))
    before = files(cluster, "halfpod", "main")
    running = subprocess.Popen(
        [*command(cluster, "-p", "halfpod", "-m", "0.01"), "-o", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: files(cluster, "halfpod", "main") - before, "it begins to arrive", 60)
    running.kill()
    running.wait()
    until(lambda: files(cluster, "halfpod", "main") == before, "all is removed", 15)
    until(lambda: len(cluster.host_pids("halfpod", "main")) == 1, "nothing runs on", 15)
