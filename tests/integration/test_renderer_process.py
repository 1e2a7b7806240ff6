"""Rendering in a process of its own: it falls behind without loss, and may die without harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from gatherer.commands.render import run_render
from gatherer.config import LinesConfig
from gatherer.errors import GathererError
from gatherer.rendering import worker_client
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.rendering.worker_client import MAX_STARTS, RendererProcess
from gatherer.stream.receiver import Receiver
from hg_shared.batch import Batch
from hg_shared.framing import FrameType
from hg_shared.wire import decode
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers
from tests.unit.gatherer.rendering.strace.packed import OrderedLines
from tests.unit.gatherer.scripted import HELLO, batch, process, stream

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
            if parent == capture.process.pid and b"rendering.worker" in words:
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


def next_renderer_of(capture: GathererProcess, former: int) -> int:
    """Waits for another renderer and returns its pid."""
    found = [former]

    def another() -> bool:
        with suppress(ValueError):  # There is none at this moment.
            found[0] = renderer_of(capture)
        return found[0] != former

    wait_until(another, "another renderer runs")
    return found[0]


def test_when_it_is_killed_another_one_renders_on_and_the_log_is_the_same(
    tmp_path: Path, steps: Tracee
) -> None:
    capture = GathererProcess(tmp_path / "strace-logs", ("--pid", steps.pid, "--raw"))
    try:
        capture.wait_for("attach")
        steps.ask("1500")
        wait_until(lambda: bool(capture.steps()), "some of it is in the log")
        first = renderer_of(capture)
        os.kill(first, signal.SIGKILL)
        steps.ask("1500")
        second = next_renderer_of(capture, first)
        note = capture.wait_for("note")["text"]
        assert note == "the renderer ended early: killed by signal 9; another one renders on"
        with stopped(second):
            steps.ask("500")
            capture.interrupt()
            capture.wait_for("rendering")
            os.kill(second, signal.SIGKILL)
        assert capture.finish() == (0, "")
    finally:
        capture.close()
    assert capture.steps() == list(range(3500))
    session = capture.session()
    assert (session["complete"], session["records"]["lost"]) == (True, 0)
    undisturbed = tmp_path / "again"
    assert run_render(capture.output / "records.hgs", {}, undisturbed) == 0
    assert (undisturbed / capture.log().name).read_bytes() == capture.log().read_bytes()


def test_when_it_is_killed_again_and_again_the_capture_fails_and_keeps_the_spool(
    capture: GathererProcess, steps: Tracee
) -> None:
    steps.ask("100")
    pid = renderer_of(capture)
    for _ in range(MAX_STARTS - 1):
        os.kill(pid, signal.SIGKILL)
        pid = next_renderer_of(capture, pid)
    os.kill(pid, signal.SIGKILL)
    code, said = capture.finish()
    spool = capture.output / "records.hgs.partial"
    assert (code, said.count("\n")) == (1, 1)
    words = "gatherer: error: the renderer ended early: killed by signal 9, the last of 5; "
    assert said.startswith(words)
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
    session = capture.session()
    assert session["end_reason"] == "stopped at once"
    counts = session["records"]
    assert (counts["lost"], counts["received"]) == (0, counts["seen"])
    assert session["processes"][0]["records"] == counts["received"] >= 500
    assert any("in the spool and not in the logs" in note for note in session["discrepancies"])
    steps_recorded = spooled_batches(spool)
    assert sum(batch.count for batch in steps_recorded) >= 500


def spooled_batches(spool: Path) -> list[Batch]:
    """Returns what a spool holds."""
    contents = [
        decode(arrival.frame)
        for arrival in Receiver().receive_data(spool.read_bytes())
        if arrival.frame.type == FrameType.RECORDS
    ]
    return [content for content in contents if isinstance(content, Batch)]


def test_the_fast_path_agrees_with_the_timeline_on_recorded_records(
    capture: GathererProcess, steps: Tracee
) -> None:
    with stopped(renderer_of(capture)):
        steps.ask("2000")
        capture.interrupt()
        capture.wait_for("rendering")
        capture.interrupt()
        capture.wait_for("summary")
    capture.finish()
    ordered, lines = OrderedLines(0), ProcessLines(0)
    for taken in spooled_batches(capture.output / "records.hgs.partial"):
        rows = taken.heads, taken.captures, taken.watermark
        assert lines.feed_rows(*rows) == ordered.feed_rows(*rows)
    assert lines.finish() == ordered.finish()
    assert lines.lines >= 2000


def own_renderers() -> list[psutil.Process]:
    """Returns the renderers that this process has started; other tests have left other children."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # ended, and perhaps not waited for
            if "rendering.worker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def spool_of(directory: Path, count: int) -> Path:
    """Makes a capture directory with a spool of some records in it."""
    directory.mkdir()
    spool = directory / "spool"
    spool.write_bytes(b"".join(stream(HELLO, process(), batch(0, count))))
    return spool


async def test_one_process_renders_many_spools_and_ends_with_the_last(tmp_path: Path) -> None:
    renderers = RendererProcess(LinesConfig(), 1 << 30)
    spools = [spool_of(tmp_path / str(count), count) for count in range(1, 13)]
    opened = [renderers.renderer(spool) for spool in spools]
    await asyncio.gather(*(renderer.start() for renderer in opened))
    [process_of_all] = own_renderers()
    for renderer in opened:
        renderer.open()
        renderer.notify(renderer.spool.stat().st_size)
        renderer.finish()
    for count, renderer in enumerate(opened, 1):
        await asyncio.wait_for(renderer.done, 60)
        assert renderer.progress().accounts.processes[1].received == count
        log = renderer.spool.parent / "leak-4711.log"
        assert len(log.read_bytes().splitlines()) == count
        await renderer.aclose()
    assert not process_of_all.is_running()
    # A later spool gets a process again.
    late = renderers.renderer(spool_of(tmp_path / "late", 3))
    await late.start()
    late.open()
    late.notify(late.spool.stat().st_size)
    late.finish()
    await asyncio.wait_for(late.done, 60)
    await late.aclose()


async def test_all_spools_of_a_process_learn_that_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_client, "MAX_STARTS", 1)
    renderers = RendererProcess(LinesConfig(), 1 << 30)
    opened = [renderers.renderer(spool_of(tmp_path / name, 1)) for name in "ab"]
    for renderer in opened:
        await renderer.start()
        renderer.open()
    [child] = own_renderers()
    child.kill()
    for renderer in opened:
        with pytest.raises(GathererError, match=f"signal 9, the last of 1; .*{renderer.spool}"):
            await asyncio.wait_for(renderer.done, 60)
        await renderer.aclose()
