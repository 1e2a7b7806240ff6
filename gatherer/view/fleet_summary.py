"""The summary of the captures of many targets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatherer.errors import GathererError
from gatherer.rendering.accounting import known_sum
from gatherer.target.values import TargetName
from gatherer.text import byte_count, counted, number, printable
from gatherer.view.summary import Summary

_WORST_FIRST = (1, 3, 4)
"""A capture that broke, one that never was, one with losses."""


@dataclass(frozen=True)
class TargetOutcome:
    """The end of one target.

    Attributes:
        name: of the target.
        summary: of its capture, None when there was none.
        error: what ended it before its time, or kept it from starting.
        remark: why there is no capture, though nothing failed; empty otherwise.
    """

    name: TargetName
    summary: Summary | None
    error: GathererError | None = None
    remark: str = ""

    @property
    def exit_code(self) -> int:
        """The exit code that a capture of this target alone would have had."""
        if self.summary is not None:
            return self.summary.exit_code
        return self.error.exit_code if self.error is not None else 0


@dataclass(frozen=True)
class FleetSummary:
    """The end of the captures of many targets.

    Attributes:
        directory: holds their capture directories.
        targets: in the order in which they were found.
        end_reason: why it ended.
        exit_code: what gatherer exits with.
        not_found: why pods that were asked for are not among the targets.
    """

    directory: Path
    targets: tuple[TargetOutcome, ...]
    end_reason: str
    exit_code: int
    not_found: tuple[GathererError, ...] = ()

    @property
    def captured(self) -> list[Summary]:
        """The summaries of those that were captured."""
        return [target.summary for target in self.targets if target.summary is not None]

    @property
    def complete(self) -> bool:
        """Whether everything that any hunter saw is in the logs, and every target has some."""
        return all(
            target.summary.complete if target.summary is not None else target.error is None
            for target in self.targets
        )

    def lines(self) -> list[str]:
        """Returns the summary as lines of text; nothing in them can move a cursor."""
        lines = [f"capture ended: {printable(self.end_reason, 300)}"]
        notes = []
        for target in self.targets:
            lines += _target_lines(target)
            if target.summary is not None:
                notes += [f"{target.name}: {note}" for note in target.summary.notes]
        captured = self.captured
        complete = sum(summary.complete for summary in captured)
        lines.append(
            f"targets: {len(self.targets)} = {complete} complete"
            f" + {len(captured) - complete} not complete"
            f" + {len(self.targets) - len(captured)} not captured"
        )
        seen, received, lost = self._records()
        lines.append(f"records: {number(seen)} seen = {received} received + {number(lost)} lost")
        peaks = [summary.hunter_peak_pss_bytes or 0 for summary in captured]
        if any(peaks):
            cpu = sum(summary.hunter_cpu_seconds or 0.0 for summary in captured)
            lines.append(
                f"hunters: peak {byte_count(max(peaks))} of memory in a container,"
                f" {cpu:.2f} s of CPU in all"
            )
        lines += [f"note: {printable(note, 500)}" for note in notes]
        lines.append(f"capture directory: {printable(str(self.directory))}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Returns the summary as one JSON object."""
        seen, received, lost = self._records()
        return {
            "directory": str(self.directory),
            "targets": [
                {
                    "target": target.name.as_json(),
                    "error": str(target.error) if target.error is not None else None,
                    "remark": target.remark or None,
                    **(target.summary.as_json() if target.summary is not None else {}),
                }
                for target in self.targets
            ],
            "records": {"seen": seen, "received": received, "lost": lost},
            "end_reason": self.end_reason,
            "complete": self.complete,
            "exit_code": self.exit_code,
        }

    @property
    def failure(self) -> GathererError | None:
        """The error that stands for all there were, None when there is none."""
        return joint_error(self.targets) or next(iter(self.not_found), None)

    def _records(self) -> tuple[int | None, int, int | None]:
        captured = self.captured
        return (
            known_sum(summary.seen for summary in captured),
            sum(summary.received for summary in captured),
            known_sum(summary.lost for summary in captured),
        )


def worst(codes: Iterable[int]) -> int:
    """Returns the exit code of a capture of many targets.

    Args:
        codes: what each of them alone would have exited with.
    """
    given = set(codes)
    return next((code for code in _WORST_FIRST if code in given), max(given, default=0))


def joint_error(targets: Iterable[TargetOutcome]) -> GathererError | None:
    """Returns one error for many, the first of the worst kind, and how many there are.

    Args:
        targets: some with an error.
    """
    outcomes = list(targets)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if not failed:
        return None
    code = worst(outcome.exit_code for outcome in failed)
    first = next(outcome for outcome in failed if outcome.exit_code == code)
    assert first.error is not None
    error = first.error
    if len(outcomes) > 1:
        cause = f"{len(failed)} of {counted(len(outcomes), 'target')} failed, first {first.name}"
        error = GathererError(f"{cause}: {first.error.cause}", first.error.remedy)
    return error.replace(exit_code=code)


_AGENT_LINES = ("  rss: ", "  oom kills: +")


def _target_lines(target: TargetOutcome) -> list[str]:
    summary, name = target.summary, target.name.directory
    if summary is None:
        why = str(target.error) if target.error is not None else target.remark
        return [f"  {name}: not captured: {printable(why, 500)}"]
    count = len(summary.processes)
    lines = [
        f"  {name}: {counted(count, 'process')}, {counted(summary.received, 'record')},"
        f" {number(summary.lost)} lost, {summary.completeness()},"
        f" {printable(summary.end_reason, 300)}"
    ]
    lines += [f"    {line}" for line in summary.process_lines(short=True)]
    if summary.spool is not None:
        lines.append(f"    what was not rendered is in {printable(summary.spool.name)}")
    # All that agents gave is in the target's session.json.
    return lines + [
        f"  {printable(line, 300)}" for line in summary.agents if line.startswith(_AGENT_LINES)
    ]
