"""Thousands of alike events are few lines on a screen, and all of them in the count."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from gatherer.target.values import TargetName
from gatherer.view.folding import BURST, TELL_SECONDS, Folding
from gatherer.view.plain import PlainView
from gatherer.view.summary import MAX_LINES, ProcessSummary, Summary

AT = "2026-01-01T00:00:00.000000Z"


def test_the_first_are_shown_and_then_one_a_second() -> None:
    folding = Folding(0.0)
    assert [folding.worth("attach", 0.0) for _ in range(BURST + 3)] == [True] * BURST + [False] * 3
    assert folding.worth("exit", 0.0)  # each kind has its own
    assert not folding.worth("attach", 0.9)
    assert folding.worth("attach", 1.5)
    assert not folding.worth("attach", 1.5)
    assert folding.worth("attach", 1000.0)


def test_what_is_rare_is_always_shown() -> None:
    folding = Folding(0.0)
    assert all(folding.worth("oom", 0.0) for _ in range(1000))
    assert folding.sentence(1000.0) == ""


def test_it_is_told_how_many_were_not_shown() -> None:
    folding = Folding(0.0)
    for _ in range(BURST + 300):
        folding.worth("attach", 1.0)
    for _ in range(BURST + 2):
        folding.worth("exit", 1.0)
    assert folding.sentence(TELL_SECONDS - 0.1) == ""
    said = "not shown: 300 attach, 2 exit; events.jsonl has all of them"
    assert folding.sentence(TELL_SECONDS) == said
    assert folding.sentence(3 * TELL_SECONDS) == ""
    folding.worth("exit", 1.0)
    assert folding.sentence(3 * TELL_SECONDS, last=True).startswith("not shown: 1 exit;")


def shown(verbosity: int, *targets: TargetName | None) -> list[str]:
    """Returns what is written of hundreds of processes that are traced, and of an oom kill."""
    stream = StringIO()
    view = PlainView(stream, verbosity)
    for target in targets:
        for pid in range(900):
            view.event(AT, "attach", pid, {"threads": 1}, target)
        view.event(AT, "oom", None, {"kills": 1}, target)
    view.close()
    return stream.getvalue().splitlines()


def test_a_view_shows_the_first_and_the_count() -> None:
    lines = shown(0, None)
    assert len(lines) == BURST + 2
    assert lines[-1] == f"not shown: {900 - BURST} attach; events.jsonl has all of them"
    assert len(shown(1, None)) == 901


def test_the_events_of_each_of_many_targets_are_counted_apart() -> None:
    lines = shown(0, TargetName("shop", "web", "main"), TargetName("shop", "db", "pg"))
    assert len(lines) == 2 * (BURST + 2)
    said = f"not shown: {900 - BURST} attach; events.jsonl has all of them"
    assert lines[-2:] == [f"[pod/web/main] {said}", f"[pod/db/pg] {said}"]


def process(pid: int, records: int, lost: int = 0, log: bool = True) -> ProcessSummary:
    path = Path(f"logs/p-{pid}.log") if log else None
    return ProcessSummary("p", pid, path, records, lost, 0, 1 << 20, "exited")


def summary(*processes: ProcessSummary) -> list[str]:
    made = Summary(Path("logs"), processes, 0, 0, 0, "duration", True, (), None, None, None, 0)
    return [line for line in made.lines() if line.startswith("  ")]


def test_a_summary_of_thousands_shows_those_that_matter() -> None:
    assert len(summary(*(process(pid, 1) for pid in range(MAX_LINES)))) == MAX_LINES
    many = [process(pid, 2) for pid in range(9000)]
    many[7] = process(7, 2, lost=1)
    many[8000] = process(8000, 500)
    many[8001] = process(8001, 0, log=False)
    lines = summary(*many)
    assert len(lines) == MAX_LINES + 1
    assert any("p-7.log: 2 records, 1 lost" in line for line in lines)
    assert any("p-8000.log: 500 records" in line for line in lines)
    others = 9000 - MAX_LINES
    records = 2 * (9000 - 2) + 500 - 500 - 2 * (MAX_LINES - 1)
    assert lines[-1] == (
        f"  and {others} more, {others - 1} of them with a log: {records} records, 0 lost;"
        " session.json has all of them"
    )
