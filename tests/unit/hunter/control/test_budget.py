"""The overhead budget: windows and pauses that add up to the share that is allowed."""

import pytest

from hunter.control.budget import LONGEST_PAUSE_NS, WINDOW_NS, Budget

MS = 1_000_000
TICK = 50 * MS


def run(budget, seconds, stops_per_second, stop_ns):
    """Drives a budget; returns the share of the time that was traced and the turns that changed."""
    now, stops, traced, tracing, changes = TICK, 0, 0, True, []
    while now < seconds * 10**9:
        turn = budget.tick(now, int(stops), stop_ns)
        tracing = turn.tracing
        if turn.changed:
            changes.append(turn)
        if tracing:
            traced += TICK
            stops += stops_per_second * TICK / 1e9
        now += TICK
    return traced / now, changes


def test_a_target_that_loses_all_its_time_is_traced_for_the_budget():
    share, changes = run(Budget(0.1), 60, 1_000_000, 8000)
    assert share == pytest.approx(0.1, rel=0.2)
    assert [turn.tracing for turn in changes[:4]] == [False, True, False, True]
    assert changes[0].share == 1.0


def test_a_target_within_the_budget_is_always_traced():
    share, changes = run(Budget(0.1), 10, 1000, 8000)
    assert share > 0.99
    assert changes == []


def test_half_lost_means_twice_the_window():
    share, changes = run(Budget(0.1), 60, 62_500, 8000)
    assert changes[0].share == pytest.approx(0.5)
    assert share == pytest.approx(0.2, rel=0.2)


def test_no_pause_is_longer_than_the_longest():
    budget = Budget(0.001)
    now = 1
    budget.tick(now, 0, 8000)
    now += WINDOW_NS
    assert budget.tick(now, 10**6, 8000).tracing is False
    assert budget.tick(now + LONGEST_PAUSE_NS - 1, 10**6, 8000).changed is False
    assert budget.tick(now + LONGEST_PAUSE_NS, 10**6, 8000).tracing is True


def test_a_target_that_calms_down_is_traced_again_without_end():
    budget = Budget(0.1)
    share, _ = run(budget, 5, 1_000_000, 8000)
    assert share < 0.3
    now = 30 * 10**9
    turns = [budget.tick(now + at * TICK, 0, 8000) for at in range(100)]
    assert all(turn.tracing for turn in turns)
