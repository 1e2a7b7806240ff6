from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gatherer.config import CaptureConfig, TargetConfig, ViewConfig
from gatherer.options import parse_memory
from gatherer.runtimes import Target
from gatherer.summary import ProcessSummary, Summary
from gatherer.threshold import describe_threshold
from gatherer.view import ProcessStatus, Start, Status, View, Waiting, make_view
from tests.unit.gatherer.scripted import HELLO

EVIL = "\x1b]0;evil\x07[bold]\u202e\n"
START = Start(
    Target("kubernetes", "ctx", "default", "pod", "box" + EVIL, "node1", "image"),
    replace(HELLO, engine_reason=EVIL, python=EVIL, executable=EVIL),
    "copy",
    "its Python " + EVIL,
    "rss of at least 50%",
    Path("strace-logs"),
)
SUMMARY = Summary(
    Path("strace-logs"),
    (ProcessSummary(EVIL, 7, Path("strace-logs/e-7.log"), 10, 2, 3, 30 << 20, EVIL),),
    12, 10, 2, "the stream broke: " + EVIL, False, (EVIL,), 20 << 20, 0.5,
    Path("strace-logs/records.hgs.partial"), 4,
)  # fmt: skip
STATUS = Status(
    12.0,
    (ProcessStatus(EVIL, 7, "e-7.log", "traced", 30 << 20, 10, 2),),
    10, 2, 90 << 20, 128 << 20, 5 << 20, False,
)  # fmt: skip
SCAN = {
    "command": "leak", "reason": "memory", "rss_bytes": 80 << 20, "threshold_bytes": 64 << 20,
    "percent": 62.5, "of": "limit", "of_bytes": 128 << 20, "source": "/sys/fs/cgroup/memory.max",
}  # fmt: skip


WAITING = Waiting("CrashLoopBackOff" + EVIL, "back-off 20s " + EVIL, 12.4, 300.0)


def play(view: View) -> None:
    view.waiting(WAITING)
    view.started(START)
    view.event("2026-09-21T14:13:22.123456Z", "scan", 7, SCAN)
    view.event("2026-09-21T14:13:22.123456Z", "exec", 7, {"command": EVIL, EVIL: EVIL})
    view.note("note " + EVIL)
    view.status(STATUS)
    view.rendering(50, 100)
    view.rendering(100, 100)
    view.summary(SUMMARY)
    view.close()
    view.close()


@pytest.mark.parametrize("style", ["plain", "live", "json"])
@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_no_control_character_of_the_target_is_written(style: str, verbosity: int) -> None:
    stream = io.StringIO()
    play(make_view(ViewConfig(style, color=False, verbosity=verbosity), stream))
    text = stream.getvalue()
    assert "evil" in text
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


def test_plain_lines() -> None:
    stream = io.StringIO()
    play(make_view(ViewConfig("plain"), stream))
    first, *lines = stream.getvalue().splitlines()
    assert first.startswith("waiting for the container to run: CrashLoopBackOff\\x1b]0;evil")
    assert first.endswith("; 12s of 5m")
    assert lines[0] == ("target: default/pod/box\\x1b]0;evil\\x07[bold]\\u202e\\x0a on node node1")
    assert lines[4] == "threshold: rss of at least 50%"
    assert lines[6] == (
        "14:13:22.123 scan: 7 leak uses 83886080 bytes (80.0 MiB) = 62.5% of 134217728 bytes"
        " (128.0 MiB) (/sys/fs/cgroup/memory.max), threshold 67108864 bytes (64.0 MiB):"
        " chosen by memory"
    )
    assert (
        "12 s: 1 traced, 10 records, 2 lost, container 90.0 MiB of 128.0 MiB, 5.0 MiB to render"
        in (lines)
    )
    assert "rendering: 50%" in lines
    assert "records: 12 seen = 10 received + 2 lost; not complete" in lines
    assert lines[-1] == "capture directory: strace-logs"


def test_quiet_shows_the_summary_alone() -> None:
    stream = io.StringIO()
    play(make_view(ViewConfig("plain", verbosity=-1), stream))
    assert stream.getvalue().splitlines() == SUMMARY.lines()


def test_status_lines_come_every_ten_seconds_and_when_something_changed() -> None:
    stream = io.StringIO()
    view = make_view(ViewConfig("plain"), stream)
    for seconds in (1.0, 11.0, 12.0, 22.0, 33.0):
        view.status(replace(STATUS, seconds=seconds))
    view.status(replace(STATUS, seconds=44.0, received=11))
    assert [line.partition(" s")[0] for line in stream.getvalue().splitlines()] == ["11", "44"]


def test_json_lines_are_json_with_the_event_named() -> None:
    stream = io.StringIO()
    play(make_view(ViewConfig("json"), stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "waiting", "start", "scan", "exec", "note", "status", "rendering", "rendering", "summary"
    ]  # fmt: skip
    events = events[1:]
    assert events[2]["command"] == EVIL
    assert events[-1]["exit_code"] == 4


def test_denied_tracing_is_said_in_the_first_lines() -> None:
    stream = io.StringIO()
    hello = replace(HELLO, engine="", engine_reason="seccomp", tracing="denied: seccomp filter")
    make_view(ViewConfig("plain"), stream).started(replace(START, hello=hello))
    assert "NO SYSTEM CALLS ARE TRACED, denied: seccomp filter; going on with memory" in (
        stream.getvalue()
    )


class Gone(io.StringIO):
    """A pipe whose reader went away."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("style", ["plain", "live", "json"])
def test_a_reader_that_went_away_is_no_error(style: str) -> None:
    play(make_view(ViewConfig(style), Gone()))


def test_an_ascii_terminal_gets_escapes() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    make_view(ViewConfig("plain"), stream).note("漢")
    assert raw.getvalue() == b"\\u6f22\n"


@pytest.mark.parametrize(
    ("more", "limit", "sentence"),
    [
        (
            {"memory": parse_memory("20")}, 128 << 20,
            "rss of at least 20% of 134217728 bytes (/sys/fs/cgroup/memory.max)"
            " = 26843545 bytes (25.6 MiB)",
        ),
        (
            {"memory": parse_memory("50")}, None,
            "rss of at least 50% of 8589934592 bytes (/proc/meminfo MemTotal),"
            " there is no memory limit, so of the node = 4294967296 bytes (4.0 GiB)",
        ),
        (
            {"memory": parse_memory("50"), "of": "node"}, 128 << 20,
            "rss of at least 50% of 8589934592 bytes (/proc/meminfo MemTotal)"
            " = 4294967296 bytes (4.0 GiB)",
        ),
        ({"memory": parse_memory("200Mi")}, 1, "rss of at least 209715200 bytes (200.0 MiB)"),
        ({"pids": (7, 8)}, 1, "pid 7, 8 whatever its memory"),
        (
            {"memory": parse_memory("1Gi"), "growth": 5 << 20, "pids": (7,)}, 1,
            "rss of at least 1073741824 bytes (1.0 GiB);"
            " growth of at least 5242880 bytes/s (5.0 MiB/s); pid 7 whatever its memory",
        ),
    ],
)  # fmt: skip
def test_the_threshold_has_numerator_denominator_and_source(
    more: dict[str, object], limit: int | None, sentence: str
) -> None:
    config = CaptureConfig(target=TargetConfig(pod="x"), **more)  # type: ignore[arg-type]
    assert describe_threshold(config, replace(HELLO, memory_limit_bytes=limit)) == sentence


def waits(view: View, *states: tuple[str, float]) -> None:
    for reason, seconds in states:
        view.waiting(Waiting(reason, "", seconds, 300.0))


def test_plain_lines_about_a_wait_come_with_news_and_every_30_seconds() -> None:
    stream = io.StringIO()
    waits(
        make_view(ViewConfig("plain"), stream),
        *(("Pending", float(second)) for second in range(40)),
        ("ContainerCreating", 40.0),
        ("ContainerCreating", 41.0),
    )
    assert stream.getvalue().splitlines() == [
        "waiting for the container to run: Pending; 0s of 5m",
        "waiting for the container to run: Pending; 30s of 5m",
        "waiting for the container to run: ContainerCreating; 40s of 5m",
    ]


def test_json_objects_about_a_wait() -> None:
    stream = io.StringIO()
    view = make_view(ViewConfig("json"), stream)
    view.waiting(Waiting("Unschedulable", "0/1 nodes", 0.01, 300.0))
    waits(view, *(("Pending", float(second)) for second in range(15)))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(each["reason"], each["seconds"]) for each in told] == [
        ("Unschedulable", 0.01), ("Pending", 0.0), ("Pending", 10.0)
    ]  # fmt: skip
    assert (told[0]["event"], told[0]["message"]) == ("waiting", "0/1 nodes")
    assert (told[0]["limit_seconds"], told[1]["message"]) == (300.0, None)
    assert told[0]["time"].endswith("Z")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_live_view_counts_and_keeps_each_reason_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = make_view(ViewConfig("live", color=False), stream)
    waits(view, ("Pending", 0.0), ("Pending", 1.0), ("Pending", 100.0))
    view.close()
    text = stream.getvalue()
    assert text.count("waiting for the container to run: Pending; 0s of 5m") == 1
    assert "1m40s of 5m: waiting for the container to run; Ctrl-C ends it" in text
