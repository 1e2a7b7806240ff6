from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from gatherer.errors import LogWriteError, OutputUnusable
from gatherer.storage.capture_directory import CaptureDirectory, TargetDirectory
from gatherer.storage.output_directory import OutputDirectory
from gatherer.target.values import target_directory
from gatherer.text import json_line

STARTED = "2026-11-21T10:45:01.123456Z"


def session_of(*logs: str, **more: object) -> dict[str, object]:
    """Returns what session.json of a capture says, as far as it matters here."""
    return {
        "schema": 1, "started": STARTED, "options": {}, "gatherer": {}, "hunter": {},
        "processes": [{"pid": 7, "log": log} for log in logs], "exit_code": 0, **more,
    }  # fmt: skip


def begun(path: Path) -> CaptureDirectory:
    directory = CaptureDirectory(path)
    directory.begin()
    directory.prepare()
    return directory


def open_and_close(path: Path) -> CaptureDirectory:
    directory = begun(path)
    directory.close()
    return directory


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


async def test_a_second_capture_moves_what_the_first_left(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    first = begun(path)
    first.write_session(session_of("leak-7.log", "leak-7.2.log"))
    (path / "leak-7.log").write_text("lines\n")
    (path / "leak-7.2.log").write_text("lines\n")
    (path / "records.hgs.partial").write_bytes(b"HG")
    await first.write_agent_file("a.prom", b"")
    (path / "notes.txt").write_text("of the user")
    (path / "my.log").write_text("of the user too")
    first.close()
    second = open_and_close(path)
    place = path / "previous" / "20261121T104501Z"
    assert second.moved_to == place
    assert names(place) == {
        "session.json", "events.jsonl", "memory.jsonl", "leak-7.log", "leak-7.2.log",
        "records.hgs.partial", "agents",
    }  # fmt: skip
    assert names(path) == {"events.jsonl", "memory.jsonl", "notes.txt", "my.log", "previous"}
    assert (path / "events.jsonl").read_bytes() == b""


async def test_nothing_is_moved_or_left_until_the_capture_begins(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "there"
    directory = CaptureDirectory(path)
    assert names(path) == set()
    directory.close()
    directory.close()
    assert names(tmp_path) == set()
    directory = begun(path)
    directory.write_session(session_of())
    directory.close()
    waiting = CaptureDirectory(path)
    await waiting.write_agent_file("a.prom", b"early")
    waiting.close()
    assert names(path) == {"session.json", "events.jsonl", "memory.jsonl"}
    later = CaptureDirectory(path)
    await later.write_agent_file("a.prom", b"early")
    later.begin()
    later.begin()
    later.prepare()
    later.close()
    assert (path / "agents" / "a.prom").read_bytes() == b"early"
    assert names(path / "previous") == {"20261121T104501Z"}


def test_a_directory_that_is_used_meanwhile_stays(tmp_path: Path) -> None:
    directory = CaptureDirectory(tmp_path / "new")
    (tmp_path / "new" / "file").write_text("of the user")
    directory.close()
    assert names(tmp_path / "new") == {"file"}


def test_captures_of_the_same_second_do_not_collide(tmp_path: Path) -> None:
    for _ in range(3):
        directory = begun(tmp_path)
        directory.write_session(session_of())
        directory.close()
    assert names(tmp_path / "previous") == {"20261121T104501Z", "20261121T104501Z.2"}


@pytest.mark.parametrize("started", [5, None, "../../x", "9" * 9, []])
def test_a_capture_without_a_time_is_dated_by_its_files(tmp_path: Path, started: object) -> None:
    (tmp_path / "session.json").write_text(json.dumps(session_of(started=started)))
    os.utime(tmp_path / "session.json", ns=(0, 1_790_000_000 * 10**9))
    moved = open_and_close(tmp_path).moved_to
    assert moved == tmp_path / "previous" / "20260921T141320Z"


FOREIGN = (
    "session.json", "events.jsonl", "memory.jsonl", "metrics.jsonl", "targets.json", "agents",
    "records.hgs", "records.hgs.partial", "records.restart3.hgs", "session.json.partial",
    "server-17.log", "a-1.restart2.log", "-rf-3.2.log",
)  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '{"name": "my session"}'])
def test_what_somebody_else_left_is_named_and_stays(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "report.txt").write_text("precious")
    with pytest.raises(OutputUnusable) as caught:
        CaptureDirectory(tmp_path)
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        f"{tmp_path / name} is not of a capture, which would use its name;"
        " give another directory with -o, or move it away"
    )
    assert names(tmp_path) == {name, "report.txt"}
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize("name", ["server-17.log", "leak-8.log", "targets.json"])
def test_a_file_beside_a_capture_that_does_not_list_it_is_somebody_elses(
    tmp_path: Path, name: str
) -> None:
    directory = begun(tmp_path)
    directory.write_session(session_of("leak-7.log"))
    directory.close()
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputUnusable, match=f"{name} is not of a capture"):
        CaptureDirectory(tmp_path)
    assert names(tmp_path) == {"session.json", "events.jsonl", "memory.jsonl", name}


@pytest.mark.parametrize("name", ["session.json", "events.jsonl", "leak-7.log", "agents"])
def test_links_and_pipes_are_of_no_capture(tmp_path: Path, name: str) -> None:
    path, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "session.json").write_text(json.dumps(session_of("leak-7.log")))
    path.mkdir()
    if name != "session.json":
        (path / "session.json").write_text(json.dumps(session_of("leak-7.log")))
    (path / name).symlink_to(elsewhere if name == "agents" else elsewhere / "session.json")
    with pytest.raises(OutputUnusable, match=f"{name} is not of a capture"):
        CaptureDirectory(path)
    (path / name).unlink()
    os.mkfifo(path / name)
    with pytest.raises(OutputUnusable, match=f"{name} is not of a capture"):
        CaptureDirectory(path)


def test_logs_of_a_capture_that_was_killed_are_known_by_its_events(tmp_path: Path) -> None:
    directory = begun(tmp_path)
    directory.write_session(session_of(exit_code=None))
    directory.append_event("T", "attach", 9, {})
    directory.append_event("T", "exit", 10, {"event": '"event":"attach"'})
    directory.close()
    (tmp_path / "late-9.log").write_text("")
    directory = begun(tmp_path)
    assert "late-9.log" in names(tmp_path / "previous" / "20261121T104501Z")
    directory.write_session(session_of(exit_code=None))
    directory.close()
    (tmp_path / "late-10.log").write_text("")
    with pytest.raises(OutputUnusable, match=r"late-10\.log is not of a capture"):
        CaptureDirectory(tmp_path)


def test_captures_in_other_directories_stay_where_they_are(tmp_path: Path) -> None:
    for name in ("a", "previous", "default_web-1_main"):
        nested = begun(tmp_path / name)
        nested.write_session(session_of())
        nested.close()
    assert open_and_close(tmp_path).moved_to is None
    for name in ("a", "previous", "default_web-1_main"):
        assert (tmp_path / name / "session.json").exists()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_previous_is_a_directory_or_an_error(tmp_path: Path, kind: str) -> None:
    path, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    elsewhere.mkdir()
    directory = begun(path)
    directory.write_session(session_of())
    directory.close()
    if kind == "link":
        (path / "previous").symlink_to(elsewhere)
    else:
        (path / "previous").write_text("")
    words = {"link": "a symbolic link, which is not followed", "file": "no directory"}[kind]
    with pytest.raises(OutputUnusable, match=f"previous is {words}.*; remove it, or give another"):
        CaptureDirectory(path)
    assert names(elsewhere) == set()
    assert (path / "session.json").exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_directory_to_which_everybody_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(OutputUnusable) as caught:
        CaptureDirectory(path)
    assert str(caught.value) == (
        f"everybody may write to {path} (mode {mode:04o}), and could replace what is captured;"
        f" give a directory of your own with -o, such as {path}/strace-logs"
    )
    assert names(path) == set()
    open_and_close(path / "strace-logs")


def test_a_directory_to_which_a_group_may_write_is_warned_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o770)
    directory = CaptureDirectory(tmp_path)
    assert directory.warning == (
        f"others of group {os.getgid()} may write to {tmp_path} (mode 0770), and could replace"
        " what is captured"
    )
    directory.close()
    tmp_path.chmod(0o755)
    directory = CaptureDirectory(tmp_path)
    assert directory.warning == ""
    directory.close()


@pytest.mark.parametrize("user", ["", "somebody", "9" * 30])
def test_any_value_of_sudo_uid_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("SUDO_UID", user)
    open_and_close(tmp_path / "own")


@pytest.mark.parametrize("log", [["leak-7.log"], {"a": 1}, 7, None])
def test_a_session_of_which_a_log_is_no_name_lists_none(tmp_path: Path, log: object) -> None:
    document = session_of()
    document["processes"] = [{"pid": 7, "log": log}]
    (tmp_path / "session.json").write_text(json.dumps(document))
    (tmp_path / "leak-7.log").write_text("mine")
    with pytest.raises(OutputUnusable, match=r"leak-7\.log is not of a capture"):
        CaptureDirectory(tmp_path)


def test_a_capture_in_use_is_refused(tmp_path: Path) -> None:
    first = begun(tmp_path)
    first.write_session(session_of())
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
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path / "file", tmp_path / "link"):
        with pytest.raises(OutputUnusable, match="a part of it is a file, or a link to nothing;"):
            CaptureDirectory(path)


def test_session_json_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = begun(tmp_path)
    directory.write_session({"a": 1})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gatherer.storage.output_directory.write_all", fail)
        with pytest.raises(LogWriteError, match="free some space"):
            directory.write_session({"a": 2})
    assert json.loads((tmp_path / "session.json").read_text()) == {"a": 1}
    assert not (tmp_path / "session.json.partial").exists()
    directory.close()


def test_lines_start_with_their_time_and_cannot_be_spoofed(tmp_path: Path) -> None:
    directory = begun(tmp_path)
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
    listed = {"schema": 1, "started": STARTED, "options": {}, "targets": [], "records": {}}
    (path / "targets.json").write_text(json.dumps(listed))
    for name in ("default_web-1_main", "default_web-2_main"):
        (path / name).mkdir()
        (path / name / "session.json").write_text(json.dumps(session_of()))
    # What only looks like one stays, and so does what people put there.
    (path / "my_own_notes").mkdir()
    (path / "notes.txt").write_text("")
    (path / "default_web-2_main" / "notes.txt").write_text("")


@pytest.mark.parametrize("opened", [CaptureDirectory, OutputDirectory])
def test_the_directories_of_many_targets_are_moved_with_their_list(
    tmp_path: Path, opened: type[OutputDirectory]
) -> None:
    path = tmp_path / "strace-logs"
    earlier_fleet(path)
    directory = opened(path)
    directory.begin()
    directory.close()
    assert directory.moved_to == path / "previous" / "20261121T104501Z"
    assert names(directory.moved_to) == {
        "targets.json", "default_web-1_main", "default_web-2_main"
    }  # fmt: skip
    assert names(directory.moved_to / "default_web-2_main") == {"session.json"}
    left = {"my_own_notes", "notes.txt", "previous", "default_web-2_main"}
    assert left <= names(path)
    assert "default_web-1_main" not in names(path)
    assert names(path / "default_web-2_main") == {"notes.txt"}


def test_the_directory_of_a_target_begins_with_that_of_all(tmp_path: Path) -> None:
    path = tmp_path / "strace-logs"
    earlier_fleet(path)
    above = OutputDirectory(path)
    first, never = (
        TargetDirectory(path / name, above) for name in ("default_web-1_main", "default_web-3_main")
    )
    assert above.moved_to is None
    first.begin()
    first.write_session(session_of())
    first.prepare()
    assert above.moved_to == path / "previous" / "20261121T104501Z"
    assert first.moved_to is None
    with pytest.raises(OutputUnusable, match="another capture is writing to"):
        CaptureDirectory(path / "default_web-1_main")
    for directory in (first, never, above):
        directory.close()
    assert names(path / "default_web-1_main") == {"session.json", "events.jsonl", "memory.jsonl"}
    assert not (path / "default_web-3_main").exists()


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
