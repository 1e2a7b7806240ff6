from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from gatherer.commands.render import run_render
from gatherer.config import LinesConfig
from gatherer.errors import ConfigError, OutputUnusable, StreamError
from gatherer.rendering.pipeline import Rendering, lines_factory
from gatherer.rendering.stored_stream import find
from gatherer.storage.logs import LogDirectory
from hg_shared.batch import Batch
from hg_shared.messages import Goodbye
from hg_shared.records import HEAD, Kind, encode_capture
from hg_shared.syscalls import numbers
from tests.unit.gatherer.scripted import HELLO, SECOND, event, goodbye, process, stream

NR = numbers(0)


def call(
    name: str, at: int, text: bytes = b"", ordinal: int = 1, took: int = 1000
) -> tuple[bytes, bytes]:
    """Returns head and captures of a call with a string as its second argument."""
    data = encode_capture(1, 0, text, len(text)) if text else b""
    start = 1001 * SECOND + at * 1_000_000
    args = (3, 0x1000, len(text), 0, 0, 0)
    tid = 4710 + ordinal
    head = HEAD.pack(start, took, len(text), *args, tid, ordinal, NR[name], 0, 0, len(data))
    return head, data


def records(*calls: tuple[bytes, bytes], first: int = 0, watermark: int = 1002) -> Batch:
    heads, data = (b"".join(parts) for parts in zip(*calls, strict=True))
    return Batch(0, first, watermark * SECOND, heads, data)


CALLS = records(
    call("write", 1, b"x" * 100), call("getpid", 2), call("write", 3, b"short"),
    call("close", 4, took=3 * SECOND // 2),
)  # fmt: skip


def save(path: Path, *contents: Any, options: dict[str, Any] | None = None) -> Path:
    path.write_bytes(b"".join(stream(HELLO, process(), event("attach"), *contents)))
    if options is not None:
        session = {"options": options, "target": {"runtime": "local"}, "end_reason": None}
        (path.parent / "session.json").write_text(json.dumps(session))
    return path


def printed(path: Path, **changes: Any) -> list[str]:
    out = io.BytesIO()
    assert run_render(path, changes, None, out) == 0
    return out.getvalue().decode("ascii").splitlines()


def live(path: Path, config: LinesConfig, chunk: int) -> bytes:
    """Returns the log that a capture would have written, with its stream in pieces."""
    directory = path.parent / f"live-{chunk}"
    directory.mkdir()
    rendering = Rendering(LogDirectory(directory), lines_factory(config), 1 << 30)
    data = path.read_bytes()
    for at in range(0, len(data), chunk):
        rendering.receive_data(data[at : at + chunk])
    rendering.finish()
    [log] = directory.iterdir()
    return log.read_bytes()


@pytest.mark.parametrize("timestamps", ["none", "time", "unix", "relative"])
@pytest.mark.parametrize("size", [0, 32, 1000])
def test_what_is_printed_is_the_live_log(tmp_path: Path, timestamps: str, size: int) -> None:
    later = records(call("write", 3000, b"more"), first=4, watermark=1005)
    path = save(
        tmp_path / "records.hgs", CALLS, later, goodbye(5),
        options={"string_size": size, "timestamps": timestamps},
    )  # fmt: skip
    out = io.BytesIO()
    assert run_render(tmp_path, {}, None, out) == 0
    for chunk in (1, 100, 1 << 20):
        assert live(path, LinesConfig(size, timestamps), chunk) == out.getvalue()
    assert out.getvalue().count(b"\n") == 6


def test_options_narrow_what_is_printed(tmp_path: Path) -> None:
    path = save(tmp_path / "records.hgs", CALLS, goodbye(4))
    assert len(printed(path)) == 5
    assert ["getpid" in line for line in printed(path, trace_set="getpid,%file")] == [True]
    assert all("write" not in line for line in printed(path, trace_set="!write"))
    [first, _] = printed(path, trace_set="write", string_size=3, timestamps="none")
    assert first.split() == [
        "4711", "write(3,", '"xxx"...,', "100)", "=", "100", "<0.000001>"
    ]  # fmt: skip
    [first, second] = printed(path, trace_set="write", timestamps="relative")
    assert first.split()[1] == "0.000000"
    assert second.split()[1] == "0.002000"
    [first, _] = printed(path, trace_set="write", timestamps="unix")
    assert first.split()[1] == f"{HELLO.realtime_ns // SECOND + 1}.001000"


def test_signals_stay_whatever_the_set(tmp_path: Path) -> None:
    head = HEAD.pack(1001 * SECOND, 0, 0, 0, 0, 0, 0, 0, 0, 4711, 1, 15, Kind.SIGNAL, 0, 0)
    path = save(tmp_path / "records.hgs", records((head, b""), call("write", 1, b"x")), goodbye(2))
    [line] = printed(path, trace_set="none", timestamps="none")
    assert line.startswith("4711  --- SIGTERM")


def test_several_processes_are_printed_under_their_logs(tmp_path: Path) -> None:
    both = records(call("write", 1, b"a"), call("write", 2, b"b", 2))
    path = save(tmp_path / "records.hgs", process(2, 4712, "kid"), both)
    lines = printed(path)
    assert [line for line in lines if line.startswith("==>")] == [
        "==> kid-4712.log <==", "==> leak-4711.log <=="
    ]  # fmt: skip
    assert run_render(path, {}, tmp_path / "out") == 0
    assert {log.name for log in (tmp_path / "out").iterdir()} == {"kid-4712.log", "leak-4711.log"}
    with pytest.raises(ConfigError, match="there are logs in"):
        run_render(path, {}, tmp_path / "out")


def test_damage_is_said_and_the_rest_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "records.hgs", CALLS, goodbye(4))
    path.write_bytes(path.read_bytes() + b"garbage")
    out = io.BytesIO()
    assert run_render(path, {}, None, out) == 4
    assert out.getvalue().count(b"\n") == 5
    expected = f"gatherer: {path} is damaged in 1 place, first: the stream ended inside a frame"
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize("data", [b"", b"no stream", b"HG" * 100])
def test_what_is_no_stream_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "records.hgs").write_bytes(data)
    with pytest.raises(StreamError, match=r"is no record stream; give a records\.hgs"):
        run_render(tmp_path, {}, None)


def test_a_directory_without_a_stream(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it is kept by gatherer capture --raw"):
        find(tmp_path)


def test_an_unreadable_session_changes_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "records.hgs", CALLS)
    for text in ("[]", "{", '{"options": 5}', '{"options": {"string_size": "x"}}'):
        (tmp_path / "session.json").write_text(text)
        assert find(path).lines == LinesConfig()


def finish(tmp_path: Path) -> dict[str, Any]:
    assert run_render(tmp_path, {}, None) == 0
    session: dict[str, Any] = json.loads((tmp_path / "session.json").read_text())
    return session


def test_a_capture_that_was_left_early_is_finished(tmp_path: Path) -> None:
    save(tmp_path / "records.hgs.partial", CALLS, goodbye(4), options={"raw": False})
    log = tmp_path / "leak-4711.log"
    log.write_text("4711  half a lo")
    session = finish(tmp_path)
    assert len(log.read_text().splitlines()) == 5
    assert not (tmp_path / "records.hgs.partial").exists()
    assert (session["complete"], session["records"]) == (
        True, {"seen": 4, "received": 4, "lost": 0}
    )  # fmt: skip
    assert session["target"] == {"runtime": "local"}
    [entry] = session["processes"]
    assert (entry["log"], entry["records"]) == ("leak-4711.log", 4)


def test_without_a_goodbye_it_stays_incomplete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "records.hgs.partial", CALLS, options={"raw": True, "timestamps": "none"})
    session = finish(tmp_path)
    assert (session["complete"], session["exit_code"]) == (False, 4)
    assert session["end_reason"] == "the stream broke: gatherer ended before hunter did"
    why = "hunter's totals did not arrive, what it saw after the last record is not known"
    assert session["incomplete_reason"] == why
    assert f"not complete: {why}" in capsys.readouterr().err
    # What is not known is not 0, and nothing is said to have ended that may run on.
    assert session["records"] == {"seen": None, "received": 4, "lost": None}
    [entry] = session["processes"]
    assert (entry["records"], entry["lost"]) == (4, None)
    assert entry["end_reason"] == "its end is not known, hunter's last words did not arrive"
    assert entry["ended"] == session["ended"] == "2026-09-21T14:13:22.504000Z"
    log = (tmp_path / "leak-4711.log").read_text()
    assert log.endswith("+++ GAP from here on (hunter's last words did not arrive) +++\n")
    kept = printed(tmp_path / "records.hgs")
    assert kept == (tmp_path / "leak-4711.log").read_text().splitlines()


def test_losses_in_transit_are_noted_when_it_is_finished(tmp_path: Path) -> None:
    save(tmp_path / "records.hgs.partial", CALLS, goodbye(6), options={})
    session = finish(tmp_path)
    assert session["records"] == {"seen": 6, "received": 4, "lost": 2}
    last = (tmp_path / "leak-4711.log").read_text().splitlines()[-1]
    assert last.endswith("+++ LOST 2 records (lost in transit) +++")


def test_an_unfinished_capture_takes_no_options(tmp_path: Path) -> None:
    path = save(tmp_path / "records.hgs.partial", CALLS)
    for changes, output in (({"string_size": 3}, None), ({}, tmp_path / "out")):
        with pytest.raises(ConfigError, match="was not rendered to its end; finish it with"):
            run_render(tmp_path, changes, output)
    assert len(printed(path, trace_set="write")) == 3
    assert path.exists()


def test_a_running_capture_is_left_alone(tmp_path: Path) -> None:
    import fcntl
    import os

    path = save(tmp_path / "records.hgs.partial", CALLS)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(OutputUnusable, match="a capture is writing to"):
        run_render(tmp_path, {}, None)
    os.close(held)
    assert path.exists()


def test_the_log_size_limit_is_that_of_the_capture(tmp_path: Path) -> None:
    path = save(tmp_path / "records.hgs", CALLS, goodbye(4), options={"max_log_size_bytes": 200})
    assert "DROPPED" in printed(path)[-1]
    assert len(printed(path, trace_set="all")) == 5


def test_goodbye_of_another_hunter(tmp_path: Path) -> None:
    words = goodbye(4)
    assert isinstance(words, Goodbye)
    save(tmp_path / "records.hgs.partial", CALLS, goodbye(2), options={})
    session = finish(tmp_path)
    assert session["complete"] is False
    assert any("hunter says 2 seen" in note for note in session["discrepancies"])


def test_a_capture_left_early_after_a_restart_is_finished_with_what_came_before(
    tmp_path: Path,
) -> None:
    spool = tmp_path / "records.restart1.hgs.partial"
    spool.write_bytes(b"".join(stream(HELLO, process(), event("attach"), CALLS)))
    earlier = {"pid": 1, "instance": 0, "log": "leak-1.log", "records": 9, "dropped_lines": 2}
    counts = {"seen": 10, "received": 9, "lost": 1}
    former = {
        "options": {}, "end_reason": None, "processes": [earlier, {"pid": 4711, "instance": 1}],
        "instances": [{"records": counts}, {"records": {"seen": 0, "received": 0, "lost": 0}}],
    }  # fmt: skip
    (tmp_path / "session.json").write_text(json.dumps(former))
    (tmp_path / "leak-1.log").write_text("as it was\n")
    assert run_render(tmp_path, {}, None) == 0
    assert (tmp_path / "leak-1.log").read_text() == "as it was\n"
    assert len((tmp_path / "leak-4711.restart1.log").read_text().splitlines()) == 6
    document = json.loads((tmp_path / "session.json").read_text())
    assert [entry["log"] for entry in document["processes"]] == [
        "leak-1.log", "leak-4711.restart1.log"
    ]  # fmt: skip
    assert document["records"] == {"seen": None, "received": 13, "lost": None}
    assert document["lines"] == {"dropped": 2, "undecoded": 0}
    assert not spool.exists()


def test_all_targets_that_were_left_early_are_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("default_web-1_main", "default_web-2_main", "default_web-3_main", "notes"):
        (tmp_path / name).mkdir()
    save(tmp_path / "default_web-1_main" / "records.hgs.partial", CALLS, goodbye(4), options={})
    damaged = tmp_path / "default_web-2_main" / "records.hgs.partial"
    damaged.write_bytes(b"no stream at all")
    save(tmp_path / "default_web-3_main" / "records.hgs", CALLS, goodbye(4))
    save(tmp_path / "notes" / "records.hgs.partial", CALLS)
    with pytest.raises(ConfigError, match="was not rendered to its end"):
        run_render(tmp_path, {"string_size": 3}, None)
    assert run_render(tmp_path, {}, None) == 1
    assert "is no record stream" in capsys.readouterr().err
    log = tmp_path / "default_web-1_main" / "leak-4711.log"
    assert len(log.read_text().splitlines()) == 5
    assert damaged.exists()
    assert (tmp_path / "notes" / "records.hgs.partial").exists()
    damaged.unlink()
    with pytest.raises(ConfigError, match="there is no record stream"):
        run_render(tmp_path, {}, None)
