"""Calls and what is read of them, over scripted stops."""

from __future__ import annotations

import struct
import time
from typing import Callable, List, Tuple

import pytest

from hg_shared.records import Kind, Record
from hunter.engines.ptrace.stops import SYSCALL_STOP
from tests.captures import decode_captures
from tests.unit.hunter.engines.ptrace.scripted_stops import (
    I386,
    NR,
    PID,
    RESTARTSYS,
    X86_64,
    Machine,
    enter,
    interrupted,
    kinds,
    leave,
)


def test_a_call_is_one_record_with_what_its_pointers_showed(machine: Machine) -> None:
    machine.memory[0x1000] = b"/etc/hosts\0rest"
    machine.memory[0x2000] = b"x" * 100
    records = machine.run(
        interrupted(PID),
        enter(PID, "openat", 2**64 - 100, 0x1000, 0),
        leave(PID, 3),
        enter(PID, "read", 3, 0x2000, 4096),
        leave(PID, 50),
        enter(PID, "write", 9, 0x3000, 5),
        leave(PID, -9),
        enter(PID, "close", 3),
        leave(PID, 0),
    )
    assert [r.rval for r in records] == [3, 50, -9, 0]
    assert [r.nr for r in records] == [NR[n] for n in ("openat", "read", "write", "close")]
    assert records[0].args == (2**64 - 100, 0x1000, 0, 0, 0, 0)
    captured = [[(c.arg, c.length, c.data) for c in decode_captures(r.captures)] for r in records]
    assert captured[0] == [(1, 10, b"/etc/hosts")]
    assert captured[1] == [(1, 50, b"x" * 32)]
    assert [(arg, data) for arg, _, data in captured[2]] == [(1, None)]
    assert captured[3] == []
    assert all(r.process == 1 and r.tid == PID for r in records)
    assert machine.log[2:] == [("resume", PID)] * 9


def test_a_path_in_the_last_argument_is_read(machine: Machine) -> None:
    machine.memory[0x1000] = b"/tmp\0"
    records = machine.run(
        interrupted(PID),
        enter(PID, "fanotify_mark", 4, 1, 0x20, 2**64 - 100, 0x1000),
        leave(PID, 0),
    )
    captured = [(c.arg, c.length, c.data) for c in decode_captures(records[0].captures)]
    assert captured == [(4, 4, b"/tmp")]


@pytest.mark.parametrize("number", [0xFFFF, 0x10001, 0x3FFFFFFF, 2**64 - 1])
def test_a_number_beyond_a_record_s_is_captured_and_is_no_other_call(
    machine: Machine, number: int
) -> None:
    machine.memory[0x1000] = b"/etc/hosts\0"
    info = struct.pack("<BxxxIQQQ6Q", 1, X86_64, 0, 0, number, 1, 0x1000, 5, 0, 0, 0)
    records = machine.run(
        interrupted(PID), (PID, SYSCALL_STOP, info.ljust(88, b"\0")), leave(PID, -38)
    )
    [record] = records
    assert (record.abi, record.nr, record.rval) == (0, 0xFFFF, -38)
    [held] = decode_captures(record.captures)
    assert (held.arg, held.hop, held.at_entry) == (0, 255, True)
    assert held.data == number.to_bytes(8, "little")


def test_the_x32_bit_chooses_a_convention_without_a_table(machine: Machine) -> None:
    info = struct.pack("<BxxxIQQQ6Q", 1, X86_64, 0, 0, 0x40000001, 1, 0x1000, 5, 0, 0, 0)
    [record] = machine.run(
        interrupted(PID), (PID, SYSCALL_STOP, info.ljust(88, b"\0")), leave(PID, -38)
    )
    assert (record.abi, record.nr, record.captures) == (3, 1, b"")


def test_a_call_that_was_entered_before_the_attach_is_no_record(machine: Machine) -> None:
    records = machine.run(interrupted(PID), leave(PID, 5), enter(PID, "getpid"), leave(PID, 7))
    assert [(r.nr, r.rval) for r in records] == [(NR["getpid"], 7)]


def test_only_wanted_calls_are_recorded(machine: Machine) -> None:
    machine.trace({0: frozenset({NR["close"]}), 2: frozenset({6})})
    records = machine.run(
        interrupted(PID),
        enter(PID, "getpid"),
        leave(PID, 7),
        enter(PID, "close", 3),
        leave(PID, 0),
        enter(PID, "close", 3, arch=I386),
        leave(PID, 0, arch=I386),
        enter(PID, "read", 3, arch=I386),  # number 3, which is close on x86_64
        leave(PID, 0, arch=I386),
    )
    assert [(r.abi, r.nr) for r in records] == [(0, NR["close"]), (2, 6)]


def drained(machine: Machine, now: int) -> List[Record]:
    return [r for batch in machine.engine.drain(now) for r in batch.records()]


def test_calls_in_flight_are_told_once_and_before_the_watermark_passes_them(
    machine: Machine,
) -> None:
    seen: List[Tuple[str, List[Tuple[Kind, int]]]] = []
    start = time.monotonic_ns()

    def drain(name: str, after_ms: int) -> Callable[[], None]:
        def call() -> None:
            seen.append((name, kinds(drained(machine, start + after_ms * 1_000_000))))

        return call

    records = machine.run(
        interrupted(PID),
        enter(PID, "read", 0, 0, 1),
        drain("fresh", 0),
        drain("old", 60_000),
        drain("again", 61_000),
        lambda: machine.engine.detach(1),
        drain("while it is let go", 62_000),
        leave(PID, RESTARTSYS),
    )
    assert seen == [
        ("fresh", []),
        ("old", [(Kind.IN_FLIGHT, PID)]),
        ("again", []),
        ("while it is let go", []),
    ]
    assert kinds(records) == [(Kind.DETACHED, PID)]


def test_a_detach_request_hides_no_open_call_from_the_watermark(machine: Machine) -> None:
    seen: List[List[Tuple[Kind, int]]] = []
    start = time.monotonic_ns()
    machine.run(
        interrupted(PID),
        enter(PID, "read", 0, 0, 1),
        lambda: machine.engine.detach(1),
        lambda: seen.append(kinds(drained(machine, start + 60_000_000_000))),
        leave(PID, RESTARTSYS),
    )
    assert seen == [[(Kind.IN_FLIGHT, PID)]]


def test_an_idle_engine_moves_the_watermark_all_the_time(machine: Machine) -> None:
    batches = [
        batch
        for tick in range(100)
        for batch in machine.engine.drain(10_000_000_000 + tick * 50_000_000)
    ]
    assert all(batch.count == 0 for batch in batches)
    # What is not known when hunter dies with its container is bounded by these, 250 ms in all.
    marks = [batch.watermark for batch in batches]
    assert max(after - before for before, after in zip(marks, marks[1:])) <= 150_000_000
    assert len(marks) < 40
