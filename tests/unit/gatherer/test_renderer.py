from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gatherer import renderer, renderer_main
from gatherer.accounting import Accounts
from gatherer.demux import Watermarks, by_process
from gatherer.errors import LogWriteError, StreamError
from gatherer.logs import LogDirectory
from gatherer.progress import Drop, Loss, Progress, ReportedProgress, Reporter, failure_report
from gatherer.render.lines import ProcessLines
from gatherer.renderer import Rendering
from gatherer.renderer_main import Orders, render
from gatherer.runtimes import Target
from gatherer.session_document import SessionDocument
from hg_shared.batch import Batch
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Hello, TracedProcess
from hg_shared.records import HEAD, encode_capture, iter_records
from tests.unit.gatherer.scripted import (
    HELLO,
    SECOND,
    NumberedLines,
    batch,
    event,
    head,
    process,
    stream,
)


def rendering(path: Path) -> Rendering:
    return Rendering(LogDirectory(path), NumberedLines, 1 << 30)


def test_records_go_to_the_log_of_their_process(tmp_path: Path) -> None:
    mixed = Batch(0, 0, 1002 * SECOND, b"".join(head(n, 1 + n % 2) for n in range(6)), b"")
    target = rendering(tmp_path)
    target.receive_data(b"".join(stream(HELLO, process(1, 11, "a"), process(2, 12, "b"), mixed)))
    target.finish()
    numbers = {
        path.name: [line.split()[1] for line in path.read_text().splitlines()]
        for path in tmp_path.iterdir()
    }
    assert numbers == {"a-11.log": ["0", "2", "4"], "b-12.log": ["1", "3", "5"]}


def test_a_log_is_there_before_its_first_line(tmp_path: Path) -> None:
    target = rendering(tmp_path)
    target.receive_data(b"".join(stream(HELLO, process())))
    assert list(tmp_path.iterdir()) == []
    target.receive_data(b"".join(stream(event("attach"), start=3)))
    assert (tmp_path / "leak-4711.log").read_bytes() == b""


def test_the_watermark_alone_lets_lines_out(tmp_path: Path) -> None:
    def lines(hello: Hello, traced: TracedProcess) -> ProcessLines:
        return ProcessLines(hello.realtime_ns - hello.monotonic_ns, None, traced.pid, "leak")

    target = Rendering(LogDirectory(tmp_path), lines, 1 << 30)
    held = batch(0, 3)._replace(watermark=0)
    target.receive_data(b"".join(stream(HELLO, process(), held)))
    log = tmp_path / "leak-4711.log"
    assert not log.exists() or log.read_bytes() == b""
    empty = Batch(0, 3, 1003 * SECOND, b"", b"")
    target.receive_data(b"".join(stream(empty, start=4)))
    assert len(log.read_bytes().splitlines()) == 3


def test_a_batch_that_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    frames = stream(HELLO, process(), batch(0, 2), batch(2, 2), batch(4, 2))
    frames[3] = Frame(FrameType.RECORDS, 4, b"short").encode()
    target = rendering(tmp_path)
    target.receive_data(b"".join(frames))
    target.finish()
    assert (target.accounts.damaged_batches, target.accounts.missing) == (1, 2)
    assert "+++ GAP 2 records (lost in transit) +++" in (tmp_path / "leak-4711.log").read_text()


def test_the_same_process_under_another_ordinal_goes_on_in_its_log(tmp_path: Path) -> None:
    target = rendering(tmp_path)
    frames = stream(HELLO, process(1), batch(0, 2, 1), process(2), batch(2, 2, 2))
    target.receive_data(b"".join(frames))
    target.finish()
    assert len((tmp_path / "leak-4711.log").read_text().splitlines()) == 4


def test_a_hunter_that_declares_without_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "MAX_PROCESSES", 3)
    frames = stream(HELLO, *(process(n, 100 + n) for n in range(1, 5)))
    with pytest.raises(StreamError, match="declares more than 3 processes"):
        rendering(tmp_path).receive_data(b"".join(frames))


def test_undeclared_processes_cost_no_memory(tmp_path: Path) -> None:
    target = rendering(tmp_path)
    heads = b"".join(head(n, 1000 + n) for n in range(500))
    target.receive_data(b"".join(stream(HELLO, Batch(0, 0, 1, heads, b""))))
    assert target.accounts.undeclared == 500
    assert target.accounts.processes == {}


def orders(available: int, ended: bool = True) -> Orders:
    """What a gatherer has said that says nothing more."""
    said = Orders(-1)
    said.available, said.ended = available, ended
    said.read = lambda _seconds: None  # type: ignore[method-assign]
    return said


def reports(path: Path) -> ReportedProgress:
    reported = ReportedProgress()
    for line in path.read_bytes().splitlines():
        reported.take(line)
    return reported


def test_a_spool_is_rendered_to_its_end_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer_main, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(renderer_main, "CHUNK", 100)
    spool, logs, said = tmp_path / "spool", tmp_path / "logs", tmp_path / "said"
    logs.mkdir()
    data = b"".join(stream(HELLO, process(), *(batch(n * 9, 9) for n in range(40))))
    spool.write_bytes(data)
    with said.open("wb") as file:
        assert render(spool, rendering(logs), orders(len(data)), file.fileno())
    lines = (logs / "leak-4711.log").read_text().splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(360))
    assert len(said.read_bytes().splitlines()) > 10
    reported = reports(said)
    assert (reported.done, reported.offset) == (True, len(data))
    progress = reported.progress()
    assert progress.accounts.processes[1].received == 360
    assert progress.written == (logs / "leak-4711.log").stat().st_size


def test_an_abandoned_renderer_stops_where_it_is(tmp_path: Path) -> None:
    spool, said = tmp_path / "spool", tmp_path / "said"
    spool.write_bytes(b"".join(stream(HELLO, process())))
    left = orders(0, ended=False)
    left.abandoned = True
    with said.open("wb") as file:
        assert not render(spool, rendering(tmp_path), left, file.fileno())


def test_a_spool_that_is_too_short_is_an_error(tmp_path: Path) -> None:
    spool, said = tmp_path / "spool", tmp_path / "said"
    spool.write_bytes(b"")
    with said.open("wb") as file, pytest.raises(StreamError, match="ends after 0 of 7 bytes"):
        render(spool, rendering(tmp_path), orders(7), file.fileno())


def test_orders_may_be_cut_anywhere(tmp_path: Path) -> None:
    data = b"1\n20\n300\nend\n"
    for cut in range(len(data)):
        reading, writing = os.pipe()
        said = Orders(reading)
        os.write(writing, data[:cut])
        if cut:
            said.read(0)
        os.write(writing, data[cut:])
        os.close(writing)
        said.read(0)
        assert (said.available, said.ended, said.abandoned) == (300, True, False)
        said.read(0)
        assert said.abandoned
        os.close(reading)


def test_reports_add_up_and_tell_losses_once() -> None:
    accounts = Accounts()
    accounts.received(1, 5)
    accounts.lost(2, 7)
    accounts.bytes = 440
    first = Progress(10, accounts, (Loss(1, 2, 7),), (), 99)
    accounts.received(1, 1)
    second = Progress(20, accounts, (), (Drop(3, 1, 4),), 120)
    reporter, reported = Reporter(), ReportedProgress()
    reported.take(reporter.report(first))
    line = reporter.report(second, done=True)
    assert json.loads(line)["processes"] == []
    accounts.received(1, 2)
    assert json.loads(reporter.report(second))["processes"] == [[1, 8, 0]]
    reported.take(line)
    assert reported.done
    assert reported.progress() == Progress(20, reported.progress().accounts, (Loss(1, 2, 7),),
                                           (Drop(3, 1, 4),), 120)  # fmt: skip
    assert reported.progress().losses == ()
    assert reported.progress().accounts.processes[2].lost == 7


def test_an_error_comes_over_the_pipe_as_it_was() -> None:
    error = LogWriteError("cannot write x: No space left on device", "free some space")
    with pytest.raises(LogWriteError) as caught:
        ReportedProgress().take(failure_report(error, "Traceback of it"))
    assert str(caught.value) == str(error)
    assert "Traceback of it" in str(caught.value.__cause__)


def test_a_log_at_its_limit_drops_whole_lines_and_counts_them(tmp_path: Path) -> None:
    target = Rendering(LogDirectory(tmp_path), NumberedLines, 50)
    target.receive_data(b"".join(stream(HELLO, process(), batch(0, 40))))
    log = tmp_path / "leak-4711.log"
    kept = log.read_text()
    assert kept == "".join(f"4711 {n} 0\n" for n in range(len(kept.splitlines())))
    assert 40 < len(kept) <= 50
    target.receive_data(b"".join(stream(batch(40, 10), start=4)))
    assert log.read_text() == kept
    target.finish()
    [note] = log.read_text().removeprefix(kept).splitlines()
    dropped = 50 - len(kept.splitlines())
    assert note.startswith("4711  ")
    assert note.endswith(f"+++ DROPPED {dropped} lines (log size limit) +++")
    [drop] = target.progress(0).drops
    assert (drop.ordinal, drop.lines) == (1, dropped)


def test_demux_keeps_order_and_skips_what_came_before() -> None:
    mixed = Batch(0, 0, 0, b"".join(head(n, 1 + n % 2) for n in range(6)), b"")
    split = by_process(mixed, skip=2)
    starts = {
        ordinal: [(record.start - 1001 * SECOND) // 1000 for record in iter_records(*share)]
        for ordinal, share in split.items()
    }
    assert starts == {1: [2, 4], 2: [3, 5]}
    assert by_process(batch(0, 3), skip=3) == {}
    assert by_process(Batch(0, 0, 0, b"", b"")) == {}


def test_the_watermark_is_that_of_the_slowest_source_and_never_goes_back() -> None:
    marks = Watermarks()
    assert marks.now == 0
    assert marks.advance(0, 100) == 100
    assert marks.advance(1, 50) == 50
    assert marks.advance(1, 20) == 50
    assert marks.advance(1, 300) == 100


def test_session_json_lists_every_field_of_the_contract() -> None:
    document = SessionDocument(Target("local", node="here"), {}, 0)
    empty = json.loads(json.dumps(document.as_json()))
    document.declare(process())
    [entry] = document.as_json()["processes"]
    assert set(entry) == {
        "pid", "start_time", "command", "cmdline", "log", "attached", "ended", "end_reason",
        "records", "lost", "dropped_lines", "peak_rss_bytes",
    }  # fmt: skip
    contract = {
        "schema": None, "engine": {"name", "reason"}, "tracing": None,
        "target": {"runtime", "context", "namespace", "pod", "container", "node", "image"},
        "started": None, "ended": None, "end_reason": None, "options": None,
        "tail": {"unknown_ms"},
        "hunter": {"version", "python", "arch", "sha256", "inject", "peak_pss_bytes",
                   "cpu_seconds"},
        "host": {"kernel", "cgroup_version", "memory_limit_bytes", "yama_ptrace_scope", "seccomp",
                 "capabilities"},
        "processes": None, "records": {"seen", "received", "lost"}, "bytes": {"wire", "records"},
        "complete": None, "exit_code": None,
    }  # fmt: skip
    for name, fields in contract.items():
        assert name in empty
        assert fields is None or fields <= set(empty[name])


def test_a_command_line_is_kept_in_bounds() -> None:
    document = SessionDocument(Target("local"), {}, 0)
    huge = TracedProcess(1, 7, 1, 0, "x", ["a" * 10_000, *[""] * 100_000], 0)
    entry = document.declare(huge)
    assert sum(len(word) + 1 for word in entry.cmdline) <= 4100


def test_captures_stay_with_their_records_whatever_is_skipped() -> None:
    heads, captures = [], []
    for n in range(7):
        held = encode_capture(1, 0, bytes([n]) * n, n) if n % 3 else b""
        heads.append(HEAD.pack(n, 0, n, *(n,) * 6, 5, 1 + n % 2, 1, 0, 0, len(held)))
        captures.append(held)
    for same in (False, True):
        rows = [head[:76] + b"\1\0\0\0" + head[80:] if same else head for head in heads]
        mixed = Batch(0, 0, 0, b"".join(rows), b"".join(captures))
        for skip in range(8):
            got = [
                record for share in by_process(mixed, skip).values()
                for record in iter_records(share.heads, share.captures)
            ]  # fmt: skip
            assert [(r.start, r.captures) for r in sorted(got)] == list(
                enumerate(captures)
            )[skip:]  # fmt: skip
