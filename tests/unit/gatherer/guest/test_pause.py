from __future__ import annotations

import io
import os
from typing import Iterator

import pytest

from gatherer.guest import pause

ME = str(os.getpid())


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files a guest can read, by path."""
    there: dict[str, str] = {}

    def look(path: str) -> io.StringIO:
        if path not in there:
            raise FileNotFoundError(2, "No such file or directory", path)
        return io.StringIO(there[path])

    monkeypatch.setattr(pause, "open", look, raising=False)
    monkeypatch.setattr(os, "listdir", lambda _path: [p.split("/")[2] for p in there])
    return there


@pytest.mark.parametrize(
    ("listed", "others"), [(ME, False), (f"{ME}\n0", False), (f"{ME}\n77", True)]
)
def test_the_cgroup_lists_the_processes_of_the_container(
    files: dict[str, str], listed: str, others: bool
) -> None:
    files["/sys/fs/cgroup/pids/cgroup.procs"] = listed
    assert pause.accompanied() == others


def test_without_such_a_list_the_cgroups_of_all_processes_are_compared(
    files: dict[str, str],
) -> None:
    files[f"/proc/{ME}/cgroup"] = "0::/one\n"
    files["/proc/77/cgroup"] = "0::/another\n"
    assert not pause.accompanied()
    files["/proc/78/cgroup"] = "0::/one\n"
    assert pause.accompanied()


class Clock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now


def waits(monkeypatch: pytest.MonkeyPatch, seen: Iterator[bool]) -> float:
    """Returns for how many seconds the guest waits."""
    clock = Clock()
    monkeypatch.setattr(pause, "time", clock)
    monkeypatch.setattr(pause, "accompanied", lambda: next(seen))
    pause.main()
    return clock.now


def test_it_ends_when_hunter_has_come_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([False, False, True, True, False, True] + [False] * pause.LAST_LOOKS)
    assert waits(monkeypatch, seen) == pause.TICK * (2 + 3 + pause.LAST_LOOKS)


def test_it_ends_when_no_hunter_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits(monkeypatch, iter([False] * 1000)) == pause.FIRST_SECONDS + pause.TICK
