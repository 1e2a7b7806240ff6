"""Doctor's table and its JSON."""

from __future__ import annotations

import json

from gatherer.preflight.findings import Finding, Level, Report
from gatherer.preflight.table import document, table

FINE = Finding("cluster", "https://a: v1.36.2", "it answers")
LESS = Finding(
    "tracing", "denied: no", "memory evidence only", Level.LIMITS, "do this", "a: 1\nb: 2\n",
    "tracing is denied: no",
)  # fmt: skip
STOP = Finding("pod", "\x1b[31mpods \u202e not found", "", Level.STOPS, "do that")


def test_a_capture_that_can_run() -> None:
    lines = table(Report("default/p/c", (FINE,)), 80)
    assert lines == [
        "target: default/p/c",
        "",
        "      check    finding             meaning",
        "ok    cluster  https://a: v1.36.2  it answers",
        "",
        "a capture can run",
    ]


def test_the_cause_the_remedy_and_the_manifest_follow_the_table() -> None:
    lines = table(Report("t", (FINE, LESS)), 100)
    assert lines[-5:] == [
        "a capture can run, and gives less: tracing is denied: no",
        "remedy: do this",
        "",
        "    a: 1",
        "    b: 2",
    ]


def test_what_stops_comes_before_what_limits_and_is_harmless() -> None:
    lines = table(Report("t", (LESS, STOP)), 100)
    assert lines[-2:] == [
        "no capture can start: \\x1b[31mpods \\u202e not found",
        "remedy: do that",
    ]
    assert all(line.isprintable() for line in lines)


def test_rows_are_wrapped_to_the_terminal() -> None:
    long = Finding("check", "finding " * 30, "meaning " * 30)
    lines = table(Report("t", (long,)), 72)
    assert max(map(len, lines)) <= 72
    assert sum(line.count("finding") for line in lines) == 31


def test_json_is_one_line_with_everything() -> None:
    text = document(Report("t", (FINE, LESS, STOP)))
    assert "\n" not in text
    value = json.loads(text)
    assert (value["can_run"], value["exit_code"]) == (False, 3)
    assert (value["cause"], value["remedy"]) == (STOP.finding, "do that")
    assert value["manifest"] is None
    assert [check["level"] for check in value["checks"]] == ["ok", "limits", "stops"]
    assert value["checks"][1]["manifest"] == "a: 1\nb: 2\n"
    fine = json.loads(document(Report("t", (FINE,))))
    assert (fine["can_run"], fine["cause"], fine["exit_code"]) == (True, None, 0)
