"""Several tracers: the threads of a target that keeps more than one CPU busy are shared."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.records import Kind, Record
from hg_shared.syscalls import lookup
from tests.captures import decode_captures
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee, tracers

CPUS = sorted(os.sched_getaffinity(0))
THREADS = 4
KILLS = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 1
ATTEMPTS = 20

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU only: it has one tracer")

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
Compiled = Callable[[str], Path]


@pytest.fixture
def spinners(start: Start, compiled: Compiled) -> Tracee:
    return start(compiled("spinners"), THREADS)


@pytest.fixture
def hunt_shared(hunt_pid: Hunt) -> Hunt:
    """Hunts until the target had more than one CPU while it was looked at."""

    def start(pid: int, *options: object) -> HunterSession:
        for _ in range(ATTEMPTS):
            hunter = hunt_pid(pid, *options)
            if len(tracers(pid)) > 1:
                return hunter
            hunter.stop()
        raise AssertionError(f"in {ATTEMPTS} attempts the machine left one CPU to the target")

    return start


def counters(records: list[Record]) -> dict[int, list[int]]:
    """Returns what each thread wrote, in the order of its records' start."""
    found = defaultdict(list)
    for record in sorted(records, key=lambda each: each.start):
        known = lookup(record.abi, record.nr)
        if record.kind == Kind.SYSCALL and known is not None and known.name == "write":
            [capture] = decode_captures(record.captures)
            if len(capture.data) == 4:
                found[record.tid].append(int.from_bytes(capture.data, "little"))
    return found


def test_every_call_of_every_thread_is_there_once(hunt_shared: Hunt, spinners: Tracee) -> None:
    hunter = hunt_shared(spinners.pid)
    threads = set(spinners.threads())
    assert len(threads) == THREADS + 1
    [attached] = hunter.events("attach")
    assert attached.fields == {"threads": THREADS + 1}
    hunter.wait_for(lambda: len(counters(hunter.records())) == THREADS, "writes of every thread")
    hunter.wait_for(lambda: hunter.count(0) > 20_000, "20,000 calls")
    goodbye = hunter.stop()
    assert tracers(spinners.pid) == {0}
    records = hunter.records()
    assert {batch.source for batch in hunter.batches} == {0, 1}
    for written in counters(records).values():
        # What was lost is counted; everything else is there, once and in order.
        assert written == sorted(set(written))
        missing = written[-1] - written[0] + 1 - len(written)
        assert missing <= goodbye.lost
    assert goodbye.seen - goodbye.lost == sum(r.kind not in (Kind.LOST,) for r in records)
    assert {r.tid for r in records if r.kind == Kind.DETACHED} == threads
    assert len(hunter.events("detach")) == 1
    spinners.tell("end")
    output, code = spinners.finish()
    assert (output.split()[0], code) == ("ok", 0)


@pytest.mark.long
def test_each_tracer_has_a_cpu_with_its_threads_and_gives_it_back(
    hunt_shared: Hunt, spinners: Tracee
) -> None:
    def masks() -> set[tuple[int, ...]]:
        return {tuple(sorted(os.sched_getaffinity(tid))) for tid in spinners.threads()}

    def placed() -> bool:
        found = masks()
        return len(found) > 1 and all(len(mask) == 1 for mask in found)

    for _ in range(KILLS):
        hunter = hunt_shared(spinners.pid)
        wait_until(placed, "a trial of placement", 30)
        hunter.kill()
        wait_until(lambda: masks() == {tuple(CPUS)}, "the watchdog restores the masks")
    hunter = hunt_shared(spinners.pid)
    wait_until(placed, "another trial of placement", 30)
    hunter.stop()
    assert masks() == {tuple(CPUS)}
    spinners.tell("end")
    assert spinners.finish()[1] == 0


def test_a_thread_of_another_tracer_executes_a_program(hunt_shared: Hunt, spinners: Tracee) -> None:
    hunter = hunt_shared(spinners.pid)
    assert spinners.ask("exec") == f"executed {spinners.pid}"
    hunter.wait_event("exec", spinners.pid)
    hunter.wait_record(
        lambda r: r.kind in (Kind.IN_FLIGHT, Kind.SYSCALL) and r.tid == spinners.pid and r.nr == 0,
        "the read of the new program",
    )
    assert len(tracers(spinners.pid)) == 1
    spinners.tell("go on")
    assert spinners.finish() == ("", 3)
    assert hunter.wait_event("exit", spinners.pid).fields == {"code": 3}
    assert hunter.wait_ended() == 0, hunter.errors()
    assert len(hunter.events("exit")) == len(hunter.events("exec")) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_killed(hunt_shared: Hunt, spinners: Tracee, number: int) -> None:
    hunter = hunt_shared(spinners.pid)
    threads = set(spinners.threads())
    os.kill(spinners.pid, number)
    assert spinners.process.wait(10) == -number
    ended = hunter.wait_event("exit", spinners.pid)
    assert ended.fields["signal"] == signal.Signals(number).name
    assert hunter.wait_ended() == 0, hunter.errors()
    assert {r.tid for r in hunter.records() if r.kind == Kind.EXITED} == threads


def test_it_stops_and_goes_on(hunt_shared: Hunt, spinners: Tracee) -> None:
    hunter = hunt_shared(spinners.pid)
    threads = set(spinners.threads())
    spinners.process.send_signal(signal.SIGSTOP)

    def stopped() -> set[int]:
        return {record.tid for record in hunter.records() if record.kind == Kind.STOPPED}

    hunter.wait_for(lambda: stopped() == threads, "every thread in group-stop")
    spinners.process.send_signal(signal.SIGCONT)
    seen = hunter.count(0)
    hunter.wait_for(lambda: hunter.count(0) > seen + 1000, "calls after SIGCONT")
    hunter.stop()
    spinners.tell("end")
    assert spinners.finish()[1] == 0


def test_hunter_is_killed(hunt_shared: Hunt, spinners: Tracee) -> None:
    hunter = hunt_shared(spinners.pid)
    hunter.kill()
    wait_until(lambda: tracers(spinners.pid) == {0}, "nobody traces it")
    spinners.tell("end")
    output, code = spinners.finish()
    assert (output.split()[0], code) == ("ok", 0)
