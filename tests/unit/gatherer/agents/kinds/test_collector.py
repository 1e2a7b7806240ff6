"""Collector: diagnostics of both eras, the cases they mean, its answers, its metrics."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.agents.kinds.analysis import ScrapeContext
from gatherer.agents.kinds.collector import (
    CollectorHealth,
    Readiness,
    StartupDiagnostics,
    evaluate_startup,
    read_connections,
    read_diagnostics,
    read_endpoints,
    read_profiling,
    read_readiness,
    short_id,
)
from gatherer.agents.scrape.exposition import Sample
from gatherer.errors import ScrapeError

OLD = """\
[INFO 2022/11/28 13:21:55] == Collector Startup Diagnostics: ==
[INFO 2022/11/28 13:21:55] Connected to Sensor? {connected}
[INFO 2022/11/28 13:21:55] Kernel driver available? {available}
[INFO 2022/11/28 13:21:55] Driver loaded into kernel? {loaded}
[INFO 2022/11/28 13:21:55] ====================================
[INFO 2022/11/28 13:21:55]
"""
NEW = """\
[INFO    2025/07/24 10:05:54] == Collector Startup Diagnostics: ==
[INFO    2025/07/24 10:05:54]  Connected to Sensor?       {connected}
[INFO    2025/07/24 10:05:54]  Kernel driver candidates:
[INFO    2025/07/24 10:05:54]    core_bpf ({available})
[INFO    2025/07/24 10:05:54]  Driver loaded into kernel: core_bpf
[INFO    2025/07/24 10:05:54] ====================================
"""
NEW_FAILED = "\n".join(line for line in NEW.splitlines() if "Driver loaded" not in line) + "\n"


def old(connected: str = "true", available: str = "true", loaded: str = "true") -> str:
    return OLD.format(connected=connected, available=available, loaded=loaded)


def fatal(text: str) -> str:
    return f"[FATAL   2025/07/24 10:05:54] {text}\n"


def test_the_same_start_reads_the_same_in_both_formats() -> None:
    before = read_diagnostics(old())
    after = read_diagnostics(NEW.format(connected="true", available="available"))
    assert before == StartupDiagnostics(True, (("kernel driver", True),), "yes", "", True)
    assert after == StartupDiagnostics(True, (("core_bpf", True),), "core_bpf")


@pytest.mark.parametrize(
    ("log", "case", "words"),
    [
        (old(), "ok", ""),
        (NEW.format(connected="true", available="available"), "ok", ""),
        (NEW.format(connected="false", available="available"), "standalone", ""),
        (
            old("false", "false", "false") + fatal("Unable to connect to Sensor."),
            "not connected to Sensor", "GRPC_SERVER",
        ),
        (
            NEW_FAILED.format(connected="false", available="available")
            + fatal("Unable to connect to Sensor at 'sensor.stackrox.svc:443'."),
            "not connected to Sensor", "GRPC_SERVER",
        ),
        (fatal("Unable to connect to Sensor at 'x'."), "not connected to Sensor", "GRPC_SERVER"),
        (
            old("true", "false", "false") + fatal("No suitable kernel object downloaded"),
            "no driver", "uname -r",
        ),
        (NEW_FAILED.format(connected="true", available="unavailable"), "no driver", "BTF"),
        (
            old("true", "true", "false")
            + fatal("Failed to initialize collector kernel components."),
            "driver not loaded", "privileged",
        ),
        (
            NEW_FAILED.format(connected="true", available="available"),
            "driver not loaded", "privileged",
        ),
    ],
)  # fmt: skip
def test_the_cases_of_the_troubleshooting_guide(log: str, case: str, words: str) -> None:
    diagnostics = read_diagnostics(f"Collector Version: 3.12.0\n{log}")
    assert diagnostics is not None
    judged = evaluate_startup(diagnostics)
    assert judged.case == case
    assert words in judged.remedy
    assert bool(judged.remedy) is (case not in ("ok", "standalone"))
    if diagnostics.fatal:
        assert diagnostics.fatal in judged.cause


def test_the_last_block_of_a_log_counts_and_places_in_the_source_are_skipped() -> None:
    log = (
        old("false", "false", "false")
        + fatal("x")
        + NEW.format(connected="true", available="available").replace("] ", "] (Diagnostics.h:37) ")
    )
    diagnostics = read_diagnostics(log)
    assert diagnostics is not None
    assert evaluate_startup(diagnostics).case == "ok"
    assert not diagnostics.fatal


def test_a_log_without_diagnostics() -> None:
    assert read_diagnostics("") is None
    assert read_diagnostics("[INFO 2022/10/13 12:20:43] Hostname: 'hostname'\n") is None


def test_what_a_log_says_cannot_move_a_cursor() -> None:
    diagnostics = read_diagnostics(fatal("\x1b[2J Unable\x07"))
    assert diagnostics is not None
    assert diagnostics.fatal.isprintable()


@given(st.text(max_size=300))
def test_any_log_is_read(text: str) -> None:
    read_diagnostics(text)
    read_diagnostics(NEW.replace("core_bpf", text))


def state(value: object) -> bytes:
    """JSON as Collector writes it: one line, a newline at its end."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode() + b"\n"


def test_readiness() -> None:
    body = b"""{"collector":{"drops":{"ringbuffer":1,"threadcache":2,"total":3},"events":500,
    "node":"node1","preemptions":0},"status":"ok"}"""
    assert read_readiness(200, body) == Readiness(True, 500, 3, "node1")
    assert read_readiness(503, b"{}") == Readiness(False)
    for status, wrong in ((200, b"[]"), (200, b"x"), (404, b"Not found")):
        with pytest.raises(ScrapeError):
            read_readiness(status, wrong)


def test_introspection() -> None:
    container = short_id("containerd://c6f030bc4b42ffffffffffff")
    assert container == "c6f030bc4b42"
    endpoint = {"address": "0.0.0.0", "port": 80}
    endpoints = state({container: [{"active": True, "endpoint": endpoint, "l4proto": "TCP"}]})
    connections = state(
        {
            container: [
                {"active": True, "l4proto": "TCP", "port": 443, "to": "10.96.0.1"},
                {"from": "10.0.0.1", "l4proto": "UDP", "port": 53},
            ],
            "other": [{}],
        }
    )
    assert read_endpoints(endpoints, container) == ("TCP 0.0.0.0:80",)
    assert read_connections(connections, container) == (
        "TCP to 10.96.0.1 port 443", "UDP from 10.0.0.1 port 53",
    )  # fmt: skip
    assert read_connections(b"{}\n", container) == ()
    with pytest.raises(ScrapeError):
        read_endpoints(b"not tracking network connections", container)


def test_profiling() -> None:
    body = b'{"cpu" : "off", "heap" : "on", "supports_cpu" : true, "supports_heap" : true}'
    assert read_profiling(body) == ("on", True)
    for wrong in (b"", b"{}", b'{"heap": 1}'):
        with pytest.raises(ScrapeError):
            read_profiling(wrong)


@given(st.binary(max_size=100))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(ScrapeError):
        read_readiness(200, body)
    with contextlib.suppress(ScrapeError):
        read_endpoints(body, "c")
    with contextlib.suppress(ScrapeError):
        read_profiling(body)


def test_metrics_in_both_spellings() -> None:
    health = CollectorHealth()
    for value in (10.0, 25.0):
        samples = [
            Sample("rox_collector_events", "gauge", {"type": "drops"}, value),
            Sample("rox_collector_timers", "gauge", {"type": "net_scrape_read_us_total"}, value),
            Sample(
                "rox_collector_timers", "gauge", {"type": "net_fetch_state_times_us_total"}, value,
            ),
            Sample(
                "rox_connections_total", "summary",
                {"dir": "in", "peer": "private", "quantile": "0.5"}, value,
            ),
        ]  # fmt: skip
        health.observe([(sample, None, False) for sample in samples], value)
    lines = health.lines(ScrapeContext())
    assert "drops: +15, 25 since it started" in lines
    assert "connections of the node, median: in private 10 → 25" in lines
    measures = health.as_json()["measures"]
    assert measures["net_scrape_read_µs"]["delta"] == 15
    assert measures["net_fetch_state_µs"]["delta"] == 15
