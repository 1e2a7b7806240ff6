"""gatherer below a program that ignores signals, or blocks them: both are inherited."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.engines import EVERY_ENGINE
from tests.integration.gatherer_process import GathererProcess
from tests.integration.tracee import TARGETS, Tracee

HOW = {
    "SIGCHLD ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "all ignored": "[signal.signal(n, signal.SIG_IGN) for n in EVERY]",
    "all blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, EVERY)",
}
LAUNCHER = (
    "import os, signal, sys\n"
    "EVERY = set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}\n"
    "%s\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


@pytest.mark.parametrize("engine", [*EVERY_ENGINE, "auto"])
@pytest.mark.parametrize(
    "how",
    [
        "SIGCHLD ignored",
        pytest.param("all ignored", marks=pytest.mark.long),
        pytest.param("all blocked", marks=pytest.mark.long),
    ],
)
def test_a_capture_is_what_it_is_with_the_usual_ones(
    how: str, engine: str, start: Callable[..., Tracee], tmp_path: Path
) -> None:
    parent = start(sys.executable, TARGETS / "supervisor.py")
    child = int(parent.line())
    capture = GathererProcess(
        tmp_path / "logs", ("--pid", child, "--engine", engine),
        prefix=(sys.executable, "-c", LAUNCHER % HOW[how]),
    )  # fmt: skip
    try:
        capture.wait_for("attach")
        parent.tell("go")
        assert parent.line() == "child ended with 42"
        assert capture.finish() == (0, "")
        assert "exited with 42" in capture.log().read_text().splitlines()[-1]
    finally:
        capture.close()


def test_blocked_signals_still_end_a_capture(start: Callable[..., Tracee], tmp_path: Path) -> None:
    parent = start(sys.executable, TARGETS / "supervisor.py")
    child = int(parent.line())
    capture = GathererProcess(
        tmp_path / "logs", ("--pid", child, "--engine", "ptrace"),
        prefix=(sys.executable, "-c", LAUNCHER % HOW["all blocked"]),
    )  # fmt: skip
    try:
        capture.wait_for("attach")
        capture.interrupt()
        assert capture.finish() == (0, "")
        assert capture.session()["end_reason"] == "interrupted"
    finally:
        capture.close()
    parent.tell("go")
    assert parent.line() == "child ended with 42"
