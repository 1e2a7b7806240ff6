"""How containers end under a capture: the cause, the last records, and what comes after."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import LINE, assert_nothing_left, command, hunters, until
from tests.cluster.standin import cgroups
from tests.cluster.standin.harness import StandInCluster, pod_manifest

MIB = 1 << 20
PTRACE = {"capabilities": {"add": ["SYS_PTRACE"]}}
# Waits for a file before it leaks, so that it is traced from the first block on.
LEAK = """
import mmap, os, sys, time
print("ready", flush=True)
while not os.path.exists("/tmp/go"):
    time.sleep(0.02)
kept = []
while True:
    block = mmap.mmap(-1, 1 << 20)
    for page in range(0, 1 << 20, 4096):
        block[page] = 1
    kept.append(block)
    with open("/tmp/progress", "w") as file:
        file.write(str(len(kept)))
    time.sleep(1 / float(sys.argv[1]))
"""
TICKER = """
import os, signal, sys, time
def leave(number, frame):
    sys.exit(int(os.environ.get("CODE", "0")))
signal.signal(signal.SIGTERM, leave)
while True:
    os.stat("/")
    time.sleep(0.01)
"""


class Captured:
    """A gatherer that runs, and what it leaves."""

    def __init__(self, cluster: StandInCluster, output: Path, *options: str) -> None:
        self.output = output
        words = command(cluster, *options, "-f", "0.5", "-o", str(output))
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def traced(self, pattern: str = "*.log") -> Path:
        """Waits for a log with something in it."""

        def found() -> Path | None:
            logs = [path for path in self.output.glob(pattern) if path.stat().st_size]
            return logs[0] if logs else None

        return until(found, f"a log {pattern} ({self.process.poll()})", 40)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def finish(self, seconds: float = 60) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out.decode(), err.decode()

    def session(self) -> dict[str, Any]:
        return json.loads((self.output / "session.json").read_text())

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (self.output / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]


@pytest.fixture
def capture(cluster: StandInCluster, tmp_path: Path) -> Any:
    running: list[Captured] = []

    def start(*options: str) -> Captured:
        running.append(Captured(cluster, tmp_path / "logs", *options))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
        each.process.communicate(timeout=30)


def leaker(
    name: str, policy: str, rate: int = 20, security: dict[str, Any] = PTRACE
) -> dict[str, Any]:
    return pod_manifest(
        name,
        ["python3", "-c", LEAK, str(rate)],
        memory="128Mi",
        security=security,
        restartPolicy=policy,
    )


def let_leak(cluster: StandInCluster, pod: str) -> None:
    (cluster.rootfs(pod, "main") / "tmp" / "go").touch()


def last_call(log: Path) -> str:
    calls = [line for line in log.read_text().splitlines() if "+++" not in line]
    return re.search(r"\d\d:\d\d:\d\d\.\d{6}", calls[-1])[0]  # type: ignore[index]


def seconds_between(early: str, late: str) -> float:
    times = [datetime.strptime(text, "%H:%M:%S.%f") for text in (early, late)]
    return (times[1] - times[0]).total_seconds() % 86400


@pytest.mark.parametrize(
    ("engine", "capabilities"), [("ptrace", ["SYS_PTRACE"]), ("ebpf", ["BPF", "PERFMON"])]
)
def test_a_leak_until_the_oom_kill(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
    engine: str,
    capabilities: list[str],
) -> None:
    pod = f"leaks-{engine}"
    make_pod(leaker(pod, "Never", security={"capabilities": {"add": capabilities}}))
    # Hunter needs its 48 MiB at the start only.
    run = capture("-p", pod, "-m", "2", "--engine", engine)
    log = run.traced()
    let_leak(cluster, pod)
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    session = run.session()
    assert (session["end_reason"], session["complete"]) == ("OOMKilled", False)
    assert session["records"]["lost"] == 0
    # Under 250 where nothing else runs; this machine may be busy.
    assert session["tail"]["unknown_ms"] < 1000
    [event] = run.events("target_ended")
    assert (event["reason"], event["exit_code"], event["signal"]) == ("OOMKilled", 137, "SIGKILL")
    assert event["limit_bytes"] == 128 * MIB
    assert event["usage_bytes"] > 96 * MIB
    assert re.search(
        r"container ended: OOMKilled, exit code 137, SIGKILL,"
        r" memory at the last sample [\d.]+ MiB of 128\.0 MiB", out
    )  # fmt: skip
    finished = cluster.pod(pod)["status"]["containerStatuses"][0]["state"]["terminated"]
    assert finished["reason"] == "OOMKilled"
    ended = datetime.fromisoformat(event["time"]).astimezone().strftime("%H:%M:%S.%f")
    assert seconds_between(last_call(log), ended) < 2
    calls = log.read_text()
    assert "mmap(NULL, 1048576" in calls


def test_a_restarted_container_is_traced_again(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    make_pod(leaker("comesback", "Always", 60))
    run = capture("-p", "comesback", "-m", "2")
    run.traced("python3-1.log")
    first = cluster.container_id("comesback", "main")
    let_leak(cluster, "comesback")
    second = run.traced("python3-1.restart1.log")
    assert cluster.container_id("comesback", "main") != first
    size = second.stat().st_size
    until(lambda: second.stat().st_size > size, "the second log grows")
    run.interrupt()
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    session = run.session()
    assert (session["end_reason"], session["restarts"]) == ("interrupted", 1)
    one, two = session["instances"]
    assert one["container_id"] == f"containerd://{first}"
    assert (one["end"]["reason"], one["end"]["restarts"], two["end"]) == ("OOMKilled", True, None)
    assert session["records"]["seen"] == sum(each["records"]["seen"] for each in (one, two))
    assert session["complete"] is False
    assert "container ended: OOMKilled" in out
    assert_nothing_left(cluster, "comesback", "main")


@pytest.mark.long
def test_no_restart_ends_with_the_container(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    make_pod(leaker("onlyonce", "Always", 60))
    run = capture("-p", "onlyonce", "-m", "2", "--no-restart")
    run.traced()
    let_leak(cluster, "onlyonce")
    code, _, err = run.finish()
    assert (code, err) == (0, "")
    assert (run.session()["end_reason"], run.session()["restarts"]) == ("OOMKilled", 0)


def test_a_crash_is_told_with_its_exit_code(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    command = ["python3", "-c", TICKER]
    make_pod(
        pod_manifest("crasher", command, env={"CODE": "7"}, security=PTRACE, restartPolicy="Never")
    )
    run = capture("-p", "crasher", "--pid", "1")
    run.traced()
    os.kill(cluster.host_pid("crasher", "main"), signal.SIGTERM)
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    assert run.session()["end_reason"] == "Error"
    [event] = run.events("target_ended")
    assert (event["reason"], event["exit_code"], event["signal"]) == ("Error", 7, None)
    assert "container ended: Error, exit code 7" in out


def test_a_deleted_pod_ends_the_capture(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    command = ["python3", "-c", TICKER]
    make_pod(pod_manifest("deleted", command, security=PTRACE, terminationGracePeriodSeconds=5))
    run = capture("-p", "deleted", "--pid", "1")
    run.traced()
    cluster.request("DELETE", "/api/v1/namespaces/default/pods/deleted")
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    assert run.session()["end_reason"] == "Deleted"
    assert "container ended: Deleted" in out


@pytest.mark.long
def test_an_evicted_pod_says_what_the_node_was_short_of(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    make_pod(pod_manifest("evicted", ["python3", "-c", TICKER], security=PTRACE))
    run = capture("-p", "evicted", "--pid", "1")
    run.traced()
    words = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 41608Ki. "
        "Container main was using 9Mi, request is 0, has larger consumption of memory. "
    )
    path = "/standin/namespaces/default/pods/evicted/pressure"
    cluster.request("POST", path, {"message": words})
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    assert run.session()["end_reason"] == "Evicted"
    [event] = run.events("target_ended")
    assert (event["reason"], event["message"], event["exit_code"]) == ("Evicted", words, 137)
    assert "The node was low on resource: memory" in out


def owned(name: str, revision: str) -> dict[str, Any]:
    """Returns a pod as the ReplicaSet of a Deployment makes it."""
    pod = pod_manifest(
        name, ["python3", "-c", TICKER], security=PTRACE, terminationGracePeriodSeconds=20
    )
    pod["metadata"] |= {
        "labels": {"app": "shop", "pod-template-hash": revision},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"shop-{revision}",
                "uid": f"uid-of-{revision}", "controller": True, "blockOwnerDeletion": True,
            }
        ],
    }  # fmt: skip
    return pod


@pytest.mark.parametrize(("how", "reason"), [("drain", "Evicted"), ("rollout", "Deleted")])
def test_a_replaced_pod_names_its_successor(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
    how: str,
    reason: str,
) -> None:
    make_pod(owned(f"shop-55d8-{how}", "55d8"))
    make_pod(owned(f"shop-55d8-twin-{how}", "55d8"))
    until(
        lambda: cluster.pod(f"shop-55d8-twin-{how}")["metadata"]["creationTimestamp"] < now(),
        "the twin is older than what follows",
    )
    run = capture("-p", f"shop-55d8-{how}", "--pid", "1")
    run.traced()
    path = f"/api/v1/namespaces/default/pods/shop-55d8-{how}"
    if how == "drain":
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {}}
        cluster.request("POST", f"{path}/eviction", eviction)
        made = f"shop-55d8-new-{how}"
        make_pod(owned(made, "55d8"))
    else:
        cluster.request("DELETE", path)
        made = f"shop-7f9c-new-{how}"
        make_pod(owned(made, "7f9c"))
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    assert run.session()["end_reason"] == reason
    [event] = run.events("target_ended")
    assert event["successor"] == made
    assert f"its successor is pod {made}" in out


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_lost_node_breaks_the_stream_and_is_named(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    make_pod(pod_manifest("island", ["python3", "-c", TICKER], security=PTRACE))
    run = capture("-p", "island", "--pid", "1")
    run.traced()
    node = cluster.request("GET", "/api/v1/nodes/node1")
    conditions = node["status"]["conditions"]
    lost = {"status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status."}  # fmt: skip
    silent = [each | lost if each["type"] == "Ready" else each for each in conditions]
    path = "/api/v1/nodes/node1/status"
    cluster.request("PUT", path, {**node, "status": {**node["status"], "conditions": silent}})
    try:
        code, out, err = run.finish()
    finally:
        cluster.request("PUT", path, node)
    assert (code, err) == (4, "")
    session = run.session()
    assert (session["end_reason"], session["complete"]) == ("NodeLost", False)
    assert "Kubelet stopped posting node status." in out


CHILD_LEAKS = """
import os, sys, time
print("ready", flush=True)
while True:
    while not os.path.exists("/tmp/go"):
        os.stat("/")
        time.sleep(0.02)
    os.unlink("/tmp/go")
    child = os.fork()
    if child == 0:
        kept = []
        while True:
            kept.append(bytearray(b"x") * (1 << 20))
            time.sleep(0.02)
    print(os.waitpid(child, 0), flush=True)
"""


def test_an_oom_kill_of_one_process_does_not_end_the_capture(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    if cgroups.is_v2():
        pytest.skip("on cgroup v2 the kubelet has the kernel kill the container as a whole")
    make_pod(
        pod_manifest("parent", ["python3", "-c", CHILD_LEAKS], memory="128Mi", security=PTRACE)
    )
    run = capture("-p", "parent", "-m", "2")
    first = run.traced("python3-1.log")
    let_leak(cluster, "parent")
    until(lambda: run.events("oom"), "the kernel kills", 40)
    size = first.stat().st_size
    until(lambda: first.stat().st_size > size, "the parent is traced on")
    run.interrupt()
    code, out, err = run.finish()
    assert (code, err) == (0, "")
    session = run.session()
    assert (session["end_reason"], session["complete"]) == ("interrupted", True)
    [victim] = [each for each in session["processes"] if each["pid"] != 1]
    assert victim["end_reason"] == "killed by SIGKILL, out of memory"
    assert "killed by SIGKILL, out of memory" in out


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    subprocess.run(mount, check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_ends_the_capture_and_hunter(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], small_disk: Path
) -> None:
    busy = TICKER.replace("time.sleep(0.01)", "os.stat('/etc')")
    make_pod(pod_manifest("writes", ["python3", "-c", busy], security=PTRACE))
    run = Captured(cluster, small_disk / "logs", "-p", "writes", "--pid", "1")
    code, _, err = run.finish()
    assert code == 1
    assert re.fullmatch(
        r"gatherer: error: cannot write \S+: No space left on device; free some space,"
        r" or give another directory with -o; what was received is kept\n",
        err,
    )
    until(lambda: not hunters(cluster, "writes", "main"), "hunter is gone", 10)
    assert_nothing_left(cluster, "writes", "main")
    [log] = run.output.glob("*.log")
    lines = log.read_bytes().splitlines(keepends=True)
    assert len(lines) > 100
    assert all(LINE.match(line) for line in lines)
    assert lines[-1].endswith(b"\n")
    assert run.session()["complete"] is False
    assert run.events("attach")


@pytest.mark.long
def test_a_laptop_that_sleeps_longer_than_hunter_waits(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    capture: Callable[..., Captured],
) -> None:
    make_pod(pod_manifest("awake", ["python3", "-c", TICKER], security=PTRACE))
    run = capture("-p", "awake", "--pid", "1", "--linger", "4")
    run.traced()
    run.process.send_signal(signal.SIGSTOP)
    until(lambda: not hunters(cluster, "awake", "main"), "hunter has left", 30)
    assert_nothing_left(cluster, "awake", "main")
    run.process.send_signal(signal.SIGCONT)
    code, out, err = run.finish()
    assert (code, err) == (4, "")
    session = run.session()
    assert "no_heartbeat" in session["end_reason"]
    assert session["records"]["lost"] == 0
    assert run.events("gatherer_paused")
    assert "gatherer did not run for" in out
