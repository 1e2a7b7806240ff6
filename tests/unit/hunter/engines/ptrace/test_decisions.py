"""What is decided about each stop, for each thing that can be known of its thread."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest

from hunter.engines.ptrace.decisions import (
    Action,
    Adopt,
    CloneEvents,
    Detach,
    Leaving,
    Listen,
    RecordClone,
    RecordExec,
    RecordExit,
    RecordGroupStop,
    RecordSignal,
    Resume,
    ThreadState,
    decide,
    decide_leaving,
)
from hunter.engines.ptrace.stops import classify

SIGUSR1, SIGTRAP, SIGSTOP, SIGTSTP = 10, 5, 19, 20


def stopped(signum: int, event: int = 0) -> int:
    return event << 16 | signum << 8 | 0x7F


INTERRUPT = stopped(SIGTRAP, 128)
FORK, VFORK, CLONE, EXEC = (stopped(SIGTRAP, event) for event in (1, 2, 3, 4))
EXIT_3, KILLED = 3 << 8, 9

TABLE: List[Tuple[int, List[Action], Action, Action]] = [
    # wait status, what is recorded, how a thread goes on, how one goes that is being let go
    (stopped(SIGUSR1), [RecordSignal(SIGUSR1)], Resume(SIGUSR1), Detach(SIGUSR1)),
    (stopped(SIGSTOP), [RecordSignal(SIGSTOP)], Resume(SIGSTOP), Detach(SIGSTOP)),
    (stopped(SIGTRAP), [RecordSignal(SIGTRAP)], Resume(SIGTRAP), Detach(SIGTRAP)),
    (stopped(SIGSTOP, 128), [RecordGroupStop(SIGSTOP)], Listen(), Detach(0)),
    (stopped(SIGTSTP, 128), [RecordGroupStop(SIGTSTP)], Listen(), Detach(0)),
    (INTERRUPT, [], Resume(0), Detach(0)),
    (FORK, [RecordClone(1, True)], Resume(0), Detach(0)),
    (VFORK, [RecordClone(2, True)], Resume(0), Detach(0)),
    (CLONE, [RecordClone(3, False)], Resume(0), Detach(0)),
    (EXEC, [RecordExec()], Resume(0), Detach(0)),
    (stopped(SIGTRAP, 5), [], Resume(0), Detach(0)),
]


@pytest.mark.parametrize(("status", "recorded", "on", "off"), TABLE)
def test_a_stop_is_recorded_then_answered(
    status: int, recorded: List[Action], on: Action, off: Action
) -> None:
    stop = classify(status)
    assert decide(stop, ThreadState.TRACED) == (*recorded, on)
    assert decide(stop, ThreadState.LEAVING) == (*recorded, off)


@pytest.mark.parametrize("status", [row[0] for row in TABLE])
def test_whose_a_new_thread_is_must_be_known_first(status: int) -> None:
    assert decide(classify(status), ThreadState.NEW) == (Adopt(),)


@pytest.mark.parametrize("state", ThreadState)
@pytest.mark.parametrize("status", [EXIT_3, KILLED, KILLED | 0x80, 0])
def test_nothing_is_asked_of_a_thread_that_has_ended(status: int, state: ThreadState) -> None:
    assert decide(classify(status), state) == (RecordExit(),)


@pytest.mark.parametrize(
    ("op", "rval", "expected"),
    [
        (1, 0, Leaving.BEGINS),
        (1, -512, Leaving.BEGINS),
        (2, 0, Leaving.RETURNS),
        (2, -4, Leaving.RETURNS),
        (2, -511, Leaving.RETURNS),
        (2, -512, Leaving.STAYS_OPEN),
        (2, -516, Leaving.STAYS_OPEN),
        (2, -517, Leaving.RETURNS),
        (0, 0, Leaving.STAYS_OPEN),
        (3, 0, Leaving.STAYS_OPEN),
    ],
)
def test_the_call_of_a_thread_that_is_detached(op: int, rval: int, expected: Leaving) -> None:
    assert decide_leaving(op, rval) == expected


@pytest.mark.parametrize(
    ("steps", "status", "expected"),
    [
        ("event", None, {7: 1}),
        ("event stop", None, {}),
        ("stop event", None, {}),
        ("stop event event", None, {7: 1}),  # the number is a later child's
        ("exit event", 9, {}),
        ("exit clear event", None, {7: 1}),
        ("stop clear event", None, {7: 1}),
        ("event exit", None, {}),
        ("event exit event", None, {7: 1}),
    ],
)
def test_first_stop_end_and_the_creator_s_event_come_in_any_order(
    steps: str, status: Optional[int], expected: dict
) -> None:
    clones = CloneEvents()
    found = None
    for step in steps.split():
        if step == "event":
            found = clones.announce(7, 1)
        elif step == "stop":
            clones.stopped(7)
        elif step == "exit":
            assert clones.exited(7, 9, keep=True) == (1 if "event exit" in steps else 0)
        else:
            clones.clear()
    assert (found, clones.expected_children) == (status, expected)


def test_an_end_that_matters_to_nobody_is_not_kept() -> None:
    clones = CloneEvents()
    assert clones.exited(7, 9, keep=False) == 0
    assert clones.announce(7, 1) is None
