"""Children that are followed, over scripted stops."""

from __future__ import annotations

from typing import List, Tuple

import pytest

from hg_shared.records import Kind
from tests.unit.hunter.engines.ptrace.scripted_stops import (
    PID,
    THIRD,
    Machine,
    enter,
    event,
    exited,
    interrupted,
    killed,
    leave,
)


class Following:
    """Takes children in, and keeps what it was told of them."""

    def __init__(self, most: int = 99) -> None:
        self.declared: List[Tuple[int, int, int]] = []
        self._most = most

    def reserve(self) -> int:
        number = len(self.declared) + 2
        return number if number <= self._most else 0

    def declare(
        self, ordinal: int, pid: int, creator: int, born_ns: int, command: str = ""
    ) -> None:
        self.declared.append((ordinal, pid, creator))


def followed(machine: Machine, most: int = 99) -> Following:
    follow = machine.engine.follow = Following(most)
    machine.threads[THIRD] = [THIRD]
    machine.messages[PID] = THIRD
    machine.parents[THIRD] = PID
    return follow


def test_a_followed_child_is_a_process_of_its_own(machine: Machine) -> None:
    follow = followed(machine)
    records = machine.run(
        interrupted(PID),
        event(PID, 1),
        interrupted(THIRD),
        enter(THIRD, "getpid"),
        leave(THIRD, THIRD),
        exited(PID),
        exited(THIRD, 3),
    )
    assert follow.declared == [(2, THIRD, 1)]
    own = [(record.kind, record.rval) for record in records if record.process == 2]
    assert own == [(Kind.ATTACHED, 0), (Kind.SYSCALL, THIRD), (Kind.EXITED, 3 << 8)]
    events = [(event.kind, event.ordinal) for event in machine.engine.events()]
    assert events == [("attached", 1), ("followed", 2), ("ended", 1), ("ended", 2)]
    assert machine.open_files == set()


@pytest.mark.parametrize("early", [True, False])
def test_a_child_that_was_killed_before_it_ran_has_an_end(machine: Machine, early: bool) -> None:
    follow = followed(machine)
    stops = [event(PID, 1), killed(THIRD)]
    records = machine.run(interrupted(PID), *(reversed(stops) if early else stops), exited(PID))
    assert follow.declared == [(2, THIRD, 1)]
    assert [(r.kind, r.rval) for r in records if r.process == 2] == [(Kind.EXITED, 9)]


def test_children_are_let_go_when_there_were_enough(machine: Machine) -> None:
    follow = followed(machine, 1)
    machine.run(interrupted(PID), event(PID, 1), interrupted(THIRD), exited(PID))
    assert follow.declared == []
    assert ("detach", THIRD) in machine.log
    assert machine.open_files == set()


def test_a_child_born_while_its_parent_is_let_go_is_not_followed(machine: Machine) -> None:
    follow = followed(machine)
    machine.run(
        interrupted(PID),
        enter(PID, "fork"),
        event(PID, 1),
        lambda: machine.engine.stop(),
        leave(PID, THIRD),
        interrupted(THIRD),
    )
    assert follow.declared == []
    assert machine.log[-1] == ("detach", THIRD)
