"""Threads shared among tracers."""

from __future__ import annotations

import pytest

from hunter.engines.ptrace.shares import share


@pytest.mark.parametrize(
    "used",
    [
        {10: 1.0},
        {10: 0.5, 11: 0.5},
        {10: 1.9, 11: 0.01, 12: 0.02},
        {10: 0.0, 11: 0.0},
    ],
)
def test_a_process_that_keeps_one_cpu_busy_has_one_tracer(used: dict) -> None:
    assert set(share(used, 10, 2).values()) == {0}


def test_one_tracer_gets_everything() -> None:
    assert set(share({10: 1.0, 11: 1.0}, 10, 1).values()) == {0}


def test_busy_threads_are_shared_evenly() -> None:
    shares = share({10: 0.0, 11: 0.5, 12: 0.5, 13: 0.5, 14: 0.5}, 10, 2)
    assert shares[10] == 0
    assert sorted(shares[tid] for tid in (11, 12, 13, 14)) == [0, 0, 1, 1]


def test_the_leader_counts_for_the_first_tracer() -> None:
    assert share({10: 0.9, 11: 0.9}, 10, 2) == {10: 0, 11: 1}
    assert share({10: 1.0, 11: 0.3, 12: 0.3, 13: 0.3}, 10, 2) == {10: 0, 11: 1, 12: 1, 13: 1}


def test_more_tracers_than_busy_threads() -> None:
    shares = share({10: 1.0, 11: 1.0}, 10, 4)
    assert shares == {10: 0, 11: 1}
