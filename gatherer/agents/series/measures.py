"""Measures of an agent, summed up over a capture: before, during, after, increase. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rate
from gatherer.text import byte_count, how_often

BYTES, SECONDS, COUNT, CORES, PERCENT = "bytes", "seconds", "count", "cores", "percent"


@dataclass(frozen=True)
class Measure:
    """A metric, or part of one, that is summed up.

    Attributes:
        title: as the summary calls it.
        name: of the metric.
        unit: one of the units above.
        labels: only series with these labels; the others of the metric are left out.
    """

    title: str
    name: str
    unit: str = COUNT
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def group(self) -> str:
        """The measures that come and go together, by the first word of the name."""
        return self.name.partition("_")[0]

    def matches(self, sample: Sample) -> bool:
        """Returns whether a sample is part of it."""
        return sample.name == self.name and all(
            sample.labels.get(key) == value for key, value in self.labels
        )


@dataclass
class SeriesSummary:
    """The sum of a measure's series over a capture.

    Attributes:
        before: at the first scrape that had it.
        after: at the last one.
        least: the lowest.
        most: the highest.
        increase: of counters: by how much they grew, resets counted.
        seconds: of counters: between the first scrape and the last.
        peak_rate: of counters: the highest increase per second between two scrapes.
        resets: how often a counter began again.
        scrapes: how many had it.
    """

    before: float = 0.0
    after: float = 0.0
    least: float = 0.0
    most: float = 0.0
    increase: float = 0.0
    seconds: float = 0.0
    peak_rate: float = 0.0
    resets: int = 0
    scrapes: int = 0

    def add(self, value: float) -> None:
        """Adds the sum of one scrape."""
        if not self.scrapes:
            self.before = self.least = self.most = value
        self.after = value
        self.least, self.most = min(self.least, value), max(self.most, value)
        self.scrapes += 1

    def as_json(self, counter: bool) -> dict[str, Any]:
        """Returns it for session.json."""
        gauge = {
            "before": self.before,
            "after": self.after,
            "min": self.least,
            "max": self.most,
            "delta": self.after - self.before,
        }
        if not counter:
            return gauge
        return {
            "before": self.before,
            "after": self.after,
            "delta": self.increase,
            "max_rate": self.peak_rate,
            "resets": self.resets,
        }


@dataclass
class SummaryTable:
    """The summaries of all measures of one agent for one capture.

    Attributes:
        measures: to sum up.
        summaries: of those that were found, by title.
    """

    measures: tuple[Measure, ...]
    summaries: dict[str, SeriesSummary] = field(default_factory=dict)
    _seen: set[Any] = field(default_factory=set)
    _spans: dict[str, tuple[float, float]] = field(default_factory=dict)

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Adds one scrape.

        Args:
            rows: its samples with their rates; stale ones are left out.
            seconds: when it was taken, on a clock that only moves forward.
        """
        by_name: dict[str, list[tuple[Sample, Rate | None]]] = {}
        for sample, rate, stale in rows:
            if not stale:
                by_name.setdefault(sample.name, []).append((sample, rate))
        groups: set[str] = set()
        for measure in self.measures:
            matched = [
                (sample, rate)
                for sample, rate in by_name.get(measure.name, ())
                if measure.matches(sample)
            ]
            if matched:
                groups.add(measure.group)
                self._apply(measure, matched, seconds)
        for group in groups:
            first, _ = self._spans.get(group, (seconds, seconds))
            self._spans[group] = (first, seconds)

    def _apply(
        self, measure: Measure, matched: list[tuple[Sample, Rate | None]], seconds: float
    ) -> None:
        summary = self.summaries.setdefault(measure.title, SeriesSummary())
        span = self._spans.get(measure.group)
        increase = 0.0
        for sample, rate in matched:
            if rate is not None:
                increase += rate.increase
                summary.resets += rate.reset
            elif sample.cumulative and span is not None and sample.key not in self._seen:
                # A series that begins during the capture counts from nothing.
                increase += sample.value
            self._seen.add(sample.key)
        summary.add(sum(sample.value for sample, _ in matched))
        if not matched[0][0].cumulative:
            return
        if summary.scrapes == 1 and span is not None:
            summary.before = 0.0
        summary.increase += increase
        if span is not None and seconds > span[1]:
            summary.peak_rate = max(summary.peak_rate, increase / (seconds - span[1]))
            summary.seconds = seconds - span[0]

    def summary(self, title: str) -> SeriesSummary | None:
        """Returns the summary of a measure, None when no scrape had it."""
        return self.summaries.get(title)

    def as_json(self) -> dict[str, Any]:
        """Returns all of them for session.json."""
        counters = {m.title for m in self.measures if is_counter(m.name)}
        return {
            title.replace(" ", "_"): summary.as_json(title in counters)
            for title, summary in self.summaries.items()
        }


def is_counter(name: str) -> bool:
    """Returns whether a metric of a measure only grows, by its name."""
    return name.endswith(("_total", "_time_seconds"))


def format_value(value: float, unit: str) -> str:
    """Returns a value for people.

    Args:
        value: not negative.
        unit: of the measure.
    """
    if unit == BYTES:
        return byte_count(int(value))
    if unit == SECONDS:
        return f"{value:.2f} s"
    if unit == CORES:
        return f"{value:g} cores"
    if unit == PERCENT:
        return f"{value:.0f}%"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"


def format_change(value: float, unit: str) -> str:
    """Returns a difference for people, with its sign."""
    return f"{'-' if value < 0 else '+'}{format_value(abs(value), unit)}"


def format_gauge(summary: SeriesSummary, unit: str) -> str:
    """Returns a gauge for people: before, during, after, delta."""
    return (
        f"{format_value(summary.before, unit)} before, {format_value(summary.least, unit)} to"
        f" {format_value(summary.most, unit)} during, {format_value(summary.after, unit)} after,"
        f" {format_change(summary.after - summary.before, unit)}"
    )


def format_counter(summary: SeriesSummary, unit: str) -> str:
    """Returns a counter for people: its increase, and how often it began again."""
    text = format_change(summary.increase, unit)
    if summary.resets:
        text += f" (began again {how_often(summary.resets)})"
    return text
