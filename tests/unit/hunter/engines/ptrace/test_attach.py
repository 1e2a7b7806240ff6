"""Beginning and ending to trace, over scripted stops."""

from __future__ import annotations

import threading
from typing import Dict, List

import pytest

from hunter.engines.ptrace import requests
from hunter.errors import FewFiles
from tests.unit.hunter.engines.ptrace.scripted_stops import OTHER, PID, THIRD, Machine, interrupted


def test_attach_seizes_every_thread_and_asks_it_to_stop(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    machine.run(interrupted(PID), interrupted(OTHER))
    assert machine.log == [
        ("seize", PID), ("interrupt", PID), ("seize", OTHER), ("interrupt", OTHER),
        ("resume", PID), ("resume", OTHER),
    ]  # fmt: skip
    event = machine.engine.events()[0]
    assert (event.kind, event.ordinal, event.value) == ("attached", 1, 2)


def test_a_process_is_told_to_be_attached_when_its_last_thread_has_stopped(
    machine: Machine,
) -> None:
    machine.threads[PID] = [PID, OTHER]
    told = []

    def look() -> None:
        told.extend(machine.engine.events())
        machine.log.append(("events", len(told)))

    machine.run(interrupted(PID), look, interrupted(OTHER), look)
    assert machine.log[4:8] == [
        ("resume", PID), ("events", 0), ("resume", OTHER), ("events", 1),
    ]  # fmt: skip
    assert [event.kind for event in told] == ["attached"]


def test_a_thread_that_cannot_stop_does_not_hold_up_what_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a disk, or for a child of vfork, and makes no call before it has stopped."""
    machine.threads[PID] = [PID, OTHER]
    monkeypatch.setattr(requests, "ARM_NS", 0)
    machine.run(interrupted(PID), machine.engine.poke)
    assert [event.kind for event in machine.engine.events()][:1] == ["attached"]


def test_a_thread_that_starts_while_others_are_seized_is_seized_too(
    machine: Machine,
) -> None:
    machine.listings = [[PID], [PID, OTHER], [PID, OTHER, THIRD], [PID, OTHER, THIRD]]
    machine.run()
    assert [step[1] for step in machine.log if step[0] == "seize"] == [PID, OTHER, THIRD]
    assert machine.listings == []


def test_a_process_that_may_not_be_seized_is_a_notice(machine: Machine) -> None:
    machine.refused.add(PID)
    machine.engine.attach(1, PID)
    machine.engine.stop()
    machine.engine.run()
    (event,) = machine.engine.events()
    assert (event.kind, event.ordinal) == ("attach_failed", 1)
    assert "Operation not permitted" in event.text
    assert machine.open_files == set()


def test_a_process_that_is_gone_is_a_notice(machine: Machine) -> None:
    machine.threads[PID] = []
    machine.engine.attach(1, PID)
    machine.engine.stop()
    machine.engine.run()
    (event,) = machine.engine.events()
    assert (event.kind, event.text) == ("attach_failed", f"process {PID} is gone")
    assert machine.open_files == set()


@pytest.mark.parametrize("listed", [0, 1])
def test_no_descriptor_for_a_listing_of_threads_leaves_nothing_open(
    machine: Machine, listed: int
) -> None:
    """Without one thread the process is refused; with some it is traced, and let go like others."""
    listings = [[PID]] * listed

    def thread_ids(pid: int) -> List[int]:
        if not listings:
            raise FewFiles("no more files")
        return listings.pop()

    machine.thread_ids = thread_ids  # type: ignore[method-assign]
    machine.script = [interrupted(PID)] * listed
    machine.engine.attach(1, PID)
    machine.engine.stop()
    machine.engine.run()
    kinds = [(each.kind, each.text) for each in machine.engine.events()]
    refused = [("attach_failed", "no more files")]
    assert kinds == ([("attached", ""), ("ended", "detached")] if listed else refused)
    assert machine.open_files == set()


def test_stop_before_anything_was_attached(machine: Machine) -> None:
    machine.engine.stop()
    machine.engine.run()
    assert machine.engine.ended
    assert machine.log == []


def test_a_process_asked_for_after_stop_is_let_go_at_once(machine: Machine) -> None:
    machine.engine.stop()
    machine.script = [interrupted(PID)]
    machine.engine.attach(1, PID)
    machine.engine.run()
    assert machine.engine.ended
    assert machine.log == [
        ("seize", PID), ("interrupt", PID), ("interrupt", PID), ("detach", PID),
    ]  # fmt: skip


def test_requests_come_from_any_thread(machine: Machine) -> None:
    assert machine.engine._main == 0
    machine.engine.stop()
    assert not machine.engine.ended
    machine.engine.run()
    assert machine.engine.thread_id == threading.get_native_id()


def test_signals_that_come_while_requests_are_carried_out_do_not_nest(machine: Machine) -> None:
    depth = deepest = 0
    attached = []

    def status_fields(pid: int) -> Dict[str, str]:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        machine.notify(0)
        attached.append(pid)
        depth -= 1
        return {}

    machine.status_fields = status_fields  # type: ignore[method-assign]
    machine.threads.clear()
    for ordinal in range(3000):
        machine.engine.attach(ordinal, ordinal)
    machine.engine.run()
    assert (attached, deepest) == (list(range(3000)), 1)
