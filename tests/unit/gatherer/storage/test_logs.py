from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import LogWriteError
from gatherer.storage.logs import LogDirectory, LogNames, ResumedLogs, write_all


@given(st.text(max_size=300), st.integers(0, 1 << 22))
def test_no_name_leaves_the_directory(command: str, pid: int) -> None:
    name = LogNames().assign(pid, 1, command)
    assert name.endswith(f"-{pid}.log")
    assert len(name) < 100
    assert all(c.isascii() and (c.isalnum() or c in "._-") for c in name)
    assert name[0] not in ".-"


def test_names_of_the_contract() -> None:
    names = LogNames()
    assert names.assign(7, 1, "nginx: worker") == "nginx__worker-7.log"
    assert names.assign(8, 1, "") == "_-8.log"
    assert names.assign(9, 1, "../x") == "_.._x-9.log"
    assert names.assign(10, 1, "-rf") == "_-rf-10.log"
    assert names.assign(11, 1, "..") == "_..-11.log"


def test_the_same_process_keeps_its_name_and_another_one_gets_its_own() -> None:
    names = LogNames()
    assert names.assign(7, 1, "a") == "a-7.log"
    assert names.assign(7, 1, "renamed") == "a-7.log"
    assert names.assign(7, 2, "a") == "a-7.2.log"
    assert names.assign(7, 3, "a") == "a-7.3.log"
    assert names.assign(7, 4, "b") == "b-7.log"


def test_appends_are_seen_at_once(tmp_path: Path) -> None:
    logs = LogDirectory(tmp_path)
    logs.append("a-1.log", b"")
    assert (tmp_path / "a-1.log").read_bytes() == b""
    logs.append("a-1.log", b"one\n")
    logs.append("a-1.log", b"two\n")
    assert (tmp_path / "a-1.log").read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "a-1.log").stat().st_mode) == 0o600
    assert logs.written == 8


@given(st.integers(0, 30), st.lists(st.integers(0, 9), max_size=9))
def test_what_is_resumed_is_not_written_twice(cut: int, sizes: list[int]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "a-1.log"
        whole = bytes(range(sum(sizes)))
        path.write_bytes(whole[:cut])
        logs = ResumedLogs(Path(directory))
        at = 0
        for size in sizes:
            logs.append("a-1.log", whole[at : at + size])
            at += size
        assert path.read_bytes() == whole
        assert logs.written == len(whole)
        logs.append("new-2.log", b"x\n")
        assert (Path(directory) / "new-2.log").read_bytes() == b"x\n"


def test_a_link_that_somebody_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a-1.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LogWriteError):
        LogDirectory(tmp_path).append("a-1.log", b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_told_with_its_remedy(tmp_path: Path) -> None:
    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    logs = LogDirectory(tmp_path, write=full)
    with pytest.raises(LogWriteError, match="No space left on device; free some space") as caught:
        logs.append("a-1.log", b"x\n")
    assert caught.value.exit_code == 1
    assert str(tmp_path / "a-1.log") in str(caught.value)


def test_a_directory_that_was_removed_is_noticed(tmp_path: Path) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    logs = LogDirectory(directory)
    logs.append("a-1.log", b"x\n")
    (directory / "a-1.log").unlink()
    directory.rmdir()
    with pytest.raises(LogWriteError, match="the directory was removed under the capture"):
        logs.append("a-1.log", b"y\n")


def test_short_writes_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = bytearray()

    def write(_descriptor: int, data: memoryview) -> int:
        taken.extend(data[:3])
        return len(data[:3])

    monkeypatch.setattr(os, "write", write)
    write_all(99, b"0123456789")
    assert bytes(taken) == b"0123456789"


def test_a_log_does_not_end_in_a_part_of_a_line(tmp_path: Path) -> None:
    def full(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    LogDirectory(tmp_path).append("a-1.log", b"first\n")
    with pytest.raises(LogWriteError):
        LogDirectory(tmp_path, write=full).append("a-1.log", b"second\n")
    assert (tmp_path / "a-1.log").read_bytes() == b"first\n"
