"""A hunter that is stopped in its container: the target goes on, and so does the capture."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil

from tests.cluster.captures import (
    assert_nothing_left,
    command,
    events,
    hunters,
    session,
    until,
)
from tests.cluster.standin.harness import StandInCluster

POD, CONTAINER = "problempod", "buggycontainer"


def tracer_on_the_node(cluster: StandInCluster) -> int:
    """Returns the host pid of the process that traces one of the container's, 0 for none."""
    for pid in cluster.host_pids(POD, CONTAINER).values():
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("TracerPid:") and int(line.split()[1]):
                return int(line.split()[1])
    return 0


def test_another_hunter_takes_the_place_of_one_that_is_stuck(
    cluster: StandInCluster, tmp_path: Path
) -> None:
    output = tmp_path / "logs"
    options = ("-p", POD, "-c", CONTAINER, "-m", "0", "-f", "0.5", "--engine", "ptrace")
    words = [*command(cluster, *options), "-o", str(output)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            stuck = until(lambda: tracer_on_the_node(cluster), "hunter traces", 40)
            until(lambda: list(output.glob("*.log")), "a log")
            os.kill(stuck, signal.SIGSTOP)
            until(lambda: not psutil.pid_exists(stuck), "the watchdog ends it", 10)
            assert tracer_on_the_node(cluster) == 0
            until(lambda: len(session(output)["instances"]) == 2, "another hunter is started")
            until(lambda: session(output)["instances"][1]["started"], "it says Hello")
            assert hunters(cluster, POD, CONTAINER)
            # What it can do is the container's affair; ptrace it never uses.
            assert tracer_on_the_node(cluster) == 0
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=60)
        finally:
            run.kill()
    assert (run.returncode, err) == (4, "")
    assert "hunter was stuck: thread" in out
    found = session(output)
    assert [each["end_reason"] for each in found["instances"]] == ["stuck", "interrupted"]
    assert (found["exit_code"], found["complete"], found["restarts"]) == (4, False, 0)
    assert found["engine"]["name"] in ("ebpf", "")
    assert found["tracing"] == "on"
    assert "NO SYSTEM CALLS WERE TRACED" not in out
    [event] = events(output, "stuck")
    assert "(state T)" in event["cause"]
    until(lambda: not hunters(cluster, POD, CONTAINER), "nothing of hunter is left")
    assert_nothing_left(cluster, POD, CONTAINER)
