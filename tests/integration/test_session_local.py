"""The whole path on this machine: gatherer, hunter, a target that counts its own calls."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hg_shared.batch import Batch
from hg_shared.framing import FrameDecoder, FrameType
from hg_shared.records import iter_records
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

STEPS = TARGETS / "steps.py"
Gather = Callable[..., GathererProcess]


@pytest.fixture
def gather(tmp_path: Path) -> Iterator[Gather]:
    """Starts gatherer for one process and waits until that is traced."""
    processes: list[GathererProcess] = []

    def start(pid: int, *options: object, **keywords: object) -> GathererProcess:
        options = ("--pid", pid, *options)
        process = GathererProcess(tmp_path / "strace-logs", options, **keywords)
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
    return start(sys.executable, STEPS)


def goes_on_untraced(target: Tracee) -> bool:
    """Whether nobody traces the target and it still answers."""
    wait_until(lambda: tracers(target.pid) == {0}, "the target is let go")
    return target.ask("1").startswith("done")


def test_every_call_is_in_the_log_once_and_in_order(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    for part in (1, 499, 1500):
        steps.ask(str(part))
    assert os.getsid(capture.hunter_pid()) != os.getsid(capture.process.pid)
    capture.interrupt()
    assert capture.finish() == (0, "")
    assert capture.steps() == list(range(2000))
    session = capture.session()
    assert (session["complete"], session["exit_code"]) == (True, 0)
    assert session["end_reason"] == "interrupted"
    assert session["records"]["lost"] == 0
    [entry] = session["processes"]
    assert entry["pid"] == steps.pid
    assert entry["records"] == session["records"]["seen"] == session["records"]["received"]
    assert entry["end_reason"] == "detached"
    assert entry["attached"] < entry["ended"]
    assert (session["target"]["runtime"], session["hunter"]["inject"]) == ("local", "none")
    assert session["hunter"]["sha256"] != ""
    assert capture.said[-1]["event"] == "summary"
    assert not (capture.output / "records.hgs.partial").exists()
    assert list(capture.output.parent.glob("hunter-*.pyz")) == []
    capture.wait_until_hunter_is_gone(0.1)
    assert goes_on_untraced(steps)


def test_lines_are_those_of_strace(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    steps.ask("5")
    capture.interrupt()
    assert capture.finish()[0] == 0
    line = re.compile(
        r"(\d+) +\d\d:\d\d:\d\d\.\d{6} (\w+\(.*\) += \S.*<\d+\.\d{6}>|<\.\.\. \w+ resumed>.*"
        r"|\w+\(.* <(unfinished|detached) \.\.\.>|(---|\+\+\+) .* (---|\+\+\+))"
    )
    lines = capture.log().read_text().splitlines()
    assert len(lines) >= 5
    assert [text for text in lines if not line.fullmatch(text)] == []


def test_the_log_grows_while_the_target_runs(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    for part in (10, 10, 10):
        said = steps.ask(str(part))
        expected = int(said.split()[1])
        wait_until(lambda n=expected: len(capture.steps()) >= n, f"{expected} steps in the log", 5)
    capture.interrupt()
    assert capture.finish()[0] == 0
    memory = (capture.output / "memory.jsonl").read_text()
    assert f'"pid":{steps.pid},"rss_bytes":' in memory
    assert '"container":{"usage_bytes":' in memory


def test_session_json_is_there_from_the_start(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    wait_until(lambda: capture.session()["processes"], "the process is listed", 5)
    session = capture.session()
    assert (session["schema"], session["complete"], session["exit_code"]) == (1, False, None)
    assert session["engine"]["name"]
    capture.interrupt()
    assert capture.finish()[0] == 0


def test_duration_ends_the_capture(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid, "--duration", "1")
    steps.ask("10")
    assert capture.finish() == (0, "")
    assert capture.session()["end_reason"] == "duration"
    assert capture.steps() == list(range(10))
    assert goes_on_untraced(steps)


def test_the_end_of_the_only_target_ends_the_capture(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    steps.ask("10")
    assert steps.finish() == ("", 0)
    assert capture.finish() == (0, "")
    session = capture.session()
    assert (session["end_reason"], session["complete"]) == ("target ended", True)
    assert "+++ exited with 0 +++" in capture.log().read_text()
    assert [e["event"] for e in capture.events()][-2:] == ["exit", "target_ended"]


def test_sigterm_is_a_clean_end_with_code_1(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    steps.ask("10")
    capture.process.terminate()
    assert capture.finish() == (1, "")
    assert capture.steps() == list(range(10))
    assert capture.session()["end_reason"] == "terminated"
    assert goes_on_untraced(steps)


def test_a_second_ctrl_c_stops_at_once_and_keeps_the_spool(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    steps.ask("10")
    wait_until(lambda: len(capture.steps()) == 10, "10 steps in the log", 5)
    hunter = capture.hunter_pid()
    os.kill(hunter, signal.SIGSTOP)
    try:
        capture.interrupt()
        capture.wait_for("note")
        capture.interrupt()
        code, err = capture.finish()
    finally:
        os.kill(hunter, signal.SIGCONT)
    assert (code, err) == (1, "")
    session = capture.session()
    assert (session["complete"], session["end_reason"]) == (False, "stopped at once")
    spool = capture.output / "records.hgs.partial"
    assert capture.said[-1]["spool"] == str(spool)
    assert spool.stat().st_size > 0
    capture.wait_until_hunter_is_gone(15)
    assert goes_on_untraced(steps)


def test_kill_9_of_gatherer_lets_go_and_keeps_every_record(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    steps.ask("100")
    wait_until(lambda: len(capture.steps()) == 100, "100 steps in the log", 5)
    capture.process.kill()
    capture.wait_until_hunter_is_gone(15)
    assert goes_on_untraced(steps)
    decoder = FrameDecoder()
    decoder.receive_data((capture.output / "records.hgs.partial").read_bytes())
    records = [
        record
        for frame in decoder.frames_received()
        if frame.type == FrameType.RECORDS
        for record in iter_records(*Batch.decode(frame.body())[3:])
    ]
    assert decoder.errors == []
    paths = [record.captures for record in records if b"/step-" in record.captures]
    assert len(paths) == 100
    assert capture.session()["complete"] is False
    assert list(capture.output.parent.glob("hunter-*.pyz")) == []


def test_kill_9_of_hunter_breaks_the_stream(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    steps.ask("10")
    wait_until(lambda: len(capture.steps()) == 10, "10 steps in the log", 5)
    os.kill(capture.hunter_pid(), signal.SIGKILL)
    assert capture.finish() == (4, "")
    session = capture.session()
    assert session["end_reason"] == "the stream broke: hunter was killed by signal 9"
    assert (session["complete"], session["exit_code"]) == (False, 4)
    assert session["tail"]["unknown_ms"] >= 0
    assert capture.steps() == list(range(10))
    assert goes_on_untraced(steps)


def test_a_limit_of_the_file_system_ends_the_capture(gather: Gather, steps: Tracee) -> None:
    limited = ("bash", "-c", 'ulimit -f 600; exec "$@"', "bash")
    capture = gather(steps.pid, prefix=limited)
    steps.ask("20000")
    code, err = capture.finish()
    assert code == 1
    assert re.fullmatch(r"gatherer: error: cannot write \S+: File too large; [^\n]+\n", err)
    session = capture.session()
    assert (session["complete"], session["exit_code"]) == (False, 1)
    assert capture.steps() == list(range(len(capture.steps())))
    capture.wait_until_hunter_is_gone(15)
    assert goes_on_untraced(steps)


def test_a_removed_directory_ends_the_capture(gather: Gather, steps: Tracee) -> None:
    capture = gather(steps.pid)
    os.rename(capture.output, capture.output.with_name("elsewhere"))
    steps.ask("10")
    code, err = capture.finish()
    assert code == 1
    # Who writes to it next and the renderer, which reads it, find out at the same time.
    assert "removed under the capture" in err or "leave the capture directory in place" in err
    capture.wait_until_hunter_is_gone(15)
    assert goes_on_untraced(steps)


def test_a_second_capture_keeps_the_first(gather: Gather, steps: Tracee) -> None:
    for count in (10, 20):
        capture = gather(steps.pid)
        said = steps.ask(str(count))
        capture.interrupt()
        assert capture.finish()[0] == 0
    assert capture.steps() == list(range(10, int(said.split()[1])))
    [previous] = (capture.output / "previous").iterdir()
    assert re.fullmatch(r"\d{8}T\d{6}Z", previous.name)
    [log] = previous.glob("*.log")
    assert re.findall(r"/step-(\d+)", log.read_text()) == [str(n) for n in range(10)]


def test_a_hostile_name_reaches_neither_path_nor_terminal(
    gather: Gather, start: Callable[..., Tracee]
) -> None:
    target = start(sys.executable, STEPS, "\x1b[31m../x\n")
    capture = gather(target.pid)
    target.ask("3")
    capture.interrupt()
    assert capture.finish()[0] == 0
    assert capture.log().name == f"__31m.._x_-{target.pid}.log"
    assert capture.session()["processes"][0]["command"] == "\x1b[31m../x\n"
    assert "\x1b" not in capture.log().read_text()
