"""Group-stops as the ebpf engine finds them, over scripted states."""

from __future__ import annotations

from typing import Dict

from hunter.engines.ebpf.group_stops import SIGCONT, WATCH_NS, GroupStops

SIGSTOP, SIGTSTP = 19, 20


def test_nothing_is_looked_at_without_a_stopping_signal() -> None:
    stops = GroupStops(lambda tid: "T")
    assert stops.look(5, [1, 2]) is None
    stops.delivered(15, 5)
    assert stops.look(6, [1, 2]) is None


def test_threads_are_noted_once_as_they_stop() -> None:
    states: Dict[int, str] = {1: "T", 2: "R"}
    stops = GroupStops(states.get)
    stops.sent(SIGSTOP, 10)
    stops.delivered(SIGSTOP, 12)
    found = stops.look(20, [1, 2, 3])
    assert found == {1}
    assert stops.arrivals(found, 20) == [1]
    states[2] = "T"
    late = stops.look(12 + WATCH_NS + 1, [1, 2, 3])
    assert late == {1, 2}
    assert stops.arrivals(late, 12 + WATCH_NS + 1) == [2]
    assert stops.signal == SIGSTOP


def test_the_search_ends_when_all_went_on() -> None:
    states = {1: "T"}
    stops = GroupStops(states.get)
    stops.delivered(SIGSTOP, 0)
    assert stops.arrivals({1}, 5) == [1]
    states[1] = "S"
    later = WATCH_NS + 1
    assert stops.look(later, [1]) == set()
    assert stops.arrivals(set(), later) == []
    assert stops.look(later + 1, [1]) is None


def test_a_stop_right_after_sigcont_is_a_new_one() -> None:
    """Between two looks it went on and stopped again: its state is the same at both."""
    stops = GroupStops(lambda tid: "T")
    stops.delivered(SIGSTOP, 0)
    assert stops.arrivals({1}, 5) == [1]
    found = stops.look(30, [1])
    assert found == {1}
    stops.sent(SIGCONT, 20)
    stops.delivered(SIGTSTP, 30)
    assert stops.arrivals(found, 30) == [1]
    assert stops.signal == SIGTSTP


def test_a_look_older_than_sigcont_says_nothing() -> None:
    stops = GroupStops(lambda tid: "T")
    stops.delivered(SIGSTOP, 0)
    assert stops.arrivals({1}, 5) == [1]
    stops.sent(SIGCONT, 21)
    assert stops.arrivals({1}, 20) == []
    assert stops.arrivals({1}, 40) == [1]
