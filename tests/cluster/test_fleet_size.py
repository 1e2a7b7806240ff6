"""Thirty targets at once: nothing is lost, and gatherer stays small. Fewer of them in a sample."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.standin.harness import StandInCluster, pod_manifest

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
PODS, SECONDS = (30, 15) if SOAK else (10, 5)
MAX_BYTES = 300 << 20
# Each turn makes ten calls, a hundred turns a second; it catches up when it was held up.
BUSY = """
import os, time
kept = bytearray(b"x") * (24 << 20)
due = time.monotonic()
while True:
    for _ in range(9):
        os.getppid()
    due += 0.01
    time.sleep(max(0.0, due - time.monotonic()))
"""


def busy(name: str) -> dict[str, Any]:
    pod = pod_manifest(
        name,
        ["python3", "-c", BUSY],
        memory="128Mi",
        security={"capabilities": {"add": ["SYS_PTRACE", "BPF", "PERFMON"]}},
    )
    pod["metadata"]["labels"] = {"app": "crowd"}
    return pod


class MemoryWatch(threading.Thread):
    """Samples the memory of a process and all that it starts, until it has ended.

    Attributes:
        pss: the highest sum of their Pss.
        rss: the highest sum of their RSS, which counts shared pages for each.
        processes: the highest number of them.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pss = 0
        self.rss = 0
        self.processes = 0
        self.over = threading.Event()
        self._process = psutil.Process(pid)

    def run(self) -> None:
        while not self.over.wait(0.2):
            try:
                every = [self._process, *self._process.children(recursive=True)]
                found = [process.memory_full_info() for process in every]
            except psutil.NoSuchProcess:
                continue
            self.pss = max(self.pss, sum(memory.pss for memory in found))
            self.rss = max(self.rss, sum(memory.rss for memory in found))
            self.processes = max(self.processes, len(every))


@pytest.mark.timeout(600)
@pytest.mark.long
def test_many_targets_lose_nothing_and_gatherer_stays_small(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    names = [f"crowd-{number}" for number in range(PODS)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: make_pod(busy(name)), names))
    output = tmp_path / "strace-logs"
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "gatherer", "--kubeconfig", str(cluster.kubeconfig)),
            *("--context", "tracer", "-l", "app=crowd", "-m", "10", "-f", "1", "--plain"),
            *("-o", str(output), "--duration", str(SECONDS)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = MemoryWatch(running.pid)
    watch.start()
    try:
        out, err = running.communicate(timeout=300)
    finally:
        running.kill()
        watch.over.set()
        watch.join()
    assert (running.returncode, err) == (0, ""), out
    sessions = [
        json.loads((output / f"{cluster.namespace}_{name}_main" / "session.json").read_text())
        for name in names
    ]
    for session in sessions:
        assert session["complete"] is True
        assert session["records"]["lost"] == 0
        assert session["records"]["seen"] == session["records"]["received"] > 0
    engines = [session["engine"]["name"] for session in sessions]
    assert engines.count("ebpf") <= 1, engines
    listed = json.loads((output / "targets.json").read_text())
    assert (len(listed["targets"]), listed["complete"], listed["exit_code"]) == (PODS, True, 0)
    assert f"targets: {PODS} = {PODS} complete + 0 not complete + 0 not captured" in out
    rates = sorted(
        session["records"]["received"]
        / sum(1 for _ in session["processes"])
        / _seconds(session["started"], session["ended"])
        for session in sessions
    )
    print(
        f"{PODS} targets: {rates[0]:.0f} to {rates[-1]:.0f} records/s each,"
        f" {listed['records']['received']} received, {listed['records']['lost']} lost;"
        f" gatherer {watch.pss / 1048576:.0f} MiB Pss, {watch.rss / 1048576:.0f} MiB RSS"
        f" in {watch.processes} processes;"
        f" engines {sorted(engines)[0]} x {engines.count(sorted(engines)[0])},"
        f" {sorted(engines)[-1]} x {engines.count(sorted(engines)[-1])}"
    )
    assert watch.rss < MAX_BYTES


def _seconds(started: str, ended: str) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
