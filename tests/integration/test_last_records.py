"""The end of threads and processes: nothing of them comes behind it, and nothing has no thread."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.records import NOTES, Kind, Record
from tests.integration.engines import EVERY_ENGINE
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
Compiled = Callable[[str], Path]


def late(records: list[Record]) -> list[Record]:
    """Returns the records of threads that begin behind their end, and those of no thread."""
    ends = {each.tid: each.start for each in records if each.kind == Kind.EXITED}
    return [
        each
        for each in records
        if each.kind not in NOTES
        and (
            each.tid == 0 or (each.kind != Kind.EXITED and each.start > ends.get(each.tid, 1 << 63))
        )
    ]


@pytest.mark.parametrize("engine", EVERY_ENGINE)
@pytest.mark.parametrize("shape", [(), ("threads",)])
def test_a_signal_to_a_process_that_has_ended_is_none_of_its_records(
    engine: str, shape: tuple[str, ...], start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("async_pipe"), *shape)
    hunter = hunt_pid(tracee.pid, "--engine", engine)
    tracee.tell("go")
    if shape:
        leader = Path(f"/proc/{tracee.pid}/stat")
        wait_until(lambda: leader.read_text().rpartition(")")[2].split()[0] == "Z", "it has ended")
        tracee.tell("go")
    assert tracee.finish()[1] == 4
    assert hunter.wait_ended() == 0
    records = hunter.records()
    assert any(each.kind == Kind.EXITED for each in records)
    assert late(records) == []


@pytest.mark.parametrize("engine", EVERY_ENGINE)
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGCHLD])
def test_the_last_signal_comes_before_the_end(
    engine: str, number: int, start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    """SIGUSR1 and SIGTERM end the program, SIGCHLD is ignored."""
    tracee = start(compiled("async_pipe"))
    hunter = hunt_pid(tracee.pid, "--engine", engine)
    tracee.process.send_signal(number)
    fatal = number != signal.SIGCHLD
    if not fatal:
        hunter.wait_record(lambda each: each.kind == Kind.SIGNAL, "the signal")
    tracee.tell("go")
    assert tracee.finish()[1] == (-number if fatal else 4)
    assert hunter.wait_ended() == 0
    records = hunter.records()
    assert late(records) == []
    taken = [each for each in records if each.kind == Kind.SIGNAL]
    assert [(each.tid, each.nr) for each in taken] == [(tracee.pid, number)]
