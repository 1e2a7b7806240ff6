"""From the command to the first record, on the stand-in cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.standin import requirements
from tests.cluster.standin.harness import StandInCluster

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def stand_in(folder: Path) -> Iterator[StandInCluster | None]:
    """A stand-in cluster with problempod, None where it cannot run, which is then said.

    Args:
        folder: for its kubeconfig.
    """
    if problem := requirements.missing():
        print(f"left out: start-up; {problem}", file=sys.stderr)
        yield None
        return
    cluster = StandInCluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()


def measure(cluster: StandInCluster, folder: Path) -> dict[str, float]:
    """Captures problempod until the first line of a call is in a log.

    Args:
        cluster: where it runs.
        folder: for the capture directory.
    """
    output = folder / "start-up"
    begun = time.perf_counter()
    gatherer = subprocess.Popen(
        [
            *(sys.executable, "-m", "gatherer", "-p", "problempod", "-c", "buggycontainer"),
            *("-m", "1", "-f", "0.2", "--json", "--force", "--output", str(output)),
        ],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
    )
    assert gatherer.stdout is not None
    attached = 0.0
    while not attached:
        if json.loads(gatherer.stdout.readline()).get("event") == "attach":
            attached = time.perf_counter() - begun
    while not any(b" = " in log.read_bytes() for log in output.glob("*.log")):
        time.sleep(0.002)
    first = time.perf_counter() - begun
    gatherer.send_signal(signal.SIGINT)
    gatherer.communicate(timeout=60)
    for path in output.iterdir():
        path.unlink()
    output.rmdir()
    return {"command to attach, s": attached, "command to first line, s": first}
