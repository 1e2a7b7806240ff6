"""Captures of many targets: selectors, workloads, pods that come and go, one summary."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.standin.harness import StandInCluster, pod_manifest

MakePod = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.timeout(300)
WORKER = """
import os, time
kept = bytearray(b"x") * (24 << 20)
while True:
    with open("/etc/hostname") as file:
        file.read()
    time.sleep(0.02)
"""
PTRACE = {"capabilities": {"add": ["SYS_PTRACE"]}}


def worker(name: str, labels: dict[str, str], **more: Any) -> dict[str, Any]:
    """A pod with a process that makes some calls."""
    command = ["python3", "-c", WORKER]
    pod = pod_manifest(name, command, memory="128Mi", security=PTRACE, **more)
    pod["metadata"]["labels"] = labels
    return pod


class Gatherer:
    """A running gatherer with --json, and what it says."""

    def __init__(
        self, cluster: StandInCluster, output: Path, *arguments: str, user: str = "tracer"
    ) -> None:
        self.output = output
        self.said: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gatherer", "--kubeconfig", str(cluster.kubeconfig)),
                *("--context", user, "-o", str(output), "-m", "10", "-f", "0.5", "--json"),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, event: str, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
        """Waits until something has been said so many times."""
        stdout = self.process.stdout
        assert stdout is not None
        while len(found := self.found(event, **wanted)) < count:
            line = stdout.readline()
            assert line, f"no {count} x {event}: {self.said[-3:]}, {self.finish()}"
            self.said.append(json.loads(line))
        return found

    def found(self, event: str, **wanted: Any) -> list[dict[str, Any]]:
        return [
            said
            for said in self.said
            if said["event"] == event
            and all(said.get("target", {}).get(key) == value for key, value in wanted.items())
        ]

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def finish(self, seconds: float = 200) -> tuple[int, str]:
        """Returns the exit code and what is on stderr."""
        out, err = self.process.communicate(timeout=seconds)
        self.said += map(json.loads, out.splitlines())
        return self.process.returncode, err

    def targets(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.output / "targets.json").read_text())
        return document


@pytest.fixture
def gatherer(cluster: StandInCluster, tmp_path: Path) -> Iterator[Callable[..., Gatherer]]:
    """Starts gatherer; what still runs at the end is killed."""
    started: list[Gatherer] = []

    def start(*arguments: str, **more: Any) -> Gatherer:
        started.append(Gatherer(cluster, tmp_path / "strace-logs", *arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def session(directory: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((directory / "session.json").read_text())
    return document


def assert_released(cluster: StandInCluster, pod: str, container: str = "main") -> None:
    assert cluster.tracer_pids(pod, container) == {0}


def test_a_selector_takes_its_pods_and_those_that_appear(
    cluster: StandInCluster, make_pod: MakePod, gatherer: Callable[..., Gatherer]
) -> None:
    labels = {"app": "web"}
    for number in (1, 2):
        make_pod(worker(f"web-{number}", labels))
    make_pod(worker("other", {"app": "db"}))
    running = gatherer("-l", "app=web")
    running.wait_for("attach", 2)
    make_pod(worker("web-3", labels))
    running.wait_for("attach", pod="web-3")
    running.interrupt()
    assert running.finish() == (0, "")
    names = [f"{cluster.namespace}_web-{number}_main" for number in (1, 2, 3)]
    assert sorted(path.name for path in running.output.iterdir()) == [*names, "targets.json"]
    for name in names:
        document = session(running.output / name)
        assert document["records"]["lost"] == 0
        assert document["records"]["received"] > 0
        assert document["exit_code"] == 0
        assert [path for path in (running.output / name).glob("*.log") if path.stat().st_size]
    [summary] = running.found("summary")
    assert summary["exit_code"] == 0
    assert summary["end_reason"] == "interrupted"
    assert [one["target"]["pod"] for one in summary["targets"]] == ["web-1", "web-2", "web-3"]
    listed = running.targets()
    assert listed["exit_code"] == 0
    assert listed["options"]["selector"] == "app=web"
    assert {entry["directory"] for entry in listed["targets"]} == set(names)
    for pod in ("web-1", "web-2", "web-3"):
        assert_released(cluster, pod)


@pytest.mark.long
def test_a_second_capture_moves_all_of_the_first(
    cluster: StandInCluster, make_pod: MakePod, gatherer: Callable[..., Gatherer]
) -> None:
    make_pod(worker("twice-1", {"app": "twice"}))
    for _ in range(2):
        running = gatherer("-l", "app=twice", "--duration", "1")
        assert running.finish() == (0, "")
    alone = gatherer("-p", "twice-1", "--duration", "1")
    assert alone.finish() == (0, "")
    assert (alone.output / "session.json").exists()
    assert not (alone.output / "targets.json").exists()
    moved = sorted((alone.output / "previous").iterdir())
    assert len(moved) == 2
    for place in moved:
        assert re.fullmatch(r"\d{8}T\d{6}Z(\.\d+)?", place.name)
        assert sorted(path.name for path in place.iterdir()) == [
            f"{cluster.namespace}_twice-1_main",
            "targets.json",
        ]
        assert session(place / f"{cluster.namespace}_twice-1_main")["complete"] is True


def test_pods_that_go_end_and_their_successors_join(
    cluster: StandInCluster, gatherer: Callable[..., Gatherer]
) -> None:
    labels = {"app": "db"}
    names = ["db-0", "db-1"]
    pods = [worker(name, {}) for name in names]
    try:
        assert cluster.run_workload("statefulsets", "db", labels, pods) == names
        running = gatherer("-p", "sts/db")
        running.wait_for("attach", 2)
        cluster.replace_pod("statefulsets", "db", worker("db-1", {}))
        running.wait_for("attach", 2, pod="db-1")
        running.interrupt()
        assert running.finish() == (0, "")
    finally:
        cluster.end_workload("statefulsets", "db", names)
    listed = running.targets()
    assert [(entry["pod"], entry["exit_code"]) for entry in listed["targets"]] == [
        ("db-0", 0), ("db-1", 0), ("db-1", 0)
    ]  # fmt: skip
    [first] = (running.output / f"{cluster.namespace}_db-1_main" / "previous").iterdir()
    assert session(first)["end_reason"] != "interrupted"
    assert session(running.output / f"{cluster.namespace}_db-1_main")["end_reason"] == "interrupted"


@pytest.mark.long
def test_a_job_ends_the_capture_when_it_has_finished(
    cluster: StandInCluster, gatherer: Callable[..., Gatherer]
) -> None:
    pod = worker("import-a", {"app": "import"}, restartPolicy="Never")
    program = "import os\nwhile not os.path.exists('/tmp/done'): open('/etc/hostname').close()"
    pod["spec"]["containers"][0]["command"] = [
        "python3", "-c", f"kept = bytearray(b'x') * (24 << 20)\n{program}"
    ]  # fmt: skip
    made: list[str] = []
    try:
        made += cluster.run_workload("jobs", "import", {"app": "import"}, [pod])
        [name] = made
        running = gatherer("-p", "job/import", "-e", "openat")
        running.wait_for("attach")
        (cluster.rootfs(name, "main") / "tmp/done").touch()
        cluster.wait_state(name, lambda state: "terminated" in state, "ended")
        cluster.complete_job("import")
        assert running.finish() == (0, "")
    finally:
        cluster.end_workload("jobs", "import", made)
    assert running.targets()["end_reason"] == "target ended"


@pytest.fixture
def shop(cluster: StandInCluster, make_pod: MakePod) -> Iterator[str]:
    """A Deployment with one pod, and a pod that its selector takes but that is not its own."""
    labels = {"app": "shop"}
    make_pod(worker("shop-stray", labels))
    [pod] = cluster.run_workload("deployments", "shop", labels, [worker("shop-1-a", labels)])
    yield pod
    cluster.end_workload("deployments", "shop", [pod])


def test_pods_of_workloads_and_by_name_with_all_their_containers(
    cluster: StandInCluster,
    make_pod: MakePod,
    gatherer: Callable[..., Gatherer],
    shop: str,
) -> None:
    pod = worker("pair", {})
    pod["spec"]["containers"].append({**pod["spec"]["containers"][0], "name": "side"})
    make_pod(pod)
    running = gatherer("-p", "deploy/shop", "-p", "pod/pair", "-c", "*")
    running.wait_for("attach", 3)
    running.interrupt()
    assert running.finish() == (0, "")
    own = cluster.namespace
    assert {path.name for path in running.output.iterdir()} == {
        "targets.json", f"{own}_{shop}_main", f"{own}_pair_main", f"{own}_pair_side"
    }  # fmt: skip
    assert running.targets()["options"]["pods"] == ["deploy/shop", "pair"]


def test_what_cannot_be_captured_is_named_and_the_others_go_on(
    cluster: StandInCluster, make_pod: MakePod, gatherer: Callable[..., Gatherer]
) -> None:
    make_pod(worker("good", {}))
    bare = pod_manifest("bare", ["sleep", "1000"], image="bare:dev", security=PTRACE)
    make_pod(bare)
    running = gatherer(
        *("-p", "good", "-p", "bare", "-p", "nopod", "--duration", "1", "--inject", "copy")
    )
    code, said = running.finish()
    assert code == 3
    assert said.startswith(
        f"gatherer: error: 1 of 2 targets failed, first {cluster.namespace}/bare/main: "
    )
    assert said.count("\n") == 1
    assert session(running.output / f"{cluster.namespace}_good_main")["complete"] is True
    notes = " ".join(note["text"] for note in running.found("note"))
    assert '"nopod" not found' in notes
    [summary] = running.found("summary")
    assert (summary["exit_code"], summary["complete"]) == (3, False)


def test_a_pod_that_is_not_there_is_an_error_beside_others_that_are(
    cluster: StandInCluster, make_pod: MakePod, gatherer: Callable[..., Gatherer]
) -> None:
    make_pod(worker("good", {}))
    running = gatherer("-p", "good", "-p", "nopod", "--duration", "1")
    code, said = running.finish()
    assert (code, said.count("\n")) == (3, 1), said
    assert said.startswith('gatherer: error: pods "nopod" not found')
    assert session(running.output / f"{cluster.namespace}_good_main")["complete"] is True


def test_what_cannot_start_says_why_on_one_line_and_touches_nothing(
    cluster: StandInCluster, gatherer: Callable[..., Gatherer]
) -> None:
    cases = (
        (("-l", "app=nothing"), "tracer", "no pod in namespace '{namespace}' has labels that fit"),
        (("-l", "app in"), "tracer", "unable to parse requirement"),
        (("-l", "a=b"), "unlisting", 'cannot list resource "pods"'),
        (("-p", "deploy/nothing"), "tracer", 'deployments.apps "nothing" not found'),
        (("-p", "deploy/x"), "execer", 'cannot get resource "deployments" in API group "apps"'),
        (("-p", "nopod", "-p", "nopod2"), "tracer", 'pods "nopod" not found'),
    )
    started = [gatherer(*arguments, user=user) for arguments, user, _ in cases]
    for running, (_, _, words) in zip(started, cases, strict=True):
        code, said = running.finish()
        assert (code, said.count("\n")) == (3, 1), said
        assert said.startswith("gatherer: error: ")
        assert words.format(namespace=cluster.namespace) in said
        assert "; " in said
        assert not running.output.exists()


def test_ctrl_c_twice_ends_all_at_once(
    cluster: StandInCluster, make_pod: MakePod, gatherer: Callable[..., Gatherer]
) -> None:
    for name in ("both-1", "both-2"):
        make_pod(worker(name, {"app": "both"}))
    running = gatherer("-l", "app=both")
    running.wait_for("attach", 2)
    cluster_pids = [cluster.host_pid(name, "main") for name in ("both-1", "both-2")]
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGINT)
    code, _ = running.finish()
    assert code == 1
    assert [one["exit_code"] for one in running.targets()["targets"]] == [1, 1]
    for name, pid in zip(("both-1", "both-2"), cluster_pids, strict=True):
        deadline = time.monotonic() + 30
        while cluster.tracer_pids(name, "main") != {0}:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert cluster.host_pid(name, "main") == pid


def test_plain_lines_name_their_target(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    for name in ("plain-1", "plain-2"):
        make_pod(worker(name, {"app": "plain"}))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gatherer", "--kubeconfig", str(cluster.kubeconfig)),
            *("--context", "unwatching", "-l", "app=plain", "-m", "10", "-f", "0.5", "--plain"),
            *("-o", str(tmp_path / "logs"), "--duration", "2"),
        ],
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("plain-1", "plain-2"):
        assert f"[pod/{name}/main] on node {cluster.node}: engine " in done.stdout
        assert re.search(rf"^\S+ \[pod/{name}/main\] 1 is traced", done.stdout, re.MULTILINE)
        assert f"  {cluster.namespace}_{name}_main: 1 process, " in done.stdout
    assert "targets: 2 = 2 complete + 0 not complete + 0 not captured" in done.stdout
    assert "pods are listed every 5 s instead" in done.stdout
