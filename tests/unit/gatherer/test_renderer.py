from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatherer import renderer
from gatherer.demux import Watermarks, by_process
from gatherer.errors import LogWriteError, StreamError
from gatherer.logs import LogDirectory
from gatherer.render.lines import ProcessLines
from gatherer.renderer import Rendering, RenderWorker
from gatherer.runtimes import Target
from gatherer.session_document import SessionDocument
from hg_shared.batch import Batch
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Hello, TracedProcess
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
    return Rendering(LogDirectory(path), NumberedLines)


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

    target = Rendering(LogDirectory(tmp_path), lines)
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


def test_the_worker_reads_the_spool_as_it_grows(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    logs = tmp_path / "logs"
    logs.mkdir()
    data = b"".join(stream(HELLO, process(), *(batch(n * 9, 9) for n in range(40))))
    spool.write_bytes(data)
    worker = RenderWorker(spool, Rendering(LogDirectory(logs), NumberedLines), LogDirectory(logs))
    worker.start()
    worker.notify(len(data) // 2)
    worker.notify(len(data))
    worker.finish()
    worker.done.result(10)
    assert worker.offset == len(data)
    lines = (logs / "leak-4711.log").read_text().splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(360))
    assert worker.progress().accounts.processes[1].received == 360


def test_the_worker_tells_what_stopped_it(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"".join(stream(HELLO, process(), event("attach"))))
    logs = LogDirectory(tmp_path / "missing")
    worker = RenderWorker(spool, Rendering(logs, NumberedLines), logs)
    worker.start()
    worker.notify(spool.stat().st_size)
    with pytest.raises(LogWriteError):
        worker.done.result(10)


def test_an_aborted_worker_ends(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"")
    logs = LogDirectory(tmp_path)
    worker = RenderWorker(spool, Rendering(logs, NumberedLines), logs)
    worker.start()
    worker.abort()
    assert worker.done.result(10) is None


def test_demux_keeps_order_and_skips_what_came_before() -> None:
    mixed = Batch(0, 0, 0, b"".join(head(n, 1 + n % 2) for n in range(6)), b"")
    split = by_process(mixed, skip=2)
    starts = {o: [(r.start - 1001 * SECOND) // 1000 for r in rs] for o, rs in split.items()}
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
        "records", "lost", "peak_rss_bytes",
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
