"""Doctor's answer for people and for scripts; what comes from the target is escaped here."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from gatherer.preflight.findings import Finding, Level, Report
from gatherer.text import printable

_MARKS = {
    Level.OK: "ok",
    Level.NOTE: "note",
    Level.UNKNOWN: "?",
    Level.LIMITS: "less",
    Level.STOPS: "STOP",
}
_HEAD = ("", "check", "finding", "meaning")
_MARK_WIDTH = 4
_MIN_WIDTH = 72
_MAX_TEXT = 1000


def table(report: Report, width: int) -> list[str]:
    """Returns the table of check, finding and meaning, and below it the one cause.

    Args:
        report: all findings.
        width: of the terminal, in characters.
    """
    rows = [
        (
            _MARKS[finding.level],
            printable(finding.check, _MAX_TEXT),
            printable(finding.finding, _MAX_TEXT),
            printable(finding.meaning, _MAX_TEXT),
        )
        for finding in report.findings
    ]
    widths = _widths(rows, max(width, _MIN_WIDTH))
    lines = [f"target: {printable(report.target, _MAX_TEXT)}", ""]
    for row in (_HEAD, *rows):
        lines += _wrapped(row, widths)
    return [*lines, "", *verdict(report)]


def verdict(report: Report) -> list[str]:
    """Returns what follows: whether a capture can run, the one cause, the remedy."""
    finding = report.stopping
    if finding is not None:
        return [f"no capture can start: {printable(str(finding), _MAX_TEXT)}", *_remedy(finding)]
    finding = report.limiting
    if finding is not None:
        return [
            f"a capture can run, and gives less: {printable(str(finding), _MAX_TEXT)}",
            *_remedy(finding),
        ]
    return ["a capture can run"]


def document(report: Report) -> str:
    """Returns the report as one line of JSON."""
    deciding = report.stopping or report.limiting
    value: dict[str, Any] = {
        "schema": 1,
        "target": report.target,
        "can_run": report.can_run,
        "exit_code": report.exit_code,
        "cause": str(deciding) if deciding is not None else None,
        "remedy": deciding.remedy or None if deciding is not None else None,
        "manifest": deciding.manifest or None if deciding is not None else None,
        "checks": [
            {
                "check": finding.check,
                "level": finding.level.value,
                "finding": finding.finding,
                "meaning": finding.meaning,
                "remedy": finding.remedy or None,
                "manifest": finding.manifest or None,
            }
            for finding in report.findings
        ],
    }
    return json.dumps(value)


def _remedy(finding: Finding) -> list[str]:
    lines = [f"remedy: {printable(finding.remedy, _MAX_TEXT)}"] if finding.remedy else []
    if finding.manifest:
        lines.append("")
        lines += (f"    {printable(line)}" for line in finding.manifest.splitlines())
    return lines


def _widths(rows: list[tuple[str, str, str, str]], width: int) -> tuple[int, int, int, int]:
    longest = [max(len(row[n]) for row in (_HEAD, *rows)) for n in range(4)]
    rest = width - _MARK_WIDTH - longest[1] - 6
    meaning = min(longest[3], max(rest * 2 // 5, rest - longest[2]))
    return _MARK_WIDTH, longest[1], min(longest[2], rest - meaning), meaning


def _wrapped(row: tuple[str, str, str, str], widths: tuple[int, int, int, int]) -> list[str]:
    columns = [textwrap.wrap(text, size) or [""] for text, size in zip(row, widths, strict=True)]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        "  ".join(part.ljust(size) for part, size in zip(parts, widths, strict=True)).rstrip()
        for parts in zip(*padded, strict=True)
    ]
