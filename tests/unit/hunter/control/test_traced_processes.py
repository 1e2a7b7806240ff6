from __future__ import annotations

from hunter.control import traced_processes
from hunter.control.traced_processes import TracedProcesses


def test_numbers_are_given_once() -> None:
    entries = TracedProcesses()
    first = entries.add((100, 5), 4096, "leak")
    reserved = entries.reserve()
    second = entries.add((101, 6), 0, "other")
    child = entries.add((102, 7), 0, "leak", reserved)
    assert [first.ordinal, reserved, second.ordinal] == [1, 2, 3]
    assert entries.all() == [first, child, second]
    assert entries.get(2) is child
    assert entries.get(9) is None
    assert (entries.find((101, 6)), entries.find((101, 7))) == (second, None)
    first.end_reason = "exited"
    assert entries.active() == [second, child]
    assert len(entries) == 3


def test_there_is_an_end_to_children() -> None:
    entries = TracedProcesses()
    got = [entries.reserve() for _ in range(traced_processes.MAX_PROCESSES + 5)]
    assert got == [*range(1, traced_processes.MAX_PROCESSES + 1), 0, 0, 0, 0, 0]
