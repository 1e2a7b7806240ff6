"""The main job on real containers: gatherer as a user starts it, against the stand-in cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hg_shared.batch import Batch
from hg_shared.framing import FrameDecoder
from hg_shared.wire import decode
from tests.cluster.captures import (
    HOLDER,
    LINE,
    assert_nothing_left,
    command,
    events,
    hunters,
    until,
)
from tests.cluster.standin.harness import StandInCluster, pod_manifest


def only_log(output: Path) -> Path | None:
    logs = list(output.glob("*.log"))
    return logs[0] if logs and logs[0].stat().st_size else None


def test_offender_is_traced_while_it_runs_and_nothing_stays(
    cluster: StandInCluster, tmp_path: Path
) -> None:
    target = cluster.host_pid("problempod", "buggycontainer")
    output = tmp_path / "logs"
    words = command(cluster, "-p", "problempod", "-c", "buggycontainer", "-m", "20", "-f", "1")
    running = subprocess.Popen(
        [*words, "-o", str(output)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        log = until(lambda: only_log(output), "a log after two scans", 30)
        size = log.stat().st_size
        until(lambda: log.stat().st_size > size, "the log grows")
    finally:
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, b"")
    assert_nothing_left(cluster, "problempod", "buggycontainer")
    assert cluster.host_pid("problempod", "buggycontainer") == target
    lines = log.read_bytes().splitlines()
    assert all(LINE.match(line) for line in lines)
    assert len({line.split()[0] for line in lines}) >= 2, "several threads"
    session = json.loads((output / "session.json").read_text())
    assert session["complete"] is True
    assert session["records"]["lost"] == 0
    assert session["records"]["seen"] == session["records"]["received"] > 0
    assert session["target"]["node"] == cluster.node
    assert log.name.encode() in out


@pytest.mark.long
def test_second_capture_keeps_the_first(cluster: StandInCluster, tmp_path: Path) -> None:
    output = tmp_path / "logs"
    words = command(cluster, "-p", "problempod", "-m", "20", "-f", "0.5", "--duration", "3s")
    for _ in range(2):
        done = subprocess.run([*words, "-o", str(output)], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
    (previous,) = (output / "previous").iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z", previous.name)
    assert json.loads((previous / "session.json").read_text())["complete"] is True
    assert only_log(previous)
    assert only_log(output)


@pytest.mark.parametrize(("percent", "traced"), [("50", True), ("80", False)])
def test_threshold_is_of_the_containers_limit(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    tmp_path: Path,
    percent: str,
    traced: bool,
) -> None:
    name = f"holder{percent}"
    holder = ["python3", "-c", HOLDER, "72"]
    make_pod(
        pod_manifest(
            name, holder, memory="128Mi", security={"capabilities": {"add": ["SYS_PTRACE"]}}
        )
    )

    def resident() -> bool:
        return psutil.Process(cluster.host_pid(name, "main")).memory_info().rss > 78 << 20

    until(resident, "the process holds about 80 MiB")
    output = tmp_path / "logs"
    done = subprocess.run(
        [
            *command(cluster, "-p", name, "-m", percent, "-f", "0.5", "--duration", "3"),
            *("--force", "-o", str(output)),
        ],
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(list(output.glob("*.log"))) is traced
    decisions = events(output, "scan")
    assert bool(decisions) is traced
    for decision in decisions:
        assert decision["of_bytes"] == 128 << 20
        assert decision["source"] == "/sys/fs/cgroup/memory/memory.limit_in_bytes"
        assert decision["rss_bytes"] > 70 << 20
    assert_nothing_left(cluster, name, "main")


def test_too_little_headroom_is_refused(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    make_pod(pod_manifest("tight", ["python3", "-c", HOLDER, "20"], memory="64Mi"))
    # This user may add no ephemeral container, which would be the way in.
    words = command(cluster, "-p", "tight", "-m", "20", context="execer")
    done = subprocess.run(
        [*words, "-o", str(tmp_path / "logs")],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert b"MiB" in done.stderr
    assert b"--force" in done.stderr
    assert_nothing_left(cluster, "tight", "main")


def test_killed_gatherer_leaves_nothing_and_keeps_what_it_acknowledged(
    cluster: StandInCluster, tmp_path: Path
) -> None:
    output = tmp_path / "logs"
    words = command(cluster, "-p", "problempod", "-m", "20", "-f", "0.5", "-o", str(output))
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = until(lambda: only_log(output), "a log", 30)
    assert hunters(cluster, "problempod", "buggycontainer")
    running.kill()
    running.wait()
    until(lambda: not hunters(cluster, "problempod", "buggycontainer"), "hunter is gone", 15)
    assert_nothing_left(cluster, "problempod", "buggycontainer")
    # The spool is what was acknowledged: frames in sequence, none damaged.
    decoder = FrameDecoder()
    decoder.receive_data((output / "records.hgs.partial").read_bytes())
    frames = decoder.frames_received()
    assert decoder.errors == []
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    records = sum(batch.count for batch in map(decode, frames) if isinstance(batch, Batch))
    assert records > 0
    assert log.stat().st_size > 0
    assert json.loads((output / "session.json").read_text())["complete"] is False


def test_hunter_needs_no_tar_and_starts_no_program(
    cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    make_pod(pod_manifest("plain", ["python3", "-c", HOLDER, "40"], memory="256Mi"))
    for tar in ("bin/tar", "usr/bin/tar"):
        path = cluster.rootfs("plain", "main") / tar
        if path.exists():
            os.unlink(path)
    done = subprocess.run(
        [
            *command(cluster, "-p", "plain", "-m", "10", "-f", "0.5", "--duration", "2"),
            *("-o", str(tmp_path / "logs")),
        ],
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert only_log(tmp_path / "logs")


@pytest.mark.parametrize(
    ("arguments", "context", "code", "words"),
    [
        (("-p", "nopod"), "admin", 3, (b"nopod", b"not found")),
        (("-p", "problempod", "-c", "nope"), "admin", 3, (b"nope", b"buggycontainer")),
        (("-p", "problempod", "-n", "nowhere"), "admin", 3, (b"problempod", b"not found")),
        (("-p", "problempod"), "viewer", 3, (b"pods/exec",)),
        (("-p", "problempod", "-m", "fifty"), "admin", 2, (b"fifty", b"50")),
        (("-p", "problempod", "--duration", "soon"), "admin", 2, (b"soon", b"30s")),
        ((), "admin", 2, (b"-p",)),
    ],
)
def test_what_cannot_start_says_why_on_one_line(
    cluster: StandInCluster,
    tmp_path: Path,
    arguments: tuple[str, ...],
    context: str,
    code: int,
    words: tuple[bytes, ...],
) -> None:
    done = subprocess.run(
        [*command(cluster, *arguments, context=context), "-o", str(tmp_path / "logs")],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(b"gatherer: error: ")
    assert done.stderr.count(b"\n") == 1
    for word in words:
        assert word in done.stderr
