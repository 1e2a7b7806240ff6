from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, ConsoleDimensions

from gatherer.commands.option_values import parse_memory
from gatherer.config import CaptureConfig, TargetConfig, ViewConfig
from gatherer.target.values import Target
from gatherer.text import fitted
from gatherer.view.base import CaptureView
from gatherer.view.status import CaptureStatus, ProcessStatus, Start, Waiting
from gatherer.view.styles import make_view
from gatherer.view.summary import ProcessSummary, Summary
from gatherer.view.threshold import describe_threshold
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
STATUS = CaptureStatus(
    12.0,
    (ProcessStatus(EVIL, 7, "e-7.log", "traced", 30 << 20, 10, 2),),
    10, 2, 90 << 20, 128 << 20, 5 << 20, False,
)  # fmt: skip
SCAN = {
    "command": "leak", "reason": "memory", "rss_bytes": 80 << 20, "threshold_bytes": 64 << 20,
    "percent": 62.5, "of": "limit", "of_bytes": 128 << 20, "source": "/sys/fs/cgroup/memory.max",
}  # fmt: skip


WAITING = Waiting("CrashLoopBackOff" + EVIL, "back-off 20s " + EVIL, 12.4, 300.0)


def play(view: CaptureView) -> None:
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
    assert lines[4].startswith("cost: each system call stops its process, 50 times slower")
    assert lines[5] == "threshold: rss of at least 50%"
    assert lines[7] == (
        "14:13:22.123 leak 7 uses 80.0 MiB, 62.5% of 128.0 MiB (memory.max): chosen by memory"
    )
    assert (
        "12 s: 1 traced, 10 records, 2 lost, container 90.0 MiB of 128.0 MiB, 5.0 MiB to render"
        in (lines)
    )
    assert "rendering: 50%" in lines
    assert "records: 12 seen = 10 received + 2 lost; not complete" in lines
    assert lines[-1] == "capture directory: strace-logs"


@pytest.mark.parametrize(
    ("engine", "reason", "budget", "told"),
    [
        ("ebpf", "bpf(2) is allowed", None, ()),
        ("", "ptrace(2) is forbidden", None, ()),
        (
            "ptrace", "ebpf: CAP_BPF missing", None,
            ("30 times slower", "EINTR", "--max-overhead 10%", "ebpf (needs BPF and PERFMON)"),
        ),
        ("ptrace-python", "asked for", None, ("50 times slower", "--engine auto")),
        ("ptrace", "ebpf: another hunter of this node has it", None, ("that other",)),
        ("ptrace", "ebpf: CAP_BPF missing", 0.05, ("about 5%", "windows", "EINTR")),
    ],
)  # fmt: skip
def test_what_a_ptrace_engine_costs_is_said_before_it_attaches(
    engine: str, reason: str, budget: float | None, told: tuple[str, ...]
) -> None:
    stream = io.StringIO()
    hello = replace(HELLO, engine=engine, engine_reason=reason)
    make_view(ViewConfig("plain"), stream).started(replace(START, hello=hello, max_overhead=budget))
    costs = [line for line in stream.getvalue().splitlines() if line.startswith("cost: ")]
    assert len(costs) == (1 if told else 0)
    for words in told:
        assert words in costs[0]
    if budget is not None:
        assert "--max-overhead" not in costs[0]


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


def waits(view: CaptureView, *states: tuple[str, float]) -> None:
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


SENTENCES = [
    ("scan", 7, SCAN, "leak 7 uses 80.0 MiB, 62.5% of 128.0 MiB (memory.max): chosen by memory"),
    ("scan", 7, SCAN | {"reason": "pid"}, "leak 7 uses 80.0 MiB: chosen by --pid"),
    (
        "scan", 7, SCAN | {"excluded": "its tracer is strace"},
        "leak 7 uses 80.0 MiB, 62.5% of 128.0 MiB (memory.max): not traced, its tracer is strace",
    ),
    ("attach", 7, {"threads": 1}, "7 is traced"),
    ("attach", 7, {"threads": 3}, "7 is traced, 3 threads"),
    ("attach", 8, {"threads": 1, "parent": 7}, "8, a child of 7, is traced"),
    (
        "attach", 7, {"threads": 1, "engine": "ptrace", "reason": "a namespace below"},
        "7 is traced, with ptrace: a namespace below",
    ),
    (
        "attach_failed", 7, {"cause": "seccomp filter", "denied": True},
        "NOT TRACED: 7, only its memory is sampled: seccomp filter",
    ),
    ("attach_failed", 7, {"cause": "it is gone"}, "7 cannot be traced: it is gone"),
    ("attach_failed", None, {"parent": 7, "cause": "too many"}, "7: too many"),
    ("exec", 7, {"command": "sh"}, "7 runs sh now"),
    ("exit", 7, {"code": 3}, "7 exited with code 3"),
    ("exit", 7, {"signal": "SIGKILL", "oom": True}, "7 was killed by SIGKILL, out of memory"),
    ("exit", 7, {}, "7 has ended"),
    ("detach", 7, {}, "7 is not traced any more"),
    ("oom", None, {"kills": 1}, "out of memory: the kernel killed 1 process"),
    ("lost", 7, {"records": 1, "cause": "queue full"}, "1 record of 7 lost: queue full"),
    ("lost", None, {"records": 2, "cause": "lost in transit"}, "2 records lost: lost in transit"),
    (
        "dropped", 7, {"cause": "log size limit", "limit_bytes": 2 << 30},
        "the log of 7 has reached its limit, 2.0 GiB: later lines are dropped",
    ),
    (
        "dropped", 7, {"lines": 5, "limit_bytes": 2 << 30},
        "5 lines of 7 dropped: its log has reached its limit, 2.0 GiB",
    ),
    (
        "reconnect", None, {"cause": "x", "seconds": 2.125, "attempts": 3, "missing_frames": 0},
        "hunter is back after 2.12 s, 3 attempts",
    ),
    (
        "agent_gap", None, {"agent": "coroot", "cause": "no answer", "remedy": "see its log"},
        "agent coroot: no answer; see its log",
    ),
    ("agent_gap", None, {"agent": "a", "ended_after_s": 30.0}, "agent a answers again, after 30 s"),
    (
        "target_ended", None, {"reason": "OOMKilled", "exit_code": 137},
        "the target has ended: OOMKilled, exit code 137",
    ),
    ("target_ended", None, {"reason": "target ended"}, "the target has ended"),
    ("clock_step", None, {"seconds": -2.5}, "the clock of the node was set, by -2.5 s"),
    ("gatherer_paused", None, {"seconds": 3.1}, "gatherer did not run for 3.1 s"),
    (
        "silent", None, {"seconds": 4.2},
        "hunter has said nothing for 4.2 s; what it traces with ptrace may stand still",
    ),
    ("heard", None, {"seconds": 6.5}, "hunter is heard again, after 6.5 s"),
    (
        "stuck", None, {"cause": "x", "then": "another hunter goes on, without ptrace"},
        "hunter was stuck: x; another hunter goes on, without ptrace",
    ),
    ("stuck", None, {"cause": "x", "then": None}, "hunter was stuck: x"),
    (
        "watchdog", None, {"replaced": 7, "by": 8},
        "hunter's watchdog had gone (process 7); there is another",
    ),
    (
        "little_cpu", None, {"cpus": 0.01, "source": "/sys/fs/cgroup/cpu.max"},
        "hunter may use 0.01 CPUs only: what it traces with ptrace is slowed down to that",
    ),
    (
        "smaps", 7, {"mappings": [{"name": "[heap]", "rss_bytes": 60 << 20}, {"rss_bytes": 1}]},
        "most memory of 7: [heap] 60.0 MiB, anonymous 1 B",
    ),
    ("new", 7, {"some_bytes": 2048, "x_y": 1}, "new of 7: some 2.0 KiB, x y 1"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "pid", "fields", "sentence"), SENTENCES)
def test_events_are_sentences_that_fit(
    event: str, pid: int | None, fields: dict[str, object], sentence: str
) -> None:
    stream = io.StringIO()
    view = make_view(ViewConfig("plain"), stream)
    view.event("2026-09-21T14:13:22.123456Z", event, pid, fields)
    view.close()
    assert stream.getvalue() == f"14:13:22.123 {sentence}\n"
    assert len(stream.getvalue()) <= 101


@pytest.mark.parametrize("event", sorted({each[0] for each in SENTENCES}))
@pytest.mark.parametrize("value", [None, 0, -1, True, 1.5, "x", [], {}, "\x1b[2J", [{"a": 1}]])
def test_whatever_is_in_an_event_it_is_one_line(event: str, value: object) -> None:
    fields = {name: value for each in SENTENCES for name in each[2]}
    stream = io.StringIO()
    view = make_view(ViewConfig("plain", verbosity=1), stream)
    view.event("2026-09-21T14:13:22.123456Z", event, None, fields)
    view.event("2026-09-21T14:13:22.123456Z", event, 7, {})
    view.close()
    assert stream.getvalue().count("\n") <= 2
    assert "\x1b" not in stream.getvalue()


def test_what_nobody_asked_for_is_shown_with_v_only() -> None:
    for verbosity, count in ((0, 0), (1, 2)):
        stream = io.StringIO()
        view = make_view(ViewConfig("plain", verbosity=verbosity), stream)
        view.event("2026-09-21T14:13:22.1Z", "placement", None, {"placement": "off", "cpus": [1]})
        gap = {"agent": "auto", "cause": "no coroot-node-agent", "asked": False}
        view.event("2026-09-21T14:13:22.1Z", "agent_gap", None, gap)
        view.close()
        assert len(stream.getvalue().splitlines()) == count


@pytest.mark.parametrize("style", ["plain", "live"])
def test_events_are_shown_in_the_order_of_their_times(style: str) -> None:
    stream = io.StringIO()
    view = make_view(ViewConfig(style, color=False), stream)
    for second in (5, 3, 4):
        view.event(f"2026-09-21T14:13:0{second}.000000Z", "exec", second, {"command": "x"})
    assert stream.getvalue() == ""
    view.note("a note")
    view.event("2026-09-21T14:13:02.500000Z", "exec", 2, {"command": "late"})
    view.event("2026-09-21T14:13:06.000000Z", "exec", 6, {"command": "x"})
    view.close()
    lines = [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]
    assert lines == [
        "14:13:03.000 3 runs x now", "14:13:04.000 4 runs x now", "14:13:05.000 5 runs x now",
        "a note", "14:13:05.000 2 runs late now (at 14:13:02.500)", "14:13:06.000 6 runs x now",
    ]  # fmt: skip


def test_events_wait_for_earlier_ones_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("gatherer.view.event_lines.clock.monotonic", lambda: now[0])
    stream = io.StringIO()
    view = make_view(ViewConfig("plain"), stream)
    view.event("2026-09-21T14:13:05.000000Z", "detach", 5, {})
    view.status(replace(STATUS, seconds=0.1))
    assert stream.getvalue() == ""
    now[0] += 0.5
    view.event("2026-09-21T14:13:04.000000Z", "detach", 4, {})
    view.event("2026-09-21T14:13:06.000000Z", "detach", 6, {})
    view.status(replace(STATUS, seconds=0.6))
    assert [line.split()[1] for line in stream.getvalue().splitlines()] == ["4", "5"]


def test_lines_of_a_terminal_are_broken_between_words() -> None:
    long = "/a/path/that/is/longer/than/a/line/of/this/terminal"
    assert fitted("short", 40) == ["short"]
    assert fitted("x" * 50, 0) == ["x" * 50]
    lines = fitted(f"  one two three four five six seven eight nine: {long}", 40)
    assert lines == ["  one two three four five six seven", "      eight nine:", f"      {long}"]


class Screenful(io.StringIO):
    """A terminal that breaks lines anew when its width changes, as most do."""

    def __init__(self) -> None:
        super().__init__()
        self.columns, self.height = 80, 24
        self.rows = [""]
        self.goes_on = [False]  # in the row below
        self.row, self.column = 0, 0

    def isatty(self) -> bool:
        return True

    def resize(self, columns: int, height: int) -> None:
        lines = [""]
        for row, goes_on in zip(self.rows, self.goes_on, strict=True):
            lines[-1] += row
            if not goes_on:
                lines.append("")
        self.columns, self.height = columns, height
        self.rows, self.goes_on = [], []
        for line in lines[:-1]:
            starts = range(0, max(1, len(line)), columns)
            self.rows += [line[at : at + columns] for at in starts]
            self.goes_on += [at + columns < len(line) for at in starts]
        # Here the cursor is always in the last row.
        self.row, self.column = len(self.rows) - 1, len(self.rows[-1])

    def write(self, text: str) -> int:
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", text):
            if part == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.rows):
                    self.rows.append("")
                    self.goes_on.append(False)
            elif part == "\r":
                self.column = 0
            elif part.endswith("A"):
                top = max(0, len(self.rows) - self.height)
                self.row = max(top, self.row - int(part[2:-1] or 1))
            elif part.endswith("J"):
                del self.rows[self.row + 1 :], self.goes_on[self.row + 1 :]
                self.rows[self.row] = self.rows[self.row][: self.column]
                self.goes_on[self.row] = False
            elif part == "\x1b[2K":
                self.rows[self.row], self.goes_on[self.row] = "", False
            elif not part.startswith("\x1b"):
                assert self.column + len(part) <= self.columns, "nothing is longer than a row"
                row = self.rows[self.row]
                kept = row[: self.column].ljust(self.column)
                self.rows[self.row] = kept + part + row[self.column + len(part) :]
                self.column += len(part)
        return len(text)

    def visible(self) -> str:
        return "\n".join(self.rows[-self.height :])


def test_a_terminal_of_another_size_has_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Screenful()
    monkeypatch.setattr(
        Console, "size", property(lambda _: ConsoleDimensions(terminal.columns, terminal.height))
    )
    view = make_view(ViewConfig("live", color=False), terminal)
    view.started(replace(START, hello=HELLO))
    processes = tuple(
        ProcessStatus(f"python{n}", 4000 + n, f"python{n}-400{n}.log", "traced", 30 << 20, n, 0)
        for n in range(7)
    )
    for seconds, size in enumerate(((80, 24), (80, 24), (40, 10), (40, 10), (100, 30), (60, 20))):
        if size != (terminal.columns, terminal.height):
            terminal.resize(*size)
        view.status(replace(STATUS, seconds=float(seconds), processes=processes))
        shown = terminal.visible()
        assert shown.count("PROCESS") == 1, shown
        assert shown.count(" traced, ") == 1, shown
        assert max(map(len, shown.split("\n"))) <= size[0]
    view.close()
    assert "PROCESS" not in terminal.visible()
