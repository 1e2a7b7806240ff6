"""What tests of whole captures share: gatherer as a user starts it, and what it leaves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.standin.harness import StandInCluster

LINE = re.compile(rb"^\d+ +\d\d:\d\d:\d\d\.\d{6} \S.*$")
HOLDER = """
import sys, time
kept = bytearray(b"x") * (int(sys.argv[1]) << 20)
print("ready", flush=True)
while True:
    with open("/etc/hostname") as file:
        file.read()
    time.sleep(0.02)
"""


def command(cluster: StandInCluster, *arguments: str, context: str = "admin") -> list[str]:
    return [
        *(sys.executable, "-m", "gatherer", "--kubeconfig", str(cluster.kubeconfig)),
        *("--context", context, "--plain", *arguments),
    ]


def capture(
    cluster: StandInCluster, output: Path, *arguments: str, context: str = "admin"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(cluster, *arguments, context=context), "-o", str(output)],
        capture_output=True,
        text=True,
        timeout=90,
    )


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


def session(output: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((output / "session.json").read_text())
    return value


def events(output: Path, name: str) -> list[dict[str, Any]]:
    lines = (output / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def samples(output: Path, pid: int | None = None) -> list[dict[str, Any]]:
    """Returns the samples of memory.jsonl: of one process, or of the container."""
    lines = [json.loads(line) for line in (output / "memory.jsonl").read_text().splitlines()]
    if pid is not None:
        return [line for line in lines if line.get("pid") == pid]
    return [line["container"] for line in lines if "container" in line]


def hunters(cluster: StandInCluster, pod: str, container: str) -> list[int]:
    """Returns host pids of processes of hunter in a container."""
    found = []
    for pid in cluster.host_pids(pod, container).values():
        try:
            if any("hunter" in word for word in psutil.Process(pid).cmdline()):
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def hunter_files(cluster: StandInCluster, pod: str, container: str) -> list[Path]:
    root = cluster.rootfs(pod, container)
    places = ("tmp", "var/tmp", "dev/shm", "run", "root", ".")
    return [path for place in places for path in (root / place).glob(".hunter*")]


def assert_nothing_left(cluster: StandInCluster, pod: str, container: str) -> None:
    assert hunters(cluster, pod, container) == []
    assert hunter_files(cluster, pod, container) == []
    assert cluster.tracer_pids(pod, container) == {0}


def files(cluster: StandInCluster, pod: str, container: str) -> set[str]:
    """Returns every file that was written in a container: on its root, and in shared memory."""
    root = cluster.rootfs(pod, container)
    mountinfo = (root.parent / "mountinfo").read_text().splitlines()
    overlay = next(line for line in mountinfo if line.split()[4] == "/")
    upper = overlay.split("upperdir=")[1].split(",")[0]
    # The cluster has a mount namespace of its own.
    layer = Path(f"/proc/{cluster.pid}/root{upper}")
    found = [(layer, path) for path in layer.rglob("*")]
    found += [(root, path) for path in (root / "dev/shm").rglob("*")]
    # A directory shows up when something in it has come and gone.
    return {
        str(path.relative_to(base))
        for base, path in found
        if not path.is_dir() or path.name.startswith(".hunter")
    }
