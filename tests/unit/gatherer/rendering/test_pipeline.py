from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatherer.capture.session_document import SessionDocument
from gatherer.errors import LogWriteError, StreamError
from gatherer.rendering import pipeline, worker
from gatherer.rendering.accounting import Accounts
from gatherer.rendering.demux import Watermarks, by_process
from gatherer.rendering.pipeline import Rendering
from gatherer.rendering.progress import (
    Drop,
    Loss,
    Progress,
    ReportedProgress,
    Reporter,
    failure_report,
)
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.rendering.worker import Orders, Renderings, serve
from gatherer.storage.logs import LogDirectory
from gatherer.target.values import Target
from hg_shared.batch import Batch
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Hello, TracedProcess
from hg_shared.records import HEAD, encode_capture, iter_records
from hg_shared.wire import Content
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
    assert (target.accounts.damage.places, target.accounts.missing) == (1, 2)
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
    monkeypatch.setattr(pipeline, "MAX_PROCESSES", 3)
    frames = stream(HELLO, *(process(n, 100 + n) for n in range(1, 5)))
    with pytest.raises(StreamError, match="declares more than 3 processes"):
        rendering(tmp_path).receive_data(b"".join(frames))


def test_undeclared_processes_cost_no_memory(tmp_path: Path) -> None:
    target = rendering(tmp_path)
    heads = b"".join(head(n, 1000 + n) for n in range(500))
    target.receive_data(b"".join(stream(HELLO, Batch(0, 0, 1, heads, b""))))
    assert target.accounts.undeclared == 500
    assert target.accounts.processes == {}


def reports(data: bytes) -> dict[int, ReportedProgress]:
    """What gatherer knows of each spool after some reports."""
    reported: dict[int, ReportedProgress] = {}
    for line in data.splitlines():
        report = json.loads(line)
        reported.setdefault(report["spool"], ReportedProgress()).apply(report)
    return reported


def spool_in(directory: Path, *contents: Content) -> tuple[Path, int]:
    """Makes a capture directory with a spool in it; returns the spool and its size."""
    directory.mkdir()
    data = b"".join(stream(*contents))
    (directory / "spool").write_bytes(data)
    return directory / "spool", len(data)


def open_order(number: int, spool: Path) -> tuple[str, int, str]:
    return ("open", number, json.dumps(str(spool)))


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Takes the reports."""
    return tmp_path / "said"


@pytest.fixture
def renderings(said: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Renderings]:
    """The spools of a renderer that reports at every chance."""
    monkeypatch.setattr(worker, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(worker, "CHUNK", 100)
    with said.open("wb") as file:
        yield Renderings(lambda spool, _: rendering(spool.parent), file.fileno())


def test_a_spool_is_rendered_to_its_end_and_reported(
    tmp_path: Path, renderings: Renderings, said: Path
) -> None:
    spool, size = spool_in(tmp_path / "a", HELLO, process(), *(batch(n * 9, 9) for n in range(40)))
    for order in (open_order(1, spool), ("to", 1, str(size)), ("end", 1, "")):
        renderings.carry_out(*order)
    while renderings.timeout == 0.0:
        renderings.work()
    log = spool.parent / "leak-4711.log"
    assert [int(line.split()[1]) for line in log.read_text().splitlines()] == list(range(360))
    data = said.read_bytes()
    assert len(data.splitlines()) > 10
    reported = reports(data)[1]
    assert (reported.done, reported.closed, reported.offset) == (True, True, size)
    progress = reported.progress()
    assert progress.accounts.processes[1].received == 360
    assert progress.written == log.stat().st_size


def test_spools_are_rendered_in_turn(tmp_path: Path, renderings: Renderings, said: Path) -> None:
    sizes = {}
    for number, count in ((1, 200), (2, 3)):
        contents = (batch(n * 9, 9) for n in range(count))
        spool, sizes[number] = spool_in(tmp_path / str(number), HELLO, process(), *contents)
        renderings.carry_out(*open_order(number, spool))
        renderings.carry_out("to", number, str(sizes[number]))
        renderings.carry_out("end", number, "")
    renderings.work()
    while not reports(said.read_bytes())[2].done:
        renderings.work()
    first = reports(said.read_bytes())[1]
    assert not first.done
    assert 0 < first.offset < sizes[1] // 2


def test_a_spool_that_nobody_wants_stops_where_it_is(
    tmp_path: Path, renderings: Renderings, said: Path
) -> None:
    spool, size = spool_in(tmp_path / "a", HELLO, process(), batch(0, 50))
    renderings.carry_out(*open_order(1, spool))
    renderings.carry_out("to", 1, str(size))
    renderings.work()
    renderings.carry_out("close", 1, "")
    assert renderings.timeout is None
    renderings.carry_out("to", 1, str(size))
    renderings.work()
    reported = reports(said.read_bytes())[1]
    assert (reported.done, reported.closed) == (False, True)


def test_an_error_ends_its_own_spool_alone(
    tmp_path: Path, renderings: Renderings, said: Path
) -> None:
    spool, size = spool_in(tmp_path / "whole", HELLO, process(), batch(0, 5))
    short, _ = spool_in(tmp_path / "short", HELLO)
    for number, path in ((1, spool), (2, short), (3, tmp_path / "none" / "spool")):
        renderings.carry_out(*open_order(number, path))
        renderings.carry_out("to", number, str(size))
        renderings.carry_out("end", number, "")
    while renderings.timeout == 0.0:
        renderings.work()
    found = {}
    for line in said.read_bytes().splitlines():
        report = json.loads(line)
        found.setdefault(report["spool"], []).append(report)
    assert found[1][-1]["done"] is True
    assert "the spool ends after" in found[2][-1]["error"][1]
    assert "cannot read" in found[3][-1]["error"][1]


def test_orders_may_be_cut_anywhere() -> None:
    data = b'open 7 "/a \\u00e9"\nto 7 20\nto 12 300\nend 7\nclose 12\n'
    expected = [
        ("open", 7, '"/a \\u00e9"'),
        ("to", 7, "20"),
        ("to", 12, "300"),
        ("end", 7, ""),
        ("close", 12, ""),
    ]
    for cut in range(len(data)):
        reading, writing = os.pipe()
        orders = Orders(reading)
        os.write(writing, data[:cut])
        got = orders.read(0) if cut else []
        os.write(writing, data[cut:])
        os.close(writing)
        got += orders.read(0)
        assert (got, orders.ended) == (expected, False)
        assert orders.read(0) == []
        assert orders.ended
        os.close(reading)


def test_without_orders_it_ends_and_leaves_the_rest(
    tmp_path: Path, renderings: Renderings, said: Path
) -> None:
    spool, size = spool_in(tmp_path / "a", HELLO, process(), batch(0, 50))
    reading, writing = os.pipe()
    os.write(writing, f"open 1 {json.dumps(str(spool))}\nto 1 {size}\n".encode())
    os.close(writing)
    serve(Orders(reading), renderings)
    os.close(reading)
    assert not reports(said.read_bytes())[1].done


def test_reports_add_up_and_tell_losses_once() -> None:
    accounts = Accounts()
    accounts.received(1, 5)
    accounts.lost(2, 7)
    accounts.bytes = 440
    first = Progress(10, accounts, (Loss(1, 2, 7),), (), 99)
    accounts.received(1, 1)
    second = Progress(20, accounts, (), (Drop(3, 1, 4),), 120)
    reporter, reported = Reporter(4), ReportedProgress()
    reported.apply(json.loads(reporter.report(first)))
    line = reporter.report(second, done=True)
    assert (json.loads(line)["spool"], json.loads(line)["processes"]) == (4, [])
    accounts.received(1, 2)
    assert json.loads(reporter.report(second))["processes"] == [[1, 8, 0]]
    reported.apply(json.loads(line))
    assert reported.done
    assert reported.progress() == Progress(20, reported.progress().accounts, (Loss(1, 2, 7),),
                                           (Drop(3, 1, 4),), 120)  # fmt: skip
    assert reported.progress().losses == ()
    assert reported.progress().accounts.processes[2].lost == 7


def test_an_error_comes_over_the_pipe_as_it_was() -> None:
    error = LogWriteError("cannot write x: No space left on device", "free some space")
    with pytest.raises(LogWriteError) as caught:
        ReportedProgress().apply(json.loads(failure_report(1, error, "Traceback of it")))
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
    assert note.startswith("4711 40 ")
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
    document.processes.declare(process())
    [entry] = document.as_json()["processes"]
    assert set(entry) == {
        "pid", "start_time", "instance", "command", "cmdline", "log", "attached", "ended",
        "end_reason", "records", "lost", "dropped_lines", "peak_rss_bytes", "mmap_lock_ms",
        "tracing", "engine",
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
    entry = document.processes.declare(huge)
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
