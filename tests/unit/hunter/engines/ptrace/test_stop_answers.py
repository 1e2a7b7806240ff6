"""Signals, group-stops, new threads, execs and ends, over scripted stops."""

from __future__ import annotations

from hg_shared.records import Kind
from tests.captures import decode_captures
from tests.unit.hunter.engines.ptrace.scripted_stops import (
    FIRST_MEMORY,
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
    group_stop,
    interrupted,
    killed,
    kinds,
    leave,
    signalled,
)


def test_a_signal_is_recorded_and_delivered(machine: Machine) -> None:
    records = machine.run(interrupted(PID), signalled(PID, 10), signalled(PID, 64))
    assert kinds(records) == [(Kind.SIGNAL, PID)] * 2
    assert [r.nr for r in records] == [10, 64]
    assert machine.log[3:] == [("resume", PID, 10), ("resume", PID, 64)]


def test_a_signal_in_the_middle_of_a_call_does_not_confuse_it(machine: Machine) -> None:
    """The call ends with ERESTARTSYS, the handler runs calls of its own, then it starts again."""
    records = machine.run(
        interrupted(PID),
        enter(PID, "read", 0, 0, 1),
        leave(PID, RESTARTSYS),
        signalled(PID, 10),
        enter(PID, "getpid"),
        leave(PID, 100),
        enter(PID, "rt_sigreturn"),
        leave(PID, 0),
        enter(PID, "read", 0, 0, 1),
        leave(PID, 1),
    )
    calls = [(r.nr, r.rval) for r in records if r.kind == Kind.SYSCALL]
    assert calls == [
        (NR["read"], RESTARTSYS), (NR["getpid"], 100), (NR["rt_sigreturn"], 0), (NR["read"], 1),
    ]  # fmt: skip


def test_a_group_stop_stays_stopped_until_it_is_continued(machine: Machine) -> None:
    records = machine.run(
        interrupted(PID),
        signalled(PID, 19),  # signal-delivery-stop of SIGSTOP
        group_stop(PID, 19),
        interrupted(PID),  # SIGCONT ended the group-stop
        signalled(PID, 18),
    )
    assert machine.log[2:] == [
        ("resume", PID), ("resume", PID, 19), ("listen", PID), ("resume", PID),
        ("resume", PID, 18),
    ]  # fmt: skip
    assert [(r.kind, r.nr) for r in records] == [
        (Kind.SIGNAL, 19), (Kind.STOPPED, 19), (Kind.SIGNAL, 18),
    ]  # fmt: skip


def test_detach_in_a_group_stop_gives_no_signal(machine: Machine) -> None:
    machine.run(
        interrupted(PID),
        group_stop(PID, 19),
        lambda: machine.engine.detach(1),
        group_stop(PID, 19),
    )
    assert machine.log[2:] == [
        ("resume", PID), ("listen", PID), ("interrupt", PID), ("detach", PID),
    ]  # fmt: skip


def test_a_new_thread_whose_creator_reports_it_first(machine: Machine) -> None:
    machine.messages[PID] = OTHER
    machine.threads[PID] = [PID]

    def started() -> None:
        machine.threads[PID] = [PID, OTHER]

    records = machine.run(
        interrupted(PID),
        enter(PID, "clone3"),
        event(PID, 3),
        leave(PID, OTHER),
        started,
        interrupted(OTHER),
        enter(OTHER, "getpid"),
        leave(OTHER, PID),
    )
    assert kinds(records) == [
        (Kind.THREAD, PID), (Kind.SYSCALL, PID), (Kind.ATTACHED, OTHER), (Kind.SYSCALL, OTHER),
    ]  # fmt: skip
    assert (records[0].nr, records[0].args[0]) == (3, OTHER)


def test_a_new_thread_that_stops_before_its_creator_reports_it(machine: Machine) -> None:
    machine.messages[PID] = OTHER

    def started() -> None:
        machine.threads[PID] = [PID, OTHER]

    records = machine.run(
        interrupted(PID),
        enter(PID, "clone3"),
        started,
        interrupted(OTHER),
        enter(OTHER, "getpid"),
        event(PID, 3),
        leave(OTHER, PID),
        leave(PID, OTHER),
    )
    assert kinds(records) == [
        (Kind.ATTACHED, OTHER), (Kind.THREAD, PID), (Kind.SYSCALL, OTHER), (Kind.SYSCALL, PID),
    ]  # fmt: skip
    assert all(r.process == 1 for r in records)


def test_a_child_process_that_came_with_its_creator_is_let_go(machine: Machine) -> None:
    machine.messages[PID] = THIRD
    machine.threads[THIRD] = [THIRD]
    records = machine.run(interrupted(PID), event(PID, 3), interrupted(THIRD))
    assert machine.log[-1] == ("detach", THIRD)
    assert [r.tid for r in records] == [PID]


def test_the_end_of_an_unknown_thread_is_nothing(machine: Machine) -> None:
    records = machine.run(interrupted(PID), exited(THIRD), killed(THIRD, 11))
    assert records == []
    assert ended(machine) == []


def test_execve_by_the_leader(machine: Machine) -> None:
    machine.memory[0x1000] = b"/bin/new\0"
    machine.messages[PID] = PID
    records = machine.run(
        interrupted(PID),
        enter(PID, "execve", 0x1000, 0, 0),
        machine.memory.clear,
        event(PID, 4),
        leave(PID, 0),
        enter(PID, "getpid"),
        leave(PID, PID),
    )
    assert [r.kind for r in records] == [Kind.EXEC, Kind.SYSCALL, Kind.SYSCALL]
    assert [c.data for c in decode_captures(records[0].captures)] == [b"new", b"/bin/new"]
    assert records[1].nr == NR["execve"]
    # What execve destroys was read before it ran.
    assert decode_captures(records[1].captures)[0].data == b"/bin/new"
    assert machine.open_files == {FIRST_MEMORY + 2}, "the memory of before is closed"
    events = [n for n in machine.engine.events() if n.kind == "exec"]
    assert [(n.ordinal, n.text) for n in events] == [(1, "new")]


def test_execve_by_another_thread_takes_the_place_of_the_leader(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER, THIRD]
    machine.messages[PID] = OTHER
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        interrupted(THIRD),
        enter(PID, "read", 0, 0, 1),
        enter(OTHER, "execve", 0, 0, 0),
        enter(THIRD, "read", 1, 0, 1),
        killed(THIRD),
        event(PID, 4),
        leave(PID, 0),
        enter(PID, "getpid"),
        leave(PID, PID),
        exited(PID, 3),
    )
    execed = records[[r.kind for r in records].index(Kind.EXEC)]
    assert (execed.tid, execed.args[0]) == (PID, OTHER)
    calls = [(r.tid, r.nr, r.rval) for r in records if r.kind == Kind.SYSCALL]
    assert calls == [(PID, NR["execve"], 0), (PID, NR["getpid"], PID)]
    # No status of the former thread id is ever seen: the process ends with its last thread.
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 3 << 8)]
    assert machine.open_files == set()


def test_a_filtered_execve_by_another_thread_ends_the_call_of_the_leader(machine: Machine) -> None:
    machine.trace({0: frozenset({NR["read"]})})
    machine.threads[PID] = [PID, OTHER]
    machine.messages[PID] = OTHER
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        enter(PID, "read", 0, 0, 1),
        enter(OTHER, "execve", 0, 0, 0),
        event(PID, 4),
        leave(PID, 0),
    )
    assert [r for r in records if r.kind == Kind.SYSCALL] == []


def test_a_process_killed_right_after_execve_keeps_the_tracer_going(machine: Machine) -> None:
    machine.messages[PID] = PID
    machine.run(
        interrupted(PID),
        lambda: machine.gone.add(PID),
        event(PID, 4),
        killed(PID),
    )
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 9)]
    assert machine.open_files == set()


def test_a_thread_killed_at_its_stop_is_no_record_of_another_thread_s_call(
    machine: Machine,
) -> None:
    """GET_SYSCALL_INFO fails then, and the buffer still holds the stop before."""
    machine.threads[PID] = [PID, OTHER]
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        enter(PID, "read", 0, 0, 1),
        enter(OTHER, "getpid"),
        leave(OTHER, 77),
        lambda: machine.gone.add(PID),
        leave(PID, 1),
        killed(PID),
    )
    calls = [(r.tid, r.rval) for r in records if r.kind == Kind.SYSCALL]
    assert calls == [(OTHER, 77)]
    assert (Kind.IN_FLIGHT, PID) in kinds(records)


def test_an_exit_without_an_exit_stop(machine: Machine) -> None:
    """exit_group never returns: it is told as a call in flight, then come the ends."""
    machine.threads[PID] = [PID, OTHER]
    records = machine.run(
        interrupted(PID),
        interrupted(OTHER),
        enter(OTHER, "read", 0, 0, 1),
        enter(PID, "exit_group", 3),
        exited(OTHER, 3),
        exited(PID, 3),
    )
    assert kinds(records) == [
        (Kind.IN_FLIGHT, OTHER), (Kind.EXITED, OTHER), (Kind.IN_FLIGHT, PID), (Kind.EXITED, PID),
    ]  # fmt: skip
    assert (records[2].nr, records[2].args[0]) == (NR["exit_group"], 3)
    assert [r.rval for r in records if r.kind == Kind.EXITED] == [3 << 8] * 2
    assert [(n.text, n.value) for n in ended(machine)] == [("exited", 3 << 8)]
    assert machine.open_files == set()


def test_the_status_of_a_process_is_that_of_its_leader(machine: Machine) -> None:
    machine.threads[PID] = [PID, OTHER]
    machine.run(interrupted(PID), interrupted(OTHER), exited(OTHER, 0), exited(PID, 9))
    assert [n.value for n in ended(machine)] == [9 << 8]
