"""Options of the trace in real containers, whose processes have numbers of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.captures import assert_nothing_left, command
from tests.cluster.standin.harness import StandInCluster, pod_manifest
from tests.integration.engines import EVERY_ENGINE

PARENT = """
import os, socket, time
print("ready", flush=True)
while True:
    if os.fork() == 0:
        with open("/etc/hostname") as file:
            file.read()
        one, two = socket.socketpair()
        one.send(b"x")
        os._exit(0)
    os.wait()
    time.sleep(0.05)
"""


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_children_and_descriptors(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    tmp_path: Path,
    engine: str,
) -> None:
    name = f"parent-{engine}"
    rights = {"capabilities": {"add": ["SYS_ADMIN", "SYS_PTRACE"]}}
    make_pod(pod_manifest(name, ["python3", "-c", PARENT], memory="256Mi", security=rights))
    output = tmp_path / "logs"
    words = command(
        cluster, "-p", name, "--pid", "1", "-F", "-y", "--raw", "--engine", engine,
        "--duration", "3", "-f", "0.5", "-o", str(output),
    )  # fmt: skip
    done = subprocess.run(words, capture_output=True, timeout=90)
    assert (done.returncode, done.stderr) == (0, b"")
    assert_nothing_left(cluster, name, "main")
    session = json.loads((output / "session.json").read_text())
    assert session["engine"]["name"] == engine
    assert session["complete"] is True
    records = session["records"]
    assert records["seen"] == records["received"]
    assert sum(entry["records"] for entry in session["processes"]) == records["received"]
    children = [entry for entry in session["processes"] if entry["pid"] != 1]
    assert len(children) > 5
    ended = [entry for entry in children if entry["end_reason"] == "exited"]
    assert len(ended) >= len(children) - 1
    for entry in ended:
        text = (output / entry["log"]).read_text()
        assert "</etc/hostname>" in text
        assert "<UNIX-STREAM" in text
        assert text.endswith("+++ exited with 0 +++\n")
    again = tmp_path / "again"
    words = [sys.executable, "-m", "gatherer", "render", str(output), "-o", str(again)]
    subprocess.run(words, check=True, timeout=60)
    assert {log.name for log in again.iterdir()} == {log.name for log in output.glob("*.log")}
    for log in again.iterdir():
        assert log.read_bytes() == (output / log.name).read_bytes()
