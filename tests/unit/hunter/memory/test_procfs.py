"""What is read of /proc, over recorded texts."""

from __future__ import annotations

import errno
from typing import Dict

import pytest

from hg_shared.open_files import FEW_FILES
from hunter.errors import FewFiles
from hunter.memory import procfs
from hunter.memory.smaps import parse_rollup

ROLLUP = b"""55d0c8a3c000-7ffd1a5fe000 ---p 00000000 00:00 0                          [rollup]
Rss:               10444 kB
Pss:                4967 kB
Pss_Dirty:          3596 kB
Shared_Clean:       6816 kB
Anonymous:          3596 kB
Swap:                 12 kB
SwapPss:              12 kB
Locked:                0 kB
"""
STAT = (
    b"4711 (%s) S 17 4711 17 0 -1 %d 1204 0 3 0 5 2 0 0 20 0 4 0 366727 "
    b"10485760 2611 18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n"
)


def test_rollup() -> None:
    assert parse_rollup(ROLLUP) == {
        "rss_bytes": 10444 << 10,
        "pss_bytes": 4967 << 10,
        "anon_bytes": 3596 << 10,
        "swap_bytes": 12 << 10,
    }


@pytest.mark.parametrize("text", [b"", b"Rss:\n", b"Rss: many kB\n", b"Rss: 1 2 3\n", b"\xff\n"])
def test_broken_lines_of_rollup_are_passed_over(text: bytes) -> None:
    assert parse_rollup(text) == {}


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Dict[str, bytes]:
    contents: Dict[str, bytes] = {}

    def read_bytes(path: str) -> bytes:
        try:
            return contents[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    monkeypatch.setattr(procfs, "read_bytes", read_bytes)
    return contents


@pytest.mark.parametrize(
    ("comm", "command"),
    [
        (b"sleep", "sleep"),
        (b"a) R 1 (b", "a) R 1 (b"),
        (b"", ""),
        (b" ", " "),
        (b"(((", "((("),
        (b"caf\xc3\xa9 \xff", "caf\u00e9 \\xff"),
    ],
)
def test_a_command_cannot_shift_the_fields_of_stat(
    files: Dict[str, bytes], comm: bytes, command: str
) -> None:
    files["/proc/4711/stat"] = STAT % (comm, 0x400000)
    assert procfs.stat(4711) == (command, "S", 17, 366727, False)


def test_kernel_threads_are_told_by_their_flag(files: Dict[str, bytes]) -> None:
    files["/proc/2/stat"] = STAT % (b"kthreadd", 0x208040)
    stat = procfs.stat(2)
    assert stat is not None
    assert stat.is_kernel_thread


@pytest.mark.parametrize("text", [b"", b"4711", b"4711 (x) S 1 2", b")x(" + b" 0" * 30])
def test_a_stat_that_is_cut_is_a_process_that_is_gone(files: Dict[str, bytes], text: bytes) -> None:
    files["/proc/4711/stat"] = text
    assert procfs.stat(4711) is None
    assert procfs.stat(4712) is None


def test_status_fields(files: Dict[str, bytes]) -> None:
    files["/proc/5/status"] = b"Name:\tx: y\nTracerPid:\t0\nUid:\t0\t1000\t0\t0\nbroken\n"
    assert procfs.status_fields(5) == {"Name": "x: y", "TracerPid": "0", "Uid": "0\t1000\t0\t0"}
    assert procfs.status_fields(6) == {}


def test_command_lines(files: Dict[str, bytes]) -> None:
    files["/proc/5/cmdline"] = b"/bin/x\0-a b\0\xff\n\0"
    files["/proc/6/cmdline"] = b"a" * 9000
    assert procfs.command_line(5) == ["/bin/x", "-a b", "\\xff\n"]
    assert procfs.command_line(6) == ["a" * 4096]
    assert procfs.command_line(7) == []


def test_memory_of_the_node(files: Dict[str, bytes]) -> None:
    assert procfs.node_memory() == 0
    files["/proc/meminfo"] = b"MemFree: 5 kB\nMemTotal:       24683120 kB\n"
    assert procfs.node_memory() == 24683120 << 10


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EMFILE, f"{FEW_FILES} \\d+ files; raise its limit"), (errno.ENFILE, "fs.file-max")],
)
def test_want_of_descriptors_is_no_end_of_a_process(
    monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr("os.open", full)
    monkeypatch.setattr("os.listdir", full)
    for ask in (procfs.stat, procfs.thread_ids, procfs.living_thread, procfs.command_line):
        with pytest.raises(FewFiles, match=words):
            ask(7)


def test_a_process_that_has_ended_is_no_want_of_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise OSError(errno.ENOENT, "gone")

    monkeypatch.setattr("os.open", gone)
    monkeypatch.setattr("os.listdir", gone)
    assert procfs.stat(7) is None
    assert procfs.thread_ids(7) == []
