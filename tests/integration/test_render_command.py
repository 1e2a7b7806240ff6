"""`gatherer render`: the same bytes as the live log, and captures that were left early."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hunter.engines.choose import ENGINES
from tests.integration.gatherer_process import ROOT, GathererProcess
from tests.integration.test_renderer_process import renderer_of, stopped
from tests.integration.tracee import TARGETS, Tracee

Gather = Callable[..., GathererProcess]


def render(*words: object) -> subprocess.CompletedProcess[bytes]:
    """Runs `gatherer render`."""
    command = [sys.executable, "-m", "gatherer", "render", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)


def printed(*words: object) -> bytes:
    """Returns what `gatherer render` prints."""
    done = render(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.fixture
def gather(tmp_path: Path) -> Iterator[Gather]:
    """Starts gatherer for one process and waits until that is traced."""
    processes: list[GathererProcess] = []

    def start(pid: int, *options: object) -> GathererProcess:
        process = GathererProcess(tmp_path / f"logs{len(processes)}", ("--pid", pid, *options))
        processes.append(process)
        process.wait_for("start")
        process.wait_for("attach")
        return process

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def steps(start: Callable[..., Tracee]) -> Tracee:
    """The target."""
    return start(sys.executable, TARGETS / "steps.py")


@pytest.mark.parametrize("name", ENGINES)
def test_the_bytes_are_those_of_the_live_log(gather: Gather, steps: Tracee, name: str) -> None:
    capture = gather(steps.pid, "--raw", "--engine", name, "-s", "8")
    steps.ask("500")
    capture.interrupt()
    assert capture.finish() == (0, "")
    live = capture.log().read_bytes()
    assert capture.steps() == list(range(500))
    assert printed(capture.output) == live
    assert printed(capture.output / "records.hgs") == live
    assert printed("-s", "8", "--timestamps", "time", "-e", "all", capture.output) == live
    # strace's own rule: what is left out leaves nothing behind.
    looked = [line for line in live.splitlines() if b"stat" in line.split(b"(")[0]]
    assert len(looked) >= 500
    shown = printed("-e", "%%stat", capture.output).splitlines()
    assert [line for line in shown if b"+++" not in line and b"---" not in line] == looked


@pytest.mark.parametrize("stamps", ["none", "unix", "relative"])
def test_timestamps(gather: Gather, steps: Tracee, stamps: str) -> None:
    capture = gather(steps.pid, "--raw", "--timestamps", stamps, "-e", "%%stat")
    steps.ask("20")
    capture.interrupt()
    assert capture.finish() == (0, "")
    live = capture.log().read_bytes()
    form = {"none": r"", "unix": r"\d{10}\.\d{6} ", "relative": r" +\d+\.\d{6} "}[stamps]
    lines = [line for line in live.decode().splitlines() if "/step-" in line]
    assert len(lines) == 20
    assert all(re.match(rf"{steps.pid}\s+{form}\w*stat\w*\(", line) for line in lines)
    assert printed(capture.output) == live


def test_a_killed_gatherer_is_made_up_for(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    renderer = renderer_of(capture)
    with stopped(renderer):
        steps.ask("1000")
        while capture.wait_for("status")["backlog_bytes"] < 1000:
            pass
        capture.process.kill()
        capture.process.wait(20)
        os.kill(renderer, signal.SIGKILL)
    capture.wait_until_hunter_is_gone(20)
    assert steps.ask("1").startswith("done")
    done = render(capture.output)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"not complete: hunter's totals did not arrive" in done.stderr
    got = capture.steps()
    assert got == list(range(len(got)))
    session = capture.session()
    assert session["records"]["received"] == session["processes"][0]["records"] > 0
    # What hunter saw after that is not known, which is not 0.
    assert (session["records"]["seen"], session["records"]["lost"]) == (None, None)
    assert session["processes"][0]["end_reason"].startswith("its end is not known")
    assert capture.log().read_text().splitlines()[-1].endswith(" did not arrive) +++")
    assert not (capture.output / "records.hgs.partial").exists()


def test_a_second_ctrl_c_is_made_up_for(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid, "--raw")
    with stopped(renderer_of(capture)):
        steps.ask("1000")
        capture.interrupt()
        capture.wait_for("rendering")
        refused = render(capture.output)
        assert refused.returncode == 3
        assert b"a capture is writing to" in refused.stderr
        capture.interrupt()
        code, _ = capture.finish()
    assert code == 1
    counted = capture.session()["records"]
    assert (counted["lost"], counted["received"]) == (0, counted["seen"])
    done = render(capture.output)
    assert done.returncode == 0, done.stderr
    assert capture.session()["records"] == counted
    assert b"is rendered to its end; complete" in done.stderr
    assert capture.steps() == list(range(1000))
    session = capture.session()
    assert (session["complete"], session["end_reason"]) == (True, "stopped at once")
    assert printed(capture.output) == capture.log().read_bytes()


def test_a_reader_that_has_had_enough(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid, "--raw")
    steps.ask("2000")
    capture.interrupt()
    assert capture.finish() == (0, "")
    command = f"{sys.executable} -m gatherer render {capture.output} | head -n 3"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr, done.stdout.count(b"\n")) == (0, b"", 3)
    assert json.loads((capture.output / "session.json").read_text())["options"]["raw"] is True
