"""Records of the agents of one capture: metrics.jsonl, events, raw answers, notes.

Nothing here can end the capture: when the disk refuses, it is said once, and no more is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gatherer.agents.scrape.exposition import Sample
from gatherer.agents.series.rates import Rate
from gatherer.clock import CaptureClock, rfc3339
from gatherer.errors import LogWriteError
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.view.base import CaptureView

MAX_WAITING = 50_000
"""Lines kept until the capture clock is known."""

SAMPLE, WRITTEN, SHOWN = "sample", "event that is written", "event that is shown too"

Row = tuple[Sample, "Rate | None", bool]
"""A sample, its rate, and whether it is stale."""


class AgentRecord:
    """Writes for one capture.

    Args:
        directory: where to.
        view: what is shown.
        clock: gives the capture clock, None before hunter's Hello.
    """

    def __init__(
        self,
        directory: CaptureDirectory,
        view: CaptureView,
        clock: Callable[[], CaptureClock | None],
    ) -> None:
        self._directory = directory
        self._view = view
        self._clock = clock
        self._known: CaptureClock | None = None
        self._waiting: list[tuple[int, dict[str, Any], str]] = []
        self._broken = False

    def metrics(self, time_ns: int, agent: str, rows: Sequence[Row]) -> None:
        """Writes the samples of a scrape.

        Args:
            time_ns: gatherer's CLOCK_REALTIME.
            agent: its name in this capture.
            rows: the samples.
        """
        self._write([(time_ns, _line(agent, *row), SAMPLE) for row in rows])

    def gap(self, fields: Mapping[str, Any], show: bool = True) -> None:
        """Writes an `agent_gap` event, and shows it.

        Args:
            fields: of the event.
            show: False where another capture has shown the same.
        """
        self._write([(time.time_ns(), dict(fields), SHOWN if show else WRITTEN)])

    def show(self, text: str) -> None:
        """Shows something that is no event."""
        self._view.note(text)

    async def keep(self, name: str, data: bytes) -> None:
        """Writes a raw answer, a profile or a log.

        Args:
            name: of the file in agents/.
            data: all of it.
        """
        try:
            if not self._broken:
                await self._directory.write_agent_file(name, data)
        except LogWriteError as error:
            self._give_up(error)

    def flush(self) -> bool:
        """Writes what waited for the clock; returns whether it is known."""
        self._write([])
        return self._known is not None or self._broken

    def _write(self, rows: list[tuple[int, dict[str, Any], str]]) -> None:
        if self._broken:
            return
        self._waiting += rows
        del self._waiting[MAX_WAITING:]
        # Between two instances of a target there is none; the node's clock is still the same.
        self._known = clock = self._clock() or self._known
        if clock is None:
            return
        waiting, self._waiting = self._waiting, []
        lines: list[dict[str, Any]] = []
        try:
            for time_ns, fields, kind in waiting:
                when = rfc3339(time_ns + clock.offset_ns)
                if kind == SAMPLE:
                    lines.append({"time": when, **fields})
                    continue
                self._directory.append_event(when, "agent_gap", None, fields)
                if kind == SHOWN:
                    self._view.event(when, "agent_gap", None, fields)
            self._directory.append_metrics(lines)
        except LogWriteError as error:
            self._give_up(error)

    def _give_up(self, error: LogWriteError) -> None:
        self._broken = True
        self._waiting.clear()
        self._view.note(f"no more agent samples are written: {error}")


def _line(agent: str, sample: Sample, rate: Rate | None, stale: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "agent": agent,
        "name": sample.name,
        "type": sample.type,
        "labels": sample.labels,
        "value": _number(float(sample.value)),
    }
    if rate is not None:
        line["rate"] = rate.per_second
        if rate.reset:
            line["reset"] = True
    if stale:
        line["stale"] = True
    return line


def _number(value: float) -> float | int | str:
    """Returns a value for JSON, which has no NaN and no infinity: Prometheus writes them as text.

    Args:
        value: of a sample.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
