"""Rates: increases per second, resets, and what has none."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rate, Rates


def counter(value: float, **labels: str) -> Sample:
    return Sample("x_total", "counter", labels, value)


def test_a_counter_becomes_a_rate() -> None:
    rates = Rates()
    assert rates.observe(counter(10), 100.0) is None
    assert rates.observe(counter(40), 115.0) == Rate(30, 2.0, False)
    assert rates.observe(counter(40), 130.0) == Rate(0, 0.0, False)


def test_after_a_reset_it_counts_from_nothing() -> None:
    rates = Rates()
    rates.observe(counter(1000), 0.0)
    assert rates.observe(counter(30), 10.0) == Rate(30, 3.0, True)
    assert rates.observe(counter(40), 20.0) == Rate(10, 1.0, False)


def test_series_are_apart() -> None:
    rates = Rates()
    rates.observe(counter(10, a="1"), 0.0)
    assert rates.observe(counter(500, a="2"), 1.0) is None
    assert rates.observe(counter(20, a="1"), 2.0) == Rate(10, 5.0, False)


def test_what_has_no_rate() -> None:
    rates = Rates()
    gauge = Sample("x", "gauge", {}, 5)
    created = Sample("x_created", "counter", {}, 5)
    quantile = Sample("x", "summary", {"quantile": "0.5"}, 5)
    for sample in (gauge, created, quantile, counter(math.nan), counter(math.inf)):
        assert rates.observe(sample, 0.0) is None
        assert rates.observe(sample, 1.0) is None
    rates.observe(counter(1), 5.0)
    assert rates.observe(counter(2), 5.0) is None


@given(st.lists(st.floats(min_value=0, max_value=1e15), min_size=2, max_size=30))
def test_increases_are_never_negative_and_add_up(values: list[float]) -> None:
    rates = Rates()
    grown, before = 0.0, values[0]
    rates.observe(counter(before), 0.0)
    for second, value in enumerate(values[1:], 1):
        rate = rates.observe(counter(value), float(second))
        assert rate is not None
        assert rate.increase >= 0
        assert rate.reset is (value < before)
        grown += rate.increase
        before = value
    assert grown >= values[-1] - values[0] - 1
