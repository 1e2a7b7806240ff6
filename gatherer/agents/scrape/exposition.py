"""An exposition, parsed by prometheus_client and reduced to what is wanted. Pure.

Text format 0.0.4 and OpenMetrics 1.0; which one it is the content type says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as open_metrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from gatherer.agents.container_filter import ContainerFilter
from gatherer.errors import ScrapeError
from gatherer.text import printable

OPEN_METRICS = "application/openmetrics-text"
TEXT = "text/plain"
ACCEPT = f"{TEXT};version=0.0.4,{OPEN_METRICS};version=1.0.0;q=0.5,*/*;q=0.1"
"""Text is preferred: its parser forgives what agents of both eras do, OpenMetrics' does not."""

MAX_KEPT = 5_000
"""Samples of one scrape that are kept for one capture; the rest is counted."""
MAX_LABEL = 4096
"""Characters of a label value that are kept."""
_CUMULATIVE = ("_total", "_count", "_sum", "_bucket")


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        name: of the series, with its suffix.
        type: of its family: `counter`, `gauge`, `histogram`, `summary`, `unknown`, …
        labels: by name.
        value: as it was exposed.
    """

    name: str
    type: str
    labels: dict[str, str]
    value: float

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The identity of its series: name and labels."""
        return self.name, tuple(sorted(self.labels.items()))

    @property
    def cumulative(self) -> bool:
        """True if it only grows, until its process starts again."""
        if self.type == "counter":
            return not self.name.endswith("_created")
        return self.type in ("histogram", "summary") and self.name.endswith(_CUMULATIVE)


@dataclass(frozen=True)
class Reading:
    """One exposition.

    Attributes:
        families: how many it had.
        samples: how many it had.
        names: of its families, sorted; at most 500.
        kept: what each filter kept, in their order.
        left_out: how many samples more each would have kept.
        others: container_ids it has that are none of the first filter's, how many.
        duplicates: samples that repeat a series; the last one counts.
    """

    families: int
    samples: int
    names: tuple[str, ...]
    kept: tuple[tuple[Sample, ...], ...]
    left_out: tuple[int, ...] = ()
    others: int = 0
    duplicates: int = 0


def read_exposition(body: bytes, content_type: str, filters: Sequence[ContainerFilter]) -> Reading:
    """Parses an exposition and keeps what concerns each capture.

    Args:
        body: of the answer.
        content_type: of the answer; empty is taken for text.
        filters: what to keep, for each capture.

    Raises:
        ScrapeError: it is no exposition; the message says what it is instead.
    """
    text = _decode(body, content_type)
    kept: list[dict[Any, Sample]] = [{} for _ in filters]
    left_out = [0] * len(filters)
    names: set[str] = set()
    others: set[str] = set()
    samples = duplicates = families = 0
    for family in _families(text, content_type):
        families += 1
        names.add(family.name)
        for parsed in family.samples:
            samples += 1
            container_id = parsed.labels.get("container_id")
            for index, wanted in enumerate(filters):
                if not wanted.matches(parsed.labels):
                    if index == 0 and container_id is not None:
                        others.add(container_id)
                    continue
                labels = {
                    key: value if len(value) <= MAX_LABEL else value[:MAX_LABEL]
                    for key, value in parsed.labels.items()
                }
                sample = Sample(parsed.name, family.type, labels, float(parsed.value))
                if sample.key in kept[index]:
                    duplicates += 1
                elif len(kept[index]) >= MAX_KEPT:
                    left_out[index] += 1
                    continue
                kept[index][sample.key] = sample
    return Reading(
        families,
        samples,
        tuple(sorted(names)[:500]),
        tuple(tuple(series.values()) for series in kept),
        tuple(left_out),
        len(others),
        duplicates,
    )


def media_type(content_type: str) -> str:
    """Returns a content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _decode(body: bytes, content_type: str) -> str:
    kind = media_type(content_type)
    if kind not in ("", TEXT, OPEN_METRICS) and not kind.startswith("application/vnd.google"):
        raise _no_exposition(body, content_type)
    if b"\x00" in body[:4096]:
        raise ScrapeError("the answer is binary, no exposition", "check port and path")
    if body and not body.endswith(b"\n"):
        # Both formats end in a line feed; without it the last value may be half a number.
        if not _is_text(body):
            raise _no_exposition(body, content_type)
        raise ScrapeError("the exposition is cut short", "see whether the agent restarts")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ScrapeError(
            "the exposition is not UTF-8", "check port and path of the agent"
        ) from error


def _is_text(body: bytes) -> bool:
    """Returns whether it begins as an exposition does: with a comment or a name."""
    return body[:1] in b"#_:" or body[:1].isalpha()


def _families(text: str, content_type: str) -> Iterator[Metric]:
    parse: Iterable[Metric]
    if media_type(content_type) == OPEN_METRICS:
        parse = open_metrics_families(text)  # type: ignore[no-untyped-call]
    else:
        parse = text_families(text)
    try:
        yield from parse
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError) as error:
        text = printable(" ".join(str(error).split()) or type(error).__name__, 120)
        raise ScrapeError(
            f"the exposition cannot be parsed: {text}",
            "check port and path of the agent",
        ) from error


def _no_exposition(body: bytes, content_type: str) -> ScrapeError:
    kind = printable(media_type(content_type) or "no content type", 60)
    begin = printable(" ".join(body[:200].decode("utf-8", "replace").split()), 60)
    return ScrapeError(
        f"the answer is no exposition: {kind}, '{begin}'", "check port and path of the agent"
    )
