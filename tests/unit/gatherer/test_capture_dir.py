from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from gatherer.capture_dir import CaptureDirectory
from gatherer.errors import LogWriteError, OutputUnusable
from gatherer.output_directory import OutputDirectory, json_line, target_directory


def open_and_close(path: Path) -> CaptureDirectory:
    directory = CaptureDirectory(path)
    directory.close()
    return directory


def test_a_second_capture_moves_what_the_first_left(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    first = CaptureDirectory(path)
    first.write_session({"started": "2026-11-21T10:45:01.123456Z"})
    (path / "leak-7.log").write_text("lines\n")
    (path / "leak-7.2.log").write_text("lines\n")
    (path / "records.hgs.partial").write_bytes(b"HG")
    (path / "agents").mkdir()
    (path / "notes.txt").write_text("of the user")
    (path / "my.log").write_text("of the user too")
    first.close()
    second = open_and_close(path)
    place = path / "previous" / "20261121T104501Z"
    assert second.moved_to == place
    assert {entry.name for entry in place.iterdir()} == {
        "session.json", "events.jsonl", "memory.jsonl", "leak-7.log", "leak-7.2.log",
        "records.hgs.partial", "agents",
    }  # fmt: skip
    assert {entry.name for entry in path.iterdir()} == {
        "events.jsonl", "memory.jsonl", "notes.txt", "my.log", "previous"
    }  # fmt: skip
    assert (path / "events.jsonl").read_bytes() == b""


def test_captures_of_the_same_second_do_not_collide(tmp_path: Path) -> None:
    for _ in range(3):
        directory = CaptureDirectory(tmp_path)
        directory.write_session({"started": "2026-11-21T10:45:01Z"})
        directory.close()
    assert {entry.name for entry in (tmp_path / "previous").iterdir()} == {
        "20261121T104501Z", "20261121T104501Z.2"
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"started": 5}', '{"started": "../../x"}', "9" * 9]
)
def test_a_damaged_session_file_is_dated_by_its_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "session.json").write_text(text)
    os.utime(tmp_path / "session.json", ns=(0, 1_790_000_000 * 10**9))
    moved = open_and_close(tmp_path).moved_to
    assert moved == tmp_path / "previous" / "20260921T141320Z"


def test_a_capture_in_use_is_refused(tmp_path: Path) -> None:
    first = CaptureDirectory(tmp_path)
    first.write_session({"started": "2026-11-21T10:45:01Z"})
    with pytest.raises(OutputUnusable, match="another capture is writing to") as caught:
        CaptureDirectory(tmp_path)
    assert caught.value.exit_code == 3
    assert (tmp_path / "session.json").exists()
    first.close()
    open_and_close(tmp_path)


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/none")):
        with pytest.raises(OutputUnusable, match="give a directory that can be written with -o"):
            CaptureDirectory(path)


def test_session_json_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = CaptureDirectory(tmp_path)
    directory.write_session({"a": 1})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gatherer.output_directory.write_all", fail)
        with pytest.raises(LogWriteError, match="free some space"):
            directory.write_session({"a": 2})
    assert json.loads((tmp_path / "session.json").read_text()) == {"a": 1}
    assert not (tmp_path / "session.json.partial").exists()
    directory.close()


def test_lines_start_with_their_time_and_cannot_be_spoofed(tmp_path: Path) -> None:
    directory = CaptureDirectory(tmp_path)
    directory.append_event("T", "exec", 7, {"command": "a\nb\x1b", "time": "lie", "pid": 1})
    directory.append_event("T", "oom", None, {"kills": 1})
    directory.append_memory("T", 7, {"rss_bytes": 5})
    directory.append_memory("T", None, {"usage_bytes": 9})
    directory.append_own_memory("T", {"pss_bytes": 3})
    directory.close()
    events = (tmp_path / "events.jsonl").read_text()
    assert events == (
        '{"time":"T","event":"exec","pid":7,"command":"a\\nb\\u001b"}\n'
        '{"time":"T","event":"oom","kills":1}\n'
    )
    assert (tmp_path / "memory.jsonl").read_text() == (
        '{"time":"T","pid":7,"rss_bytes":5}\n{"time":"T","container":{"usage_bytes":9}}\n'
        '{"time":"T","hunter":{"pss_bytes":3}}\n'
    )


def test_json_lines_hold_only_json() -> None:
    deep: object = "x"
    for _ in range(900):
        deep = [deep]
    line = json_line({"nan": math.nan, "inf": [math.inf], "deep": deep, "lone": "\ud800"})
    value = json.loads(line)
    assert (value["nan"], value["inf"], value["lone"]) == (None, [None], "\ud800")
    assert line.isascii()


def earlier_fleet(path: Path) -> None:
    """Leaves what a capture of two targets leaves."""
    path.mkdir()
    (path / "targets.json").write_text('{"started": "2026-11-21T10:45:01.000000Z"}')
    for name in ("default_web-1_main", "default_web-2_main"):
        (path / name).mkdir()
        (path / name / "session.json").write_text("{}")
    # What only looks like one stays, and so does what people put there.
    (path / "my_own_notes").mkdir()
    (path / "notes.txt").write_text("")


@pytest.mark.parametrize("opened", [CaptureDirectory, OutputDirectory])
def test_the_directories_of_many_targets_are_moved_with_their_list(
    tmp_path: Path, opened: type[OutputDirectory]
) -> None:
    path = tmp_path / "strace-logs"
    earlier_fleet(path)
    directory = opened(path)
    directory.close()
    assert directory.moved_to == path / "previous" / "20261121T104501Z"
    assert {entry.name for entry in directory.moved_to.iterdir()} == {
        "targets.json", "default_web-1_main", "default_web-2_main"
    }  # fmt: skip
    assert {"my_own_notes", "notes.txt", "previous"} <= {entry.name for entry in path.iterdir()}


def test_a_target_that_is_captured_meanwhile_is_not_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "strace-logs"
    earlier_fleet(path)
    alone = CaptureDirectory(path / "default_web-2_main")
    with pytest.raises(OutputUnusable, match=r"another capture is writing to .*web-2_main"):
        OutputDirectory(path)
    alone.close()
    OutputDirectory(path).close()


def test_directories_of_targets_have_names_that_fit() -> None:
    assert target_directory("default", "web-1", "main") == "default_web-1_main"
    long = [target_directory("n" * 63, "p" * 252 + last, "c" * 63) for last in "ab"]
    assert {len(name) for name in long} == {255}
    assert len(set(long)) == 2
