"""What does not fit is dropped and counted, and never stops the program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.messages import Goodbye
from hg_shared.records import Kind, LossCause
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee

pytestmark = pytest.mark.usefixtures("engine")
Hunt = Callable[..., HunterSession]
Start = Callable[..., Tracee]


def check_totals(hunter: HunterSession, goodbye: Goodbye) -> None:
    """Seen = received + lost, for each process and for all; what is lost is noted in the stream."""
    received: Counter[int] = Counter()
    noted: Counter[int] = Counter()
    for record in hunter.records():
        if record.kind == Kind.LOST:
            assert record.args[1] == LossCause.QUEUE_FULL
            noted[record.process] += record.args[0]
        else:
            received[record.process] += 1
    for totals in goodbye.processes:
        ordinal = totals["ordinal"]
        assert totals["seen"] == received[ordinal] + totals["lost"]
        assert totals["lost"] == noted[ordinal]
    assert goodbye.seen == sum(received.values()) + goodbye.lost
    assert goodbye.lost == sum(noted.values())
    following: Counter[int] = Counter()
    for batch in hunter.batches:
        assert batch.first == following[batch.source]
        following[batch.source] += batch.count


def test_a_client_that_does_not_read_loses_records_and_stops_nobody(
    start: Start, hunt: Hunt, compiled: Callable[[str], Path], tmp_path: Path
) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    tracees = [start(compiled("counter"), file, 2) for file in files]
    pids = [word for tracee in tracees for word in ("--pid", tracee.pid)]
    hunter = hunt("--only-pids", *pids, "--frequency", "0.2", "--buffer", 1 << 16)
    for tracee in tracees:
        hunter.wait_attached(tracee.pid)
    hunter.pause_reading()

    def progress() -> list[int]:
        return [int.from_bytes(file.read_bytes(), "little") for file in files]

    before = progress()

    def both_went_on() -> bool:
        # Five calls a round: far more than queue, backlog and pipe hold, compressed as they are.
        return all(now > then + 10_000 for now, then in zip(progress(), before, strict=True))

    wait_until(both_went_on, "both programs go on unread", 90)
    hunter.resume_reading()
    hunter.wait_for(lambda: hunter.count(Kind.LOST) >= 2, "LOST records")
    goodbye = hunter.stop()
    assert goodbye.lost > 1000
    check_totals(hunter, goodbye)
    for tracee in tracees:
        tracee.tell("end")
        assert tracee.finish() == ("ok\n", 0)


def test_a_client_that_reads_loses_nothing(
    start: Start, hunt_pid: Hunt, compiled: Callable[[str], Path], tmp_path: Path
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 2)
    hunter = hunt_pid(tracee.pid)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 5000, "5000 calls")
    goodbye = hunter.stop()
    assert goodbye.lost == 0
    assert goodbye.seen > 5000
    assert goodbye.frames == len(hunter.sequence) - 1
    check_totals(hunter, goodbye)
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)
