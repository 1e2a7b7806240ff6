"""One value followed through a capture: before, during, after, and by how much it moved. Pure."""

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
    """What is followed.

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
        """What comes and goes together: the first word of the name."""
        return self.name.partition("_")[0]

    def takes(self, sample: Sample) -> bool:
        """Whether a sample is part of it."""
        return sample.name == self.name and all(
            sample.labels.get(key) == value for key, value in self.labels
        )


@dataclass
class Course:
    """How the sum of a measure's series went.

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
        """Takes the sum of one scrape."""
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
class Courses:
    """All measures of one agent for one capture.

    Attributes:
        measures: what is followed.
        courses: what was found, by title.
    """

    measures: tuple[Measure, ...]
    courses: dict[str, Course] = field(default_factory=dict)
    _seen: set[Any] = field(default_factory=set)
    _spans: dict[str, tuple[float, float]] = field(default_factory=dict)

    def observe(self, rows: Iterable[tuple[Sample, Rate | None, bool]], seconds: float) -> None:
        """Takes one scrape.

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
            taken = [
                (sample, rate)
                for sample, rate in by_name.get(measure.name, ())
                if measure.takes(sample)
            ]
            if taken:
                groups.add(measure.group)
                self._take(measure, taken, seconds)
        for group in groups:
            first, _ = self._spans.get(group, (seconds, seconds))
            self._spans[group] = (first, seconds)

    def _take(
        self, measure: Measure, taken: list[tuple[Sample, Rate | None]], seconds: float
    ) -> None:
        course = self.courses.setdefault(measure.title, Course())
        span = self._spans.get(measure.group)
        increase = 0.0
        for sample, rate in taken:
            if rate is not None:
                increase += rate.increase
                course.resets += rate.reset
            elif sample.cumulative and span is not None and sample.key not in self._seen:
                # A series that begins during the capture counts from nothing.
                increase += sample.value
            self._seen.add(sample.key)
        course.add(sum(sample.value for sample, _ in taken))
        if not taken[0][0].cumulative:
            return
        if course.scrapes == 1 and span is not None:
            course.before = 0.0
        course.increase += increase
        if span is not None and seconds > span[1]:
            course.peak_rate = max(course.peak_rate, increase / (seconds - span[1]))
            course.seconds = seconds - span[0]

    def course(self, title: str) -> Course | None:
        """Returns a measure's course, None when no scrape had it."""
        return self.courses.get(title)

    def as_json(self) -> dict[str, Any]:
        """Returns all of them for session.json."""
        counters = {m.title for m in self.measures if is_counter(m.name)}
        return {
            title.replace(" ", "_"): course.as_json(title in counters)
            for title, course in self.courses.items()
        }


def is_counter(name: str) -> bool:
    """Whether a metric of a measure only grows, by its name."""
    return name.endswith(("_total", "_time_seconds"))


def amount(value: float, unit: str) -> str:
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


def change(value: float, unit: str) -> str:
    """Returns a difference for people, with its sign."""
    return f"{'-' if value < 0 else '+'}{amount(abs(value), unit)}"


def gauge_words(course: Course, unit: str) -> str:
    """Returns how a gauge went: before, during, after, delta."""
    return (
        f"{amount(course.before, unit)} before, {amount(course.least, unit)} to"
        f" {amount(course.most, unit)} during, {amount(course.after, unit)} after,"
        f" {change(course.after - course.before, unit)}"
    )


def counter_words(course: Course, unit: str) -> str:
    """Returns how a counter went: its increase, and how often it began again."""
    words = change(course.increase, unit)
    if course.resets:
        words += f" (began again {how_often(course.resets)})"
    return words
