from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gatherer.config import ViewConfig
from gatherer.errors import DeployError
from gatherer.target.values import Target, TargetName
from gatherer.view.fleet_summary import FleetSummary, TargetOutcome
from gatherer.view.live import LiveView
from gatherer.view.status import CaptureStatus, FleetStatus, ProcessStatus, Start, TargetStatus
from gatherer.view.styles import make_view
from gatherer.view.summary import ProcessSummary, Summary
from gatherer.view.target_view import TargetView
from tests.unit.gatherer.scripted import HELLO

WEB, DB = TargetName("shop", "web-1", "main"), TargetName("shop", "db-0", "pg")
START = Start(
    Target("kubernetes", "ctx", "shop", "web-1", "main", "node1", "image:1"),
    HELLO, "copy", "its Python", "processes over 50% of 128.0 MiB", Path("logs/shop_web-1_main"),
)  # fmt: skip
PROCESS = ProcessStatus("leak\x1b[2J", 7, "leak-7.log", "traced", 5 << 20, 100, 2)
STATUS = CaptureStatus(3.0, (PROCESS,), 100, 2, 64 << 20, 128 << 20, 4 << 20, False)
FLEET = FleetStatus(
    12.0,
    (
        TargetStatus(WEB, "running", STATUS),
        TargetStatus(DB, "starting", None),
        TargetStatus(TargetName("shop", "old", "main"), "failed", None),
    ),
    1,
    False,
)
SUMMARY = FleetSummary(
    Path("logs"),
    (
        TargetOutcome(
            WEB,
            Summary(
                Path("logs/shop_web-1_main"),
                (
                    ProcessSummary(
                        "leak", 7, Path("logs/shop_web-1_main/leak-7.log"), 98, 2, 0, 9 << 20, ""
                    ),
                    ProcessSummary("other", 8, None, 0, 0, 0, None, "not attached: gone"),
                ),
                100, 98, 2, "duration", False, ("2 records were lost in transit",), 20 << 20, 0.25,
                Path("logs/shop_web-1_main/records.hgs.partial"), 4,
            ),
        ),
        TargetOutcome(DB, None, DeployError("no python\x1b[2J", "take another image")),
    ),
    "duration",
    4,
)  # fmt: skip


def shown(style: str, verbosity: int = 0) -> str:
    """Returns what a view writes about a whole capture."""
    stream = io.StringIO()
    fleet = make_view(ViewConfig(style, False, verbosity), stream)
    greeted: list[int] = []
    view = TargetView(WEB, fleet, lambda: greeted.append(1))
    view.started(START)
    view.event("2026-11-21T10:45:01.123456Z", "exec", 7, {"command": "a\nb", "target": "lie"})
    view.note("an earlier capture was moved")
    fleet.note("pods are listed")
    view.status(STATUS)
    assert (greeted, view.latest) == ([1], STATUS)
    fleet.status(FLEET)
    fleet.status(FLEET)
    view.rendering(5, 50)
    assert view.rendered == (5, 50)
    fleet.rendering(5, 50)
    fleet.rendering(50, 50)
    fleet.close()
    fleet.summary(SUMMARY)
    fleet.close()
    return stream.getvalue()


def test_plain_lines_name_their_target() -> None:
    assert shown("plain").splitlines() == [
        "[pod/web-1/main] on node node1: engine ptrace-python, inject copy,"
        " processes over 50% of 128.0 MiB, writing to logs/shop_web-1_main;"
        " up to 50 times slower while it makes system calls, --max-overhead 10% bounds that",
        "10:45:01.123 [pod/web-1/main] 7 runs a\\x0ab now",
        "[pod/web-1/main] an earlier capture was moved",
        "pods are listed",
        "12 s: 1 of 3 targets running, 1 starting, 1 failed, 1 wait for their container,"
        " 1 traced, 100 records, 2 lost, 4.0 MiB to render",
        "rendering: 10%",
        "rendering: 100%",
        "capture ended: duration",
        "  shop_web-1_main: 2 processes, 98 records, 2 lost, not complete, duration",
        "    leak-7.log: 98 records, 2 lost, peak rss 9.0 MiB",
        "    other 8: no log, not attached: gone",
        "    what was not rendered is in records.hgs.partial",
        "  shop_db-0_pg: not captured: no python\\x1b[2J; take another image",
        "targets: 2 = 0 complete + 1 not complete + 1 not captured",
        "records: 100 seen = 98 received + 2 lost",
        "hunters: peak 20.0 MiB of memory in a container, 0.25 s of CPU in all",
        "note: shop/web-1/main: 2 records were lost in transit",
        "capture directory: logs",
    ]


def test_quiet_writes_the_summary_alone() -> None:
    assert shown("plain", -1).splitlines()[0] == "capture ended: duration"


def test_json_objects_name_their_target() -> None:
    said = [json.loads(line) for line in shown("json").splitlines()]
    web = {"namespace": "shop", "pod": "web-1", "container": "main"}
    start, event, note, general, status, *_, summary = said
    assert start["target"].items() >= web.items()
    assert start["directory"] == "logs/shop_web-1_main"
    assert event == {
        "time": "2026-11-21T10:45:01.123456Z", "event": "exec", "target": web, "pid": 7,
        "command": "a\nb",
    }  # fmt: skip
    assert (note["target"], "target" in general) == (web, False)
    assert (status["received"], status["lost"], status["waiting"]) == (100, 2, 1)
    first, second, _ = status["targets"]
    assert (first["target"], first["state"], first["usage_bytes"]) == (web, "running", 64 << 20)
    assert second == {
        "target": {"namespace": "shop", "pod": "db-0", "container": "pg"}, "state": "starting",
    }  # fmt: skip
    assert (summary["exit_code"], summary["complete"]) == (4, False)
    assert summary["records"] == {"seen": 100, "received": 98, "lost": 2}
    captured, failed = summary["targets"]
    assert (captured["target"], captured["exit_code"]) == (web, 4)
    assert failed["error"] == "no python\x1b[2J; take another image"


def test_the_live_table_has_a_row_for_each_target() -> None:
    stream = io.StringIO()
    view = LiveView(stream, color=False)
    table = view.table(FLEET)
    assert table.row_count == 3
    many = FleetStatus(
        1.0, tuple(TargetStatus(WEB, "running", STATUS) for _ in range(40)), 0, False
    )
    assert view.table(many).row_count == 21, "what a terminal of 25 rows has room for"
    text = shown("live")
    assert "web-1/main" in text
    assert "\x1b[2J" not in text
    assert "targets: 2 = 0 complete + 1 not complete + 1 not captured" in text


@pytest.mark.parametrize("style", ["plain", "json", "live"])
def test_a_reader_that_has_gone_changes_nothing(style: str) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    view = make_view(ViewConfig(style), Gone())
    view.started(START, WEB)
    view.status(FLEET)
    view.summary(SUMMARY)
    view.close()


def test_what_an_agent_says_of_a_targets_memory_is_in_its_summary() -> None:
    (web, _) = SUMMARY.targets
    assert web.summary is not None
    agents = ("agent coroot: coroot/x, port 80", "  rss: 1 before", "  cache: 2", "  oom kills: +1")
    outcome = replace(web, summary=replace(web.summary, agents=agents))
    lines = replace(SUMMARY, targets=(outcome,)).lines()
    assert "    rss: 1 before" in lines
    assert "    oom kills: +1" in lines
    assert not any("cache" in line or "coroot/x" in line for line in lines)
