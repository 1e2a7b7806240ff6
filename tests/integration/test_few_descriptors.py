"""More processes than hunter may open files: all are traced, or said not to be and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hg_shared.records import Kind
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
COUNT = 80
ENGINES = ("ebpf", "ptrace", "ptrace-python")


@pytest.fixture
def callers(start: Start, compiled: Callable[[str], Path]) -> Tracee:
    """A process with 80 children."""
    return start(compiled("callers"), COUNT)


def children(target: Tracee) -> list[int]:
    return [child.pid for child in psutil.Process(target.pid).children()]


def limited(soft: int | str, hard: int | str) -> tuple[str, ...]:
    """Returns what starts a program with so many descriptors."""
    return "/bin/bash", "-c", f'ulimit -S -n {soft}; ulimit -H -n {hard}; exec "$@"', "bash"


@pytest.mark.parametrize("engine_name", ENGINES)
def test_descriptors_do_not_grow_with_the_processes(
    hunt: Hunt, callers: Tracee, engine_name: str
) -> None:
    """With the ptrace engines memory is read word by word where there are too few descriptors."""
    pids = children(callers)
    options = [word for pid in pids for word in ("--pid", pid)]
    hunter = hunt(
        "--only-pids", *options, "--frequency", "0.5", "--engine", engine_name,
        prefix=limited(64, 64),
    )  # fmt: skip
    hunter.wait_for(lambda: len(hunter.events("attach")) == COUNT, "all are attached", 60)
    for _ in range(3):
        callers.ask("go")
    assert len(psutil.Process(hunter.process.pid).open_files()) < 64
    hunter.stop()
    assert hunter.events("attach_failed") == []
    found = [
        path
        for record in hunter.records()
        if record.kind == Kind.SYSCALL
        for path in re.findall(rb"/here-\d+", record.captures)
    ]
    assert sorted(found) == sorted(3 * [b"/here-%d" % number for number in range(COUNT)])


@pytest.mark.parametrize("engine_name", ENGINES)
def test_the_soft_limit_is_raised_to_the_hard_one(
    tmp_path: Path, callers: Tracee, engine_name: str
) -> None:
    pids = children(callers)
    options = [word for pid in pids for word in ("--pid", pid)]
    gatherer = GathererProcess(
        tmp_path / "logs", (*options, "--engine", engine_name), limited(64, "unlimited")
    )
    try:
        gatherer.wait_for("start")
        hunter = gatherer.hunter_pid()
        assert psutil.Process(hunter).rlimit(psutil.RLIMIT_NOFILE)[0] > 1024
        wait_until(lambda: len(list(gatherer.output.glob("*.log"))) == COUNT, "all logs", 60)
        callers.ask("go")
        gatherer.interrupt()
        assert gatherer.finish()[0] == 0
    finally:
        gatherer.close()
    assert gatherer.session()["complete"] is True
    text = "".join(log.read_text() for log in gatherer.output.glob("*.log"))
    assert sorted(map(int, re.findall(r"/here-(\d+)", text))) == list(range(COUNT))
