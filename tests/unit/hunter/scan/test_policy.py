"""Thresholds, growth, exclusions and when a refused process is tried again."""

from __future__ import annotations

from typing import Optional

import pytest

from hunter.config import Threshold
from hunter.scan.policy import (
    Backoff,
    Decision,
    Denominator,
    ancestors,
    denominator,
    evaluate,
    exclusion,
    threshold_bytes,
)

MIB = 1 << 20
LIMIT = Denominator(128 * MIB, "/sys/fs/cgroup/memory.max", "limit")


@pytest.mark.parametrize(
    ("of", "limit", "node", "expected"),
    [
        ("limit", 100, 1000, (100, "file", "limit")),
        ("limit", None, 1000, (1000, "/proc/meminfo MemTotal", "node")),
        ("node", 100, 1000, (1000, "/proc/meminfo MemTotal", "node")),
        # A limit above what there is never bites.
        ("limit", 2000, 1000, (1000, "/proc/meminfo MemTotal", "node")),
        ("limit", 1000, 1000, (1000, "file", "limit")),
        ("limit", 100, 0, (100, "file", "limit")),
    ],
)
def test_what_percent_is_of(of: str, limit: Optional[int], node: int, expected: tuple) -> None:
    assert denominator(of, limit, "file", node) == expected


def test_the_threshold_itself_is_over_it() -> None:
    half = Threshold(percent=50.0)
    assert threshold_bytes(half, LIMIT) == 64 * MIB
    assert evaluate(half, LIMIT, 64 * MIB - 1, None) is None
    assert evaluate(half, LIMIT, 64 * MIB, None) == Decision("memory", 64 * MIB, 50.0, None)
    assert evaluate(Threshold(percent=80.0), LIMIT, 80 * MIB, None) is None


def test_a_size_needs_no_denominator() -> None:
    threshold = Threshold(size=10 * MIB)
    nothing = Denominator(0, "", "node")
    assert evaluate(threshold, nothing, 10 * MIB, None) == Decision("memory", 10 * MIB, None, None)
    assert evaluate(threshold, LIMIT, 10 * MIB - 1, None) is None


def test_a_percentage_of_nothing_known_is_never_reached() -> None:
    assert evaluate(Threshold(percent=2.0), Denominator(0, "", "node"), 10 * MIB, None) is None


def test_growth() -> None:
    threshold = Threshold(growth=5.0 * MIB)
    assert evaluate(threshold, LIMIT, MIB, None) is None
    assert evaluate(threshold, LIMIT, MIB, 5.0 * MIB - 1) is None
    assert evaluate(threshold, LIMIT, 64 * MIB, 5.0 * MIB) == Decision(
        "growth", None, 50.0, 5.0 * MIB
    )
    both = Threshold(percent=50.0, growth=5.0)
    decision = evaluate(both, LIMIT, 64 * MIB, 9.0)
    assert decision is not None
    assert decision.reason == "memory"
    assert evaluate(both, LIMIT, 1, 9.0) == Decision("growth", 64 * MIB, 0.0, 9.0)


def test_nothing_asked_for_is_nothing_traced() -> None:
    assert evaluate(Threshold(), LIMIT, 1 << 50, 1e12) is None


@pytest.mark.parametrize(
    ("state", "kernel", "reason"),
    [
        ("R", False, ""),
        ("T", False, ""),
        ("t", False, ""),
        ("S", True, "kernel thread"),
        ("Z", False, "zombie"),
        ("X", False, "zombie"),
    ],
)
def test_exclusions(state: str, kernel: bool, reason: str) -> None:
    assert exclusion(state, kernel) == reason


def test_ancestors_end_at_init_or_where_nothing_is_visible() -> None:
    parents = {50: 40, 40: 1, 1: 0, 60: 0}
    assert ancestors(50, parents) == [50, 40, 1]
    assert ancestors(60, parents) == [60]
    assert ancestors(70, parents) == [70]
    assert ancestors(0, parents) == []
    # A pid that was used again while the table was read must not loop.
    assert ancestors(2, {2: 3, 3: 2}) == [2, 3]


def test_a_refused_process_is_tried_ever_more_rarely() -> None:
    backoff = Backoff()
    key = (10, 1)
    waits = []
    for _ in range(9):
        scans = 0
        while not backoff.may_try(key):
            scans += 1
        waits.append(scans)
        backoff.failed(key)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 64, 64]


def test_a_new_process_under_an_old_pid_starts_afresh() -> None:
    backoff = Backoff()
    backoff.failed((10, 1))
    assert backoff.may_try((10, 2))
    backoff.forget({(10, 2)})
    assert backoff.may_try((10, 1))
