"""From system call to log line: how old a line is when it can first be read from its log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.memory import gatherer_peak_mib
from tests.bench.target import Target

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.005
RATE = 10_000
"""Calls a second of the target."""


def measure(program: Path, folder: Path, seconds: float, *options: str) -> dict[str, Any]:
    """Traces a target that makes `RATE` calls a second, and reads its log as it grows.

    Args:
        program: the compiled target.
        folder: for the capture directory.
        seconds: how long lines are read.
        options: more of gatherer's command line.
    """
    target = Target(program, 1, "mix", None, RATE)
    output = folder / "latency"
    shutil.rmtree(output, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "gatherer", "--runtime", "local", "--json"),
        *("--pid", str(target.pid), "--output", str(output), *options),
    ]
    gatherer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert gatherer.stdout is not None
        while json.loads(gatherer.stdout.readline())["event"] != "attach":
            pass
        while not (logs := list(output.glob("*.log"))):
            time.sleep(POLL_SECONDS)
        [log] = logs
        ages = _ages(log, seconds)
        peak = gatherer_peak_mib(gatherer.pid)
    finally:
        gatherer.send_signal(signal.SIGINT)
        gatherer.communicate(timeout=60)
        target.stop()
    session = json.loads((output / "session.json").read_text())
    assert session["complete"], session
    return {
        "lines_read_per_second": len(ages) / seconds,
        "median_ms": 1000 * statistics.median(ages),
        "p99_ms": 1000 * sorted(ages)[len(ages) * 99 // 100],
        "gatherer_peak_mib": peak,
    }


def _ages(log: Path, seconds: float) -> list[float]:
    """Returns for each line that appears how many seconds ago its call began."""
    ages = []
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        end = time.monotonic() + seconds
        rest = b""
        while time.monotonic() < end:
            data = file.read()
            if not data:
                time.sleep(POLL_SECONDS)
                continue
            now = time.time() - midnight
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                hours, minutes, rest_of = line.split()[1].split(b":")
                ages.append(now - (int(hours) * 3600 + int(minutes) * 60 + float(rest_of)))
    return ages
