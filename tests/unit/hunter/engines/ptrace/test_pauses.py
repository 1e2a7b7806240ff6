"""Pauses of tracing and what follows them, over scripted stops."""

from __future__ import annotations

import time
from typing import Callable, List

import pytest

from hg_shared.records import Abi, Kind, Record
from hunter.engines.ptrace.unrestarted import NAMES, sleeps_in_one, unrestarted
from tests.unit.hunter.engines.ptrace.scripted_stops import (
    NR,
    OTHER,
    PID,
    Machine,
    enter,
    interrupted,
    leave,
)

ASLEEP = f"{NR['epoll_wait']} 0x3 0x7ffe 0x1 0xffffffff 0x0 0x0 0x7ffe 0x7fff\n"


def turn(machine: Machine, on: bool) -> Callable[[], None]:
    return lambda: machine.engine.set_tracing(on, 0.5, time.monotonic_ns())


def names(records: List[Record]) -> List[str]:
    known = {number: name for name, number in NR.items()}
    found = sorted((each for each in records), key=lambda each: each.start)
    return [
        known[each.nr] if each.kind == Kind.SYSCALL else f"{Kind(each.kind).name} {each.args[:4]}"
        for each in found
    ]


def test_the_first_call_in_a_pause_is_recorded_then_the_thread_runs_free(machine: Machine) -> None:
    """It may have begun before; which of both the stop does not tell."""
    records = machine.run(
        interrupted(PID), enter(PID, "getppid"), leave(PID), turn(machine, False),
        enter(PID, "getpid"), leave(PID), enter(PID, "getuid"),
    )  # fmt: skip
    assert names(records) == ["getppid", "WINDOW (0, 500, 0, 0)", "getpid"]
    assert machine.log[-2:] == [("free", PID), ("free", PID)]


def test_tracing_goes_on_when_the_threads_have_stopped(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    poke = machine.engine.poke
    records = machine.run(
        interrupted(PID), interrupted(OTHER), turn(machine, False), enter(PID, "getppid"),
        leave(PID), turn(machine, True), poke, interrupted(PID), poke,
        # A stop at a call uses up the one that was asked for.
        enter(OTHER, "getuid"), poke, leave(OTHER), enter(PID, "getpid"), leave(PID),
    )  # fmt: skip
    told = [each for each in records if each.kind == Kind.WINDOW and each.args[0]]
    assert [each.args[:4] for each in told] == [(1, 500, 0, 0)]
    after = [each for each in records if each.kind == Kind.SYSCALL and each.start > told[0].start]
    assert names(after) == ["getpid"]
    assert machine.log.count(("interrupt", PID)) == 2
    assert machine.log.count(("interrupt", OTHER)) == 2


def test_a_thread_in_the_call_in_which_the_pause_found_it_is_not_stopped(machine: Machine) -> None:
    records = machine.run(
        interrupted(PID), enter(PID, "epoll_wait", 3), turn(machine, False), turn(machine, True),
        machine.engine.poke, leave(PID, 1), enter(PID, "getpid"), leave(PID),
    )  # fmt: skip
    assert [each.nr for each in records if each.kind == Kind.SYSCALL] == [
        NR["epoll_wait"], NR["getpid"],
    ]  # fmt: skip
    assert machine.log.count(("interrupt", PID)) == 1
    assert ("free", PID) not in machine.log


def test_a_thread_in_a_call_that_a_stop_would_end_is_stopped_when_it_has_left_it(
    machine: Machine,
) -> None:
    def sleep() -> None:
        machine.text = ASLEEP

    def wake() -> None:
        assert machine.log.count(("interrupt", PID)) == 1
        machine.text = "running\n"

    poke = machine.engine.poke
    records = machine.run(
        interrupted(PID), turn(machine, False), enter(PID, "getppid"), leave(PID),
        enter(PID, "epoll_wait", 3), sleep, turn(machine, True), poke, poke,
        wake, poke, interrupted(PID), enter(PID, "getpid"), leave(PID),
    )  # fmt: skip
    assert names(records) == [
        "WINDOW (0, 500, 0, 0)", "getppid", "WINDOW (1, 500, 1, 0)", f"WINDOW (1, 0, 0, {PID})",
        "getpid",
    ]  # fmt: skip


def test_a_thread_that_cannot_be_looked_at_for_want_of_descriptors_is_left_alone(
    machine: Machine,
) -> None:
    def few_files() -> None:
        machine.few_files = True

    def enough_files() -> None:
        assert machine.log.count(("interrupt", PID)) == 1
        machine.few_files = False

    poke = machine.engine.poke
    records = machine.run(
        interrupted(PID), turn(machine, False), enter(PID, "getppid"), leave(PID),
        enter(PID, "epoll_wait", 3), few_files, turn(machine, True), poke, poke,
        enough_files, poke, interrupted(PID), enter(PID, "getpid"), leave(PID),
    )  # fmt: skip
    assert names(records) == [
        "WINDOW (0, 500, 0, 0)", "getppid", "WINDOW (1, 500, 1, 0)", f"WINDOW (1, 0, 0, {PID})",
        "getpid",
    ]  # fmt: skip


def test_a_pause_before_it_was_told_that_tracing_goes_on_is_none(machine: Machine) -> None:
    records = machine.run(
        interrupted(PID), turn(machine, False), enter(PID, "getppid"), leave(PID),
        turn(machine, True), turn(machine, False), machine.engine.poke,
    )  # fmt: skip
    assert names(records) == ["WINDOW (0, 500, 0, 0)", "getppid"]


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64])
def test_calls_that_are_not_started_again(abi: Abi) -> None:
    assert 14 <= len(unrestarted(abi)) <= len(NAMES)
    one = min(unrestarted(abi))
    assert sleeps_in_one(f"{one} 0x1 0x2\n", abi)
    for text in ("running\n", "-1 0x7ffd 0x7f00\n", "", "100000 0x1\n"):
        assert not sleeps_in_one(text, abi)
