"""Hunter as a guest: what a scan of many idle processes costs, and a hunter that finds nothing."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.tracers import cpu_seconds

PROCESSES = 1000
SCANS = 20
_CROWD = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    if not os.fork():
        signal.pause()
        os._exit(0)
print("ready", flush=True)
signal.pause()
"""
_SCANS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from hunter.cli import parse
from hunter.memory import cgroup_files
from hunter.memory.container import Container
from hunter.scan.scanner import Scanner
config = parse(["--memory", "1000000000000", "--frequency", "2"])
scanner = Scanner(config, Container(mount=cgroup_files.memory_mount()))
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    seen = scanner.scan(set()).processes
    print(time.perf_counter() - start, seen)
"""


def measure(zipapp: Path, seconds: float) -> dict[str, float]:
    """Measures scans, and hunter with `--frequency 2`, among 1,000 idle processes.

    Args:
        zipapp: hunter.pyz.
        seconds: how long hunter's processor time is taken.
    """
    crowd = subprocess.Popen(
        [sys.executable, "-c", _CROWD, str(PROCESSES)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert crowd.stdout is not None
    assert crowd.stdout.readline() == b"ready\n"
    try:
        command = [sys.executable, "-I", "-S", "-c", _SCANS, str(zipapp), str(SCANS)]
        lines = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split(b"\n")
        scans = [line.split() for line in lines if line]
        assert all(int(seen) >= PROCESSES for _, seen in scans)
        cpu = _idle_cpu(zipapp, seconds)
    finally:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.wait()
        crowd.stdout.close()
    return {
        "scan of 1,000 processes, ms": 1000 * statistics.median(float(took) for took, _ in scans),
        "hunter CPU at -f 2, percent": 100 * cpu / seconds,
    }


def _idle_cpu(zipapp: Path, seconds: float) -> float:
    hunter = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(zipapp), "--memory", "1000000000000"),
            *("--frequency", "2", "--linger", "600"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert hunter.stdin is not None
    assert hunter.stdout is not None
    assert hunter.stdout.read(1)
    time.sleep(2)  # until the programs of the ebpf engine are loaded
    before = cpu_seconds(hunter.pid)
    time.sleep(seconds)
    used = cpu_seconds(hunter.pid) - before
    hunter.stdin.close()
    hunter.stdout.read()
    hunter.stdout.close()
    hunter.wait()
    return used
