"""Letting go, over scripted stops."""

from __future__ import annotations

import threading

import pytest

from hg_shared.records import Kind
from hunter.engines.ptrace.kernel import Kernel
from tests.unit.hunter.engines.ptrace.scripted_stops import (
    NR,
    OTHER,
    PID,
    RESTARTSYS,
    THIRD,
    Machine,
    ended,
    enter,
    event,
    exited,
    interrupted,
    killed,
    kinds,
    leave,
    signalled,
)


def test_detach_waits_for_each_thread_s_stop(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        lambda: machine.engine.detach(1),
        interrupted(PID),
        interrupted(OTHER),
    )
    assert machine.log[6:] == [
        ("interrupt", PID), ("interrupt", OTHER), ("detach", PID), ("detach", OTHER),
    ]  # fmt: skip
    assert kinds(records) == [(Kind.DETACHED, PID), (Kind.DETACHED, OTHER)]
    assert [n.text for n in ended(machine)] == ["detached"]
    assert machine.open_files == set()


def test_a_call_that_detaching_interrupts_stays_open(machine: Machine) -> None:
    """It ends with ERESTARTSYS and the kernel starts it again, unseen: it has not returned."""
    records = machine.run(
        interrupted(PID),
        enter(PID, "read", 5, 0, 1),
        lambda: machine.engine.detach(1),
        leave(PID, RESTARTSYS),
    )
    assert kinds(records) == [(Kind.IN_FLIGHT, PID), (Kind.DETACHED, PID)]
    assert (records[0].nr, records[0].args[0]) == (NR["read"], 5)
    assert machine.log[-1] == ("detach", PID)


@pytest.mark.parametrize("rval", [-516, -514, -513, -512])
def test_every_restart_code_means_not_returned(machine: Machine, rval: int) -> None:
    records = machine.run(
        interrupted(PID),
        enter(PID, "nanosleep", 0, 0),
        lambda: machine.engine.detach(1),
        leave(PID, rval),
    )
    assert [r.kind for r in records] == [Kind.IN_FLIGHT, Kind.DETACHED]


@pytest.mark.parametrize("rval", [0, 5, -4, -11, -517, -511])
def test_a_call_that_returned_in_time_is_recorded_at_the_detach(
    machine: Machine, rval: int
) -> None:
    records = machine.run(
        interrupted(PID),
        enter(PID, "close", 3),
        lambda: machine.engine.detach(1),
        leave(PID, rval),
    )
    assert [(r.kind, r.rval) for r in records] == [(Kind.SYSCALL, rval), (Kind.DETACHED, 0)]


def test_detach_at_an_entry_leaves_the_call_open(machine: Machine) -> None:
    records = machine.run(
        interrupted(PID),
        lambda: machine.engine.detach(1),
        enter(PID, "write", 1, 0, 0),
    )
    assert [(r.kind, r.nr) for r in records] == [
        (Kind.IN_FLIGHT, NR["write"]), (Kind.DETACHED, 0),
    ]  # fmt: skip


def test_the_filter_holds_at_a_detach_too(machine: Machine) -> None:
    machine.trace({0: frozenset({NR["read"]})})
    records = machine.run(
        interrupted(PID),
        lambda: machine.engine.detach(1),
        enter(PID, "write", 1, 0, 0),
    )
    assert kinds(records) == [(Kind.DETACHED, PID)]


def test_a_signal_that_comes_while_letting_go_is_passed_on(machine: Machine) -> None:
    machine.run(interrupted(PID), lambda: machine.engine.detach(1), signalled(PID, 34))
    assert machine.log[-1] == ("detach", PID, 34)


def test_a_thread_started_while_letting_go_is_let_go(machine: Machine) -> None:
    machine.messages[PID] = OTHER

    def leave_with_a_new_thread() -> None:
        machine.threads[PID] = [PID, OTHER]
        machine.engine.detach(1)

    machine.run(
        interrupted(PID),
        enter(PID, "clone3"),
        leave_with_a_new_thread,
        event(PID, 3),
        interrupted(OTHER),
    )
    assert machine.log[-2:] == [("detach", PID), ("detach", OTHER)]


def test_a_child_born_while_letting_go_does_not_stay_stopped(machine: Machine) -> None:
    """Its parent is let go before its first stop came: nothing else is traced then."""
    machine.messages[PID] = THIRD
    machine.threads[THIRD] = [THIRD]
    machine.run(
        interrupted(PID),
        enter(PID, "fork"),
        event(PID, 1),
        lambda: machine.engine.detach(1),
        leave(PID, THIRD),
        interrupted(THIRD),
    )
    assert machine.log[-2:] == [("detach", PID), ("detach", THIRD)]
    assert machine.engine._tracer._clones.expected_children == {}


def test_children_seen_before_and_after_their_event_are_not_waited_for(machine: Machine) -> None:
    machine.threads[THIRD] = [THIRD]
    machine.messages[PID] = THIRD
    machine.run(
        interrupted(PID),
        interrupted(THIRD),
        event(PID, 1),
        event(PID, 1),
        killed(THIRD),
        exited(PID),
    )
    clones = machine.engine._tracer._clones
    assert (clones.expected_children, clones._stopped_early) == ({}, set())


def test_a_process_that_dies_while_letting_go_is_exited(machine: Machine) -> None:
    machine.run(
        interrupted(PID),
        lambda: machine.engine.detach(1),
        lambda: machine.gone.add(PID),
        interrupted(PID),
        killed(PID),
    )
    assert ("detach", PID) not in machine.log
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 9)]


def test_no_signal_goes_to_a_tracer_that_has_ended(machine: Machine) -> None:
    sent = []
    tracer = threading.Thread(target=machine.engine.run_beside)

    def notify(thread: int) -> None:
        tracer.join(0.2)
        sent.append((thread, tracer.is_alive()))

    machine.notify = notify  # type: ignore[method-assign]
    machine.wait_for = Kernel.wait_for  # type: ignore[method-assign]
    tracer.start()
    machine.engine.wait_ready()
    machine.engine.stop()  # it wakes the tracer, which has nothing left to do
    tracer.join()
    assert sent == [(tracer.ident, True)]
    machine.engine.stop()
    assert len(sent) == 1


def test_no_signal_goes_to_a_tracer_that_has_failed(machine: Machine) -> None:
    def fail(event: threading.Event) -> None:
        raise ZeroDivisionError

    sent = []
    machine.notify = sent.append  # type: ignore[method-assign]
    machine.wait_for = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        machine.engine.run_beside()
    machine.engine.stop()
    assert sent == []
    assert not machine.engine.ended
