"""Counters become rates: increase per second, with resets handled. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gatherer.agents.scrape.exposition import Sample

MAX_SERIES = 50_000
"""Series that are remembered; those beyond it get no rate."""


@dataclass(frozen=True)
class Rate:
    """The change of a counter since the scrape before.

    Attributes:
        increase: by how much it grew; after a reset, what it counted since.
        per_second: the increase over the time between.
        reset: whether it had begun again.
    """

    increase: float
    per_second: float
    reset: bool


class Rates:
    """The counters of one agent for one capture."""

    def __init__(self) -> None:
        self._last: dict[Any, tuple[float, float]] = {}

    def observe(self, sample: Sample, seconds: float) -> Rate | None:
        """Takes a sample.

        Args:
            sample: of a cumulative series; others have no rate.
            seconds: when it was taken, on a clock that only moves forward.

        Returns:
            None for the first of a series, one that is no number, and one that came at once.
        """
        if not sample.cumulative or not math.isfinite(sample.value):
            return None
        key = sample.key
        before = self._last.get(key)
        if before is None and len(self._last) >= MAX_SERIES:
            return None
        self._last[key] = (seconds, sample.value)
        if before is None or seconds <= before[0]:
            return None
        reset = sample.value < before[1]
        increase = sample.value if reset else sample.value - before[1]
        return Rate(increase, increase / (seconds - before[0]), reset)
