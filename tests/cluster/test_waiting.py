"""Captures that begin before their container runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import capture, command, events, session, until
from tests.cluster.standin.harness import StandInCluster, pod_manifest
from tests.cluster.standin.pod_worker import BACKOFF_ANNOTATION

MakePod = Callable[..., dict[str, Any]]
Start = Callable[..., subprocess.Popen[str]]

# Says in the names it looks up how old it is, so that the log tells from when on it was traced.
LEAK = """
import os, sys, time
n = int(open("/dev/shm/n").read()) if os.path.exists("/dev/shm/n") else 0
open("/dev/shm/n", "w").write(str(n + 1))
if n < 8:
    sys.exit(7)  # Too short to get into: there is time for gatherer to begin its wait.
began, kept = time.monotonic(), []
while True:
    kept.append(bytearray(b"x") * (1 << 20))
    try:
        os.stat(f"/age/{time.monotonic() - began:.3f}")
    except OSError:
        pass
    time.sleep(1 / RATE)
"""
STEADY = """
import os, time
kept = bytearray(b"x") * (30 << 20)
while True:
    os.stat("/")
    time.sleep(0.02)
"""
# Lives of three seconds are promised from their first 1.5 s on, where the node has CPU to spare; on
# a machine that has none they last longer.
RATE, FIRST_SECONDS = (40, 1.5) if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else (15, 6.0)


def restless(name: str, program: str, memory: str = "160Mi", backoff: float = 1.0) -> Any:
    pod = pod_manifest(name, ["python3", "-c", program], memory=memory)
    pod["metadata"]["annotations"] = {BACKOFF_ANNOTATION: str(backoff)}
    return pod


def is_down(pod: dict[str, Any], restarts: int = 1) -> bool:
    (status,) = pod["status"]["containerStatuses"]
    return status["restartCount"] >= restarts and "running" not in status["state"]


def first_age(log: Path) -> float:
    found = re.search(r'"/age/([\d.]+)"', log.read_text())
    assert found is not None, log
    return float(found[1])


@pytest.fixture
def start(cluster: StandInCluster) -> Iterator[Start]:
    """Starts gatherer, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        words = command(cluster, *arguments)
        if "--json" in arguments:
            words.remove("--plain")
        started.append(
            subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return started[-1]

    yield begin
    for each in started:
        each.kill()
        each.communicate()


def test_three_lives_of_a_container_in_a_crash_loop(
    cluster: StandInCluster, make_pod: MakePod, start: Start, tmp_path: Path
) -> None:
    make_pod(restless("oomloop", LEAK.replace("RATE", str(RATE)), backoff=0.5))
    logs = [tmp_path / f"python3-1{end}.log" for end in ("", ".restart1", ".restart2")]
    running = start("-p", "oomloop", "-m", "1", "-f", "0.5", "-o", str(tmp_path))

    def three_lives() -> bool:
        assert running.poll() is None, running.communicate()
        return logs[0].exists() and len(events(tmp_path, "target_ended")) >= 3

    until(three_lives, "three lives", 120)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, "")
    assert re.search(r"waiting for the container to run: .*exit code (7|137)", out), out
    told = session(tmp_path)
    ends = [instance["end"]["reason"] for instance in told["instances"][:3]]
    assert ends == ["OOMKilled"] * 3
    assert told["records"]["lost"] == 0
    ages = [first_age(log) for log in logs]
    assert max(ages) < FIRST_SECONDS, ages


def test_one_that_ends_before_hunter_is_in_is_waited_for_again(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    """A life that is too short is no failure: the next one may be longer."""
    program = (
        "import os, sys\n"
        "n = int(open('/dev/shm/n').read()) if os.path.exists('/dev/shm/n') else 0\n"
        "open('/dev/shm/n', 'w').write(str(n + 1))\n"
        "n >= 3 or sys.exit(7)\n" + STEADY
    )
    make_pod(restless("shortlives", program, backoff=0.5))
    cluster.wait_condition("shortlives", is_down, "in its back-off")
    done = capture(cluster, tmp_path, "-p", "shortlives", "-m", "5", "-f", "0.5", "--duration", "1")
    assert (done.returncode, done.stderr) == (0, "")
    told = session(tmp_path)
    assert (told["restarts"], told["end_reason"]) == (0, "duration")
    assert told["records"]["received"] > 0
    assert told["target"]["container_id"] == told["instances"][0]["container_id"]


@pytest.mark.parametrize(
    ("pod", "wait", "words"),
    [
        ("crashpod", "0", r"container 'crashcontainer' of pod 'crashpod' is not running: .*"),
        ("pendingpod", "0", r"pod 'pendingpod' is not scheduled to a node yet: 0/1 nodes are .*"),
        ("pendingpod", "1s", r"waited 1s in vain: pod 'pendingpod' is not scheduled to a node .*"),
        ("donepod", "5m", r"pod 'donepod' has ended, its phase is Failed: Error, exit code 3.*"),
        ("noimagepod", "5m", r".* it is waiting \(ErrImageNeverPull\): .*"),
    ],
)
def test_what_does_not_run_in_time_or_never_will(
    cluster: StandInCluster,
    recorded_pods: frozenset[str],
    crashpod_waits: Callable[[], dict[str, Any]],
    tmp_path: Path,
    pod: str,
    wait: str,
    words: str,
) -> None:
    if pod == "crashpod":
        crashpod_waits()
    output = tmp_path / "logs"
    done = capture(cluster, output, "-p", pod, "--wait", wait)
    assert done.returncode == 3
    assert re.fullmatch(rf"gatherer: error: {words}\n", done.stderr), done.stderr
    assert not output.exists()


def test_ctrl_c_while_it_waits(
    cluster: StandInCluster, recorded_pods: frozenset[str], start: Start, tmp_path: Path
) -> None:
    output = tmp_path / "logs"
    running = start("-p", "pendingpod", "--json", "-o", str(output))
    assert running.stdout is not None
    told = json.loads(running.stdout.readline())
    assert (told["event"], told["reason"]) == ("waiting", "Unschedulable")
    assert told["message"].startswith("0/1 nodes are available")
    assert told["limit_seconds"] == 300
    asked = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert time.monotonic() - asked < 10
    assert running.returncode == 1
    assert err == "gatherer: error: interrupted while the container was waited for\n"
    assert not output.exists()


def test_a_pod_that_is_deleted_while_it_is_waited_for(
    cluster: StandInCluster, make_pod: MakePod, start: Start, tmp_path: Path
) -> None:
    make_pod(pod_manifest("goes", nodeSelector={"no": "such"}), wait=False)
    running = start("-p", "goes", "-o", str(tmp_path / "logs"))
    assert running.stdout is not None
    assert "Unschedulable" in running.stdout.readline()
    cluster.delete_pod("goes")
    _, err = running.communicate(timeout=30)
    assert running.returncode == 3
    assert re.fullmatch(r"gatherer: error: .*goes.*; .*\n", err), err


def test_many_targets_of_which_one_waits(
    cluster: StandInCluster, make_pod: MakePod, recorded_pods: frozenset[str], tmp_path: Path
) -> None:
    """Those that run are captured meanwhile; one whose restart comes joins them."""
    make_pod(pod_manifest("steady", ["python3", "-c", STEADY], memory="256Mi"))
    program = (
        "import os\n"
        "if not os.path.exists('/dev/shm/n'):\n"
        "    open('/dev/shm/n', 'w').close()\n"
        "    raise SystemExit(7)\n"
    )
    make_pod(restless("comes", program + STEADY, backoff=0.5), wait=False)
    done = capture(
        cluster, tmp_path, "-p", "steady", "-p", "comes", "-p", "pendingpod", "-m", "5",
        "-f", "0.5", "--wait", "6s", "--duration", "6",
    )  # fmt: skip
    assert done.returncode == 3
    assert "waited 6s in vain: pod 'pendingpod' is not scheduled" in done.stderr
    assert done.stderr.count("\n") == 1
    told = json.loads((tmp_path / "targets.json").read_text())
    codes = {target["pod"]: target["exit_code"] for target in told["targets"]}
    assert codes == {"steady": 0, "comes": 0, "pendingpod": 3}
    for pod in ("steady", "comes"):
        assert session(tmp_path / f"{cluster.namespace}_{pod}_main")["records"]["received"] > 0
    waits = [line for line in done.stdout.splitlines() if "waiting for the container" in line]
    assert any(
        line.startswith("[pod/pendingpod/pendingcontainer] waiting for the container to run:"
                        " Unschedulable, 0/1 nodes") for line in waits
    ), waits  # fmt: skip
