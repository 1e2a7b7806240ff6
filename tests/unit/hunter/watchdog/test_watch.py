"""What the watchdog reads of a thread, from files that are values."""

import pytest

from hunter.watchdog import watch
from hunter.watchdog.stuck import ThreadStatus


@pytest.fixture
def files(monkeypatch):
    """Files by path; every other one is missing."""
    held = {}

    def read_bytes(path):
        if path not in held:
            raise FileNotFoundError(path)
        return held[path]

    monkeypatch.setattr(watch.procfs, "read_bytes", read_bytes)
    return held


def stat(state, code):
    fields = [state, *["0"] * 48, str(code), "0"]
    return f"101 (a (b) c) {' '.join(fields)}\n".encode()


STATUS = b"""Name:\ta (b) c
TracerPid:\t9
SigPnd:\t0000000000000001
ShdPnd:\t0000000000020000
SigCgt:\t0000000000080000
"""


def test_a_thread_that_runs_is_told_by_one_file(files):
    files["/proc/100/task/101/stat"] = stat("S", 0)
    assert watch.read_thread(100, 101) == ThreadStatus("S")


def test_of_a_ptrace_stop_tracer_and_signals_are_read(files):
    files["/proc/100/task/101/stat"] = stat("t", 0x8013)
    files["/proc/100/task/101/status"] = STATUS
    assert watch.read_thread(100, 101) == ThreadStatus("t", 0x8013, 9, 0x20001, 0x80000)


@pytest.mark.parametrize("text", [b"", b"101 (x)", b"101 (x) t", b"101 (x) t " + b"0 " * 48 + b"x"])
def test_what_cannot_be_read_is_a_thread_that_is_gone(files, text):
    assert watch.read_thread(100, 101) is None
    files["/proc/100/task/101/stat"] = text
    assert watch.read_thread(100, 101) is None


def test_of_one_that_has_ended_the_tracer_is_read(files):
    files["/proc/100/task/100/stat"] = stat("Z", 0)
    files["/proc/100/task/100/status"] = b"State:\tZ (zombie)\nTracerPid:\t9\n"
    assert watch.read_thread(100, 100) == ThreadStatus("Z", 0, 9)


def test_a_thread_that_ends_between_two_files_is_gone(files):
    files["/proc/100/task/101/stat"] = stat("t", 5)
    assert watch.read_thread(100, 101) is None
