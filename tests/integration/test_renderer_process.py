"""Rendering in a process of its own: it falls behind without loss, and may die without harm."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from gatherer.reception import Reception
from gatherer.render.lines import ProcessLines
from hg_shared.batch import Batch
from hg_shared.framing import FrameType
from hg_shared.records import iter_records
from hg_shared.wire import decode
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

Gather = Callable[..., GathererProcess]


@pytest.fixture
def steps(start: Callable[..., Tracee]) -> Tracee:
    """The target."""
    return start(sys.executable, TARGETS / "steps.py")


@pytest.fixture
def capture(tmp_path: Path, steps: Tracee) -> Iterator[GathererProcess]:
    """A capture of it."""
    process = GathererProcess(tmp_path / "strace-logs", ("--pid", steps.pid))
    process.wait_for("start")
    process.wait_for("attach")
    yield process
    process.close()


def renderer_of(capture: GathererProcess) -> int:
    """Returns the pid of the renderer."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == capture.process.pid and b"renderer_main" in words:
                found.append(int(entry.name))
    [pid] = found
    return pid


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keeps a process from running."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # It may have been killed meanwhile.
            os.kill(pid, signal.SIGCONT)


def test_ctrl_c_in_a_terminal_does_not_reach_it(capture: GathererProcess) -> None:
    renderer = renderer_of(capture)
    assert os.getpgid(renderer) == os.getsid(renderer) == renderer
    os.kill(renderer, signal.SIGINT)
    capture.interrupt()
    assert capture.finish() == (0, "")


def test_it_falls_behind_without_loss_and_catches_up(
    capture: GathererProcess, steps: Tracee
) -> None:
    with stopped(renderer_of(capture)):
        steps.ask("3000")
        while capture.wait_for("status")["backlog_bytes"] < 1000:
            pass
        assert capture.steps() == []
        capture.interrupt()
        waiting = capture.wait_for("rendering")
        assert waiting["done_bytes"] < waiting["total_bytes"]
    assert capture.finish() == (0, "")
    assert capture.steps() == list(range(3000))
    session = capture.session()
    assert (session["complete"], session["records"]["lost"]) == (True, 0)
    assert not (capture.output / "records.hgs.partial").exists()


def test_when_it_is_killed_the_capture_fails_and_keeps_the_spool(
    capture: GathererProcess, steps: Tracee
) -> None:
    steps.ask("100")
    os.kill(renderer_of(capture), signal.SIGKILL)
    code, said = capture.finish()
    spool = capture.output / "records.hgs.partial"
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("gatherer: error: the renderer ended early: killed by signal 9; ")
    assert str(spool) in said
    assert spool.stat().st_size > 0
    session = capture.session()
    assert (session["complete"], session["exit_code"]) == (False, 1)
    wait_until(lambda: tracers(steps.pid) == {0}, "the target is let go")


def test_a_second_ctrl_c_stops_rendering_at_once_and_keeps_the_spool(
    capture: GathererProcess, steps: Tracee
) -> None:
    with stopped(renderer_of(capture)):
        steps.ask("500")
        capture.interrupt()
        capture.wait_for("rendering")
        capture.interrupt()
        capture.wait_for("summary")
    assert capture.finish()[0] == 1
    spool = capture.output / "records.hgs.partial"
    assert capture.session()["end_reason"] == "stopped at once"
    steps_recorded = spooled_batches(spool)
    assert sum(batch.count for batch in steps_recorded) >= 500


def spooled_batches(spool: Path) -> list[Batch]:
    """Returns what a spool holds."""
    contents = [
        decode(arrival.frame)
        for arrival in Reception().receive_data(spool.read_bytes())
        if arrival.frame.type == FrameType.RECORDS
    ]
    return [content for content in contents if isinstance(content, Batch)]


def test_both_ways_of_rendering_agree_on_recorded_records(
    capture: GathererProcess, steps: Tracee
) -> None:
    with stopped(renderer_of(capture)):
        steps.ask("2000")
        capture.interrupt()
        capture.wait_for("rendering")
        capture.interrupt()
        capture.wait_for("summary")
    capture.finish()
    long, short = ProcessLines(0), ProcessLines(0)
    for batch in spooled_batches(capture.output / "records.hgs.partial"):
        records = list(iter_records(batch.heads, batch.captures))
        assert short.feed_rows(batch.heads, batch.captures, batch.watermark) == long.feed(
            records, batch.watermark
        )
    assert short.finish() == long.finish()
    assert short.lines >= 2000
