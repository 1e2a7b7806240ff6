"""A capture whose hunter is stuck: it goes on without ptrace, and says what happened."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.engines import REFUSED
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

Gather = Callable[..., GathererProcess]


@pytest.fixture
def gather(tmp_path: Path) -> Iterator[Gather]:
    """Starts gatherer for one process and waits until that is traced."""
    processes: list[GathererProcess] = []

    def start(pid: int, *options: object) -> GathererProcess:
        process = GathererProcess(tmp_path / "strace-logs", ("--pid", pid, *options))
        processes.append(process)
        process.wait_for("start")
        process.wait_for("attach")
        return process

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def gaps(start: Callable[..., Tracee], compiled: Callable[[str], Path]) -> Tracee:
    """A target that measures for how long it stands still."""
    return start(compiled("gaps"), 2, 500)


def longest_gap(target: Tracee) -> int:
    return int(target.ask("gap").split()[0])


def test_another_hunter_goes_on_without_ptrace(gather: Gather, gaps: Tracee) -> None:
    capture = gather(gaps.pid, "--engine", "ptrace")
    first = capture.hunter_pid()
    longest_gap(gaps)
    os.kill(first, signal.SIGSTOP)
    stuck = capture.wait_for("stuck")
    assert "stood in a ptrace-stop for 2." in stuck["cause"]
    assert stuck["then"] == "another hunter goes on, without ptrace"
    assert longest_gap(gaps) <= 3000
    second = capture.wait_for("start")["hunter"]
    assert second["pid"] != first
    capture.wait_for("attach_failed" if REFUSED else "attach")
    assert tracers(gaps.pid) == {0}
    assert not psutil.pid_exists(first)
    capture.interrupt()
    code, _ = capture.finish()
    session = capture.session()
    assert (code, session["exit_code"], session["complete"]) == (4, 4, False)
    assert [each["end_reason"] for each in session["instances"]] == ["stuck", "interrupted"]
    assert (session["end_reason"], session["restarts"]) == ("interrupted", 0)
    assert session["engine"]["name"] == ("" if REFUSED else "ebpf")
    assert session["tracing"] == "on"
    assert any("hunter was stuck" in each for each in session["discrepancies"])
    [before, after] = session["instances"]
    assert before["tail"]["unknown_ms"] > 0
    assert after["tail"]["unknown_ms"] == 0
    assert session["records"]["received"] == sum(entry["records"] for entry in session["processes"])
    [event] = [each for each in capture.events() if each["event"] == "stuck"]
    assert event["cause"] == stuck["cause"]
    gaps.tell("end")
    assert gaps.finish() == ("ok\n", 0)


@pytest.mark.long
def test_a_second_one_that_is_stuck_ends_the_capture(gather: Gather, gaps: Tracee) -> None:
    if REFUSED:
        pytest.skip(f"ebpf: {REFUSED}: a hunter that traces nothing is never stuck")
    capture = gather(gaps.pid, "--engine", "ptrace")
    os.kill(capture.hunter_pid(), signal.SIGSTOP)
    second = capture.wait_for("start")["hunter"]["pid"]
    capture.wait_for("attach")
    os.kill(second, signal.SIGSTOP)
    code, _ = capture.finish()
    session = capture.session()
    assert code == 4
    assert session["end_reason"] == "stuck"
    assert [each["end_reason"] for each in session["instances"]] == ["stuck", "stuck"]
    told = [each for each in capture.events() if each["event"] == "stuck"]
    assert told[-1]["then"] is None
    assert "BPF programs" in told[-1]["cause"]


def test_a_hunter_that_says_nothing_is_told_and_one_that_speaks_again(
    gather: Gather, start: Callable[..., Tracee]
) -> None:
    """A target at rest is not held by a hunter that is stopped: nothing ends that."""
    target = start(sys.executable, TARGETS / "steps.py")
    capture = gather(target.pid, "--engine", "ptrace")
    target.ask("5")
    wait_until(lambda: len(capture.steps()) == 5, "5 steps in the log", 5)
    hunter = psutil.Process(capture.hunter_pid())
    hunter.suspend()
    assert 4 <= capture.wait_for("silent")["seconds"] < 5
    hunter.resume()
    assert capture.wait_for("heard")["seconds"] >= 4
    target.ask("5")
    capture.interrupt()
    assert capture.finish()[0] == 0
    assert capture.steps() == list(range(10))
