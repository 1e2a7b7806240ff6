"""How long reads may hold a process up: the ledger, without a clock."""

from __future__ import annotations

import random

import pytest

from hunter.memory.holds import CREDIT_NS, MAX_HOLD_NS, SHARE, Holds

MIB = 1 << 20
SECOND = 1_000_000_000


def test_a_small_process_is_read_at_once_and_a_very_large_one_never() -> None:
    holds = Holds()
    assert holds.allows(7, 100 * MIB, 0)
    assert not holds.allows(8, 4096 * MIB, 0)
    assert not holds.allows(8, 4096 * MIB, 10**18)


def test_a_larger_one_is_read_when_time_for_it_is_earned() -> None:
    holds = Holds()
    assert not holds.allows(7, 1000 * MIB, 0)
    assert not holds.allows(7, 1000 * MIB, 2 * SECOND)
    assert holds.allows(7, 1000 * MIB, 2 * SECOND + SECOND // 10)


def test_what_was_slower_than_expected_is_waited_for() -> None:
    holds = Holds()
    assert holds.allows(7, 100 * MIB, 0)
    holds.spend(7, 30_000_000, 100 * MIB)
    assert holds.expected_ns(7, 100 * MIB) >= 30_000_000 > MAX_HOLD_NS
    holds.spend(7, 2_000_000, 100 * MIB)
    assert not holds.allows(7, 100 * MIB, 3 * SECOND)
    assert holds.allows(7, 100 * MIB, 4 * SECOND)
    assert holds.spent_ns(7) == 32_000_000


def test_something_is_left_for_the_last_walk() -> None:
    holds = Holds()
    holds.allows(7, 100 * MIB, 0)
    now = 0
    for _ in range(100):
        now += SECOND // 10
        if holds.allows(7, 100 * MIB, now, again=True):
            holds.spend(7, holds.expected_ns(7, 100 * MIB), 100 * MIB)
    assert holds.spent_ns(7) > 0
    assert not holds.allows(7, 100 * MIB, now, again=True)
    assert holds.allows(7, 100 * MIB, now)


def test_processes_have_accounts_of_their_own() -> None:
    holds = Holds()
    holds.spend(7, SECOND)
    assert not holds.allows(7, MIB, SECOND)
    assert holds.allows(8, MIB, SECOND)
    assert holds.forget(7) == SECOND
    assert holds.allows(7, MIB, SECOND)


@pytest.mark.parametrize("seed", range(5))
def test_all_reads_together_stay_within_their_share(seed: int) -> None:
    """Reads that take as long as expected, at random moments, of a process of changing size."""
    choose = random.Random(seed)
    holds = Holds()
    now = 0
    holds.allows(7, 0, now)
    for _ in range(2000):
        now += choose.randrange(200_000_000)
        resident = choose.randrange(2048) * MIB
        if holds.allows(7, resident, now):
            expected = holds.expected_ns(7, resident)
            assert expected <= MAX_HOLD_NS
            holds.spend(7, expected, resident)
        assert holds.spent_ns(7) <= max(CREDIT_NS, SHARE * now)
    assert holds.spent_ns(7) > 0.5 * SHARE * now
