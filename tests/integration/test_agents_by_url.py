"""A capture of this machine with Prometheus endpoints by URL: the real node-exporter, and none."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape.exposition import read_exposition
from tests.integration.gatherer_process import GathererProcess
from tests.integration.node_exporter import MISSING, PROGRAM, node_exporter


@contextmanager
def capture(path: Path, *urls: str) -> Iterator[GathererProcess]:
    """A capture of a process that sleeps, with agents."""
    target = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    agents = [word for url in urls for word in ("--agent", url)]
    gatherer = GathererProcess(
        path / "logs", ["--pid", target.pid, "--agent-interval", "1", *agents]
    )
    try:
        gatherer.wait_for("start")
        yield gatherer
    finally:
        gatherer.close()
        target.kill()
        target.wait()


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for_gap(gatherer: GathererProcess) -> dict[str, Any]:
    gap = gatherer.wait_for("agent_gap")
    gatherer.interrupt()
    code, _ = gatherer.finish()
    assert code == 0
    assert gatherer.session()["complete"] is True
    return gap


@pytest.mark.skipif(not PROGRAM.exists(), reason=MISSING)
def test_the_real_node_exporter_loses_nothing() -> None:
    with node_exporter() as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            body, kind = answer.read(), answer.headers["Content-Type"]
    families = list(text_string_to_metric_families(body.decode()))
    reading = read_exposition(body, kind, [ContainerFilter()])
    assert reading.families == len(families) > 100
    assert reading.samples == sum(len(family.samples) for family in families) > 300
    assert len(reading.kept[0]) == reading.samples
    assert reading.left_out == (0,)


@pytest.mark.skipif(not PROGRAM.exists(), reason=MISSING)
def test_the_real_node_exporter_beside_a_capture(tmp_path: Path) -> None:
    with node_exporter() as port:
        with capture(tmp_path, f"http://127.0.0.1:{port}/metrics") as gatherer:
            kept = gatherer.output / "metrics.jsonl"
            while not kept.exists() or len({line["time"] for line in json_lines(kept)}) < 2:
                gatherer.wait_for("status")
            gatherer.interrupt()
            code, _ = gatherer.finish()
    assert code == 0
    body = (gatherer.output / "agents" / "prometheus-first.prom").read_text()
    families = list(text_string_to_metric_families(body))
    lines = json_lines(kept)
    first = [line for line in lines if line["time"] == lines[0]["time"]]
    assert len(first) == sum(len(family.samples) for family in families)
    assert {line["type"] for line in first} == {family.type for family in families}
    cpu = [line for line in lines if line["name"] == "node_cpu_seconds_total"]
    assert all(line["rate"] >= 0 for line in cpu if line["time"] != lines[0]["time"])
    (report,) = gatherer.session()["agents"]
    assert report["agent"] == "prometheus"
    assert report["samples"] == len(lines)


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def test_a_closed_port_is_a_gap(tmp_path: Path) -> None:
    with capture(tmp_path, f"http://127.0.0.1:{closed_port()}/metrics") as gatherer:
        gap = wait_for_gap(gatherer)
    assert "Connect" in gap["cause"]
    assert "check the URL" in gap["remedy"]


class Handler(BaseHTTPRequestHandler):
    """Wants a user, and answers one sample."""

    def do_GET(self) -> None:
        wanted = self.headers.get("Authorization") == "Basic bWU6czNjcmV0"
        self.send_response(200 if wanted else 401)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b"up 1\n" if wanted else b"who are you?\n")

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_user_and_password_of_the_url_are_used_and_never_written(tmp_path: Path) -> None:
    with (
        served() as port,
        capture(
            tmp_path,
            f"http://me:s3cret@127.0.0.1:{port}/metrics",
            f"http://127.0.0.1:{port}/metrics?other",
        ) as gatherer,
    ):
        gap = wait_for_gap(gatherer)
    assert "it wants credentials (401)" in gap["cause"]
    assert {line["name"] for line in json_lines(gatherer.output / "metrics.jsonl")} == {"up"}
    for path in gatherer.output.rglob("*"):
        if path.is_file():
            assert b"s3cret" not in path.read_bytes(), path


def test_a_certificate_that_is_not_trusted_is_a_gap(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with served(context) as port, capture(tmp_path, f"https://127.0.0.1:{port}") as gatherer:
        gap = wait_for_gap(gatherer)
    assert gap["cause"].startswith(f"https://127.0.0.1:{port}: TLS failed: ")
