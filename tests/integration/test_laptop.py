"""What may happen to the machine that captures: full disk, closed terminal, sleep."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.gatherer_process import ROOT, GathererProcess
from tests.integration.hunter_session import wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

STEPS = TARGETS / "steps.py"
LINE = re.compile(r"\d+ +\d\d:\d\d:\d\d\.\d{6} \S.*")


@pytest.fixture
def steps(start: Callable[..., Tracee]) -> Tracee:
    """The target."""
    return start(sys.executable, STEPS)


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Callable[..., GathererProcess]]:
    """Starts gatherer for one process and waits until that is traced."""
    processes: list[GathererProcess] = []

    def start(pid: int, output: Path, *options: object) -> GathererProcess:
        process = GathererProcess(output, ("--pid", pid, *options))
        processes.append(process)
        process.wait_for("attach")
        return process

    yield start
    for process in processes:
        process.close()


def goes_on_untraced(target: Tracee) -> bool:
    wait_until(lambda: tracers(target.pid) == {0}, "the target is let go")
    return target.ask("1").startswith("done")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("may not mount a tmpfs here (needs root)")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_ends_the_capture_and_what_was_written_stays(
    capture: Callable[..., GathererProcess], steps: Tracee, small_disk: Path
) -> None:
    run = capture(steps.pid, small_disk / "logs")
    steps.ask("200")
    wait_until(lambda: len(run.steps()) == 200, "200 steps in the log", 30)
    steps.ask("50000")
    code, err = run.finish()
    assert code == 1
    assert re.fullmatch(
        r"gatherer: error: cannot write \S+: No space left on device; free some space,"
        r" or give another directory with -o; what was received is kept\n",
        err,
    )
    run.wait_until_hunter_is_gone(5)
    assert goes_on_untraced(steps)
    lines = run.log().read_text().splitlines()
    assert len(lines) > 100
    assert all(LINE.fullmatch(line) for line in lines)
    assert run.log().read_text().endswith("\n")
    run.events()
    assert run.session()["complete"] is False
    assert (run.output / "records.hgs.partial").stat().st_size > 0


def test_a_closed_terminal_ends_the_capture_in_order(steps: Tracee, tmp_path: Path) -> None:
    output = tmp_path / "logs"
    leader, follower = pty.openpty()

    def take_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "gatherer", "--runtime", "local", "--pid", str(steps.pid),
         "-f", "0.2", "-o", str(output)],
        stdin=follower, stdout=follower, stderr=follower, cwd=ROOT, preexec_fn=take_terminal,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(follower)
    try:
        wait_until(lambda: bool(list(output.glob("*.log"))), "a log", 30)
        os.read(leader, 1 << 16)
        steps.ask("10")
        os.close(leader)
        assert process.wait(30) == 1
    finally:
        process.kill()
        process.wait()
    session = json.loads((output / "session.json").read_text())
    assert (session["end_reason"], session["exit_code"]) == ("terminated", 1)
    [log] = output.glob("*.log")
    assert len(re.findall(r"/step-\d+", log.read_text())) == 10
    assert goes_on_untraced(steps)


def test_under_nohup_it_outlives_its_terminal(
    capture: Callable[..., GathererProcess], steps: Tracee, tmp_path: Path
) -> None:
    output = tmp_path / "logs"
    run = GathererProcess(output, ("--pid", steps.pid), prefix=("nohup",))
    try:
        run.wait_for("attach")
        run.process.send_signal(signal.SIGHUP)
        steps.ask("10")
        wait_until(lambda: len(run.steps()) == 10, "10 steps in the log", 20)
        run.interrupt()
        assert run.finish()[0] == 0
    finally:
        run.close()


def test_stopped_for_longer_than_hunter_waits(
    capture: Callable[..., GathererProcess], steps: Tracee, tmp_path: Path
) -> None:
    run = capture(steps.pid, tmp_path / "logs", "--linger", "3")
    steps.ask("10")
    wait_until(lambda: len(run.steps()) == 10, "10 steps in the log", 20)
    run.process.send_signal(signal.SIGSTOP)
    steps.ask("20")
    # Hunter leaves by itself; what it said before waits in the pipe.
    run.wait_until_hunter_is_gone(20)
    assert goes_on_untraced(steps)
    run.process.send_signal(signal.SIGCONT)
    code, err = run.finish()
    assert (code, err) == (4, "")
    session = run.session()
    assert "no_heartbeat" in session["end_reason"]
    assert run.steps() == list(range(30)), "nothing that was sent is lost"
    assert [event for event in run.events() if event["event"] == "gatherer_paused"]


def test_stopped_for_a_while_it_goes_on(
    capture: Callable[..., GathererProcess], steps: Tracee, tmp_path: Path
) -> None:
    run = capture(steps.pid, tmp_path / "logs", "--linger", "60")
    steps.ask("10")
    run.process.send_signal(signal.SIGSTOP)
    stopped = signal.SIGSTOP
    try:
        assert os.waitpid(run.process.pid, os.WUNTRACED)[1] >> 8 == stopped
        for _ in range(30):
            steps.ask("10")
    finally:
        run.process.send_signal(signal.SIGCONT)
    steps.ask("10")
    wait_until(lambda: len(run.steps()) == 320, "320 steps in the log", 20)
    run.interrupt()
    assert run.finish()[0] == 0
    assert run.session()["complete"] is True
