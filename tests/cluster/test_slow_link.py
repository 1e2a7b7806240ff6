"""A link far slower than the target: the target does not notice, and what is lost is counted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.cluster.captures import assert_nothing_left, events
from tests.cluster.counting import CountingPod, Done, compare
from tests.cluster.faulty_proxy import FaultyProxy
from tests.cluster.kube_access import edited_kubeconfig
from tests.cluster.standin.harness import StandInCluster

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
LINK = 50_000
"""Bytes a second."""
RATE = 100_000
"""Calls a second."""
SECONDS = 20 if SOAK else 4
SMALL, LARGE = "256Ki", "4Mi"
CASES = [("ebpf", LARGE), ("ebpf", SMALL), ("ptrace", LARGE)] if SOAK else [("ebpf", SMALL)]
LONGER = 0.2
"""Seconds that a hundred calls may take longer than in the worst case untraced."""


async def issue(pod: CountingPod) -> tuple[range, Done]:
    """Has the target issue its counters; returns them and what it measured."""
    order = pod.order(RATE * SECONDS, rate=RATE)
    async with asyncio.timeout(60 + 4 * SECONDS):
        while (done := pod.done(order)) is None:
            await asyncio.sleep(0.05)
    return order, done


def resident(process: psutil.Process) -> int:
    """The memory of gatherer and its renderer."""
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("engine", "buffer"), CASES)
async def test_a_slow_link_stops_nobody(
    cluster: StandInCluster,
    make_pod: Callable[..., dict[str, Any]],
    tmp_path: Path,
    engine: str,
    buffer: str,
) -> None:
    name = f"slow-{engine}-{buffer.lower()}"
    capabilities = ["SYS_PTRACE", "BPF", "PERFMON"] if engine == "ebpf" else ["SYS_PTRACE"]
    make_pod(CountingPod.manifest(name, capabilities))
    pod = CountingPod(cluster, name)
    _, untraced = await issue(pod)
    address = urlsplit(cluster.server)
    proxy = FaultyProxy(address.hostname or "", address.port or 0, rate=LINK)
    await proxy.start()
    config = edited_kubeconfig(
        cluster, tmp_path / "config", server=f"https://127.0.0.1:{proxy.port}"
    )
    output = tmp_path / "logs"
    gatherer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gatherer", "--kubeconfig", str(config), "--plain", "-p", name),
        *("--pid", "1", "-e", "lseek", "--engine", engine, "--buffer", buffer, "-f", "1"),
        *("-o", str(output)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 60
        while not (output / "events.jsonl").exists() or not events(output, "attach"):
            assert time.monotonic() < deadline
            assert gatherer.returncode is None
            await asyncio.sleep(0.05)
        order, traced = await issue(pod)
        memory = resident(psutil.Process(gatherer.pid))
        gatherer.send_signal(signal.SIGINT)
        async with asyncio.timeout(300):
            _, complaints = await gatherer.communicate()
    finally:
        if gatherer.returncode is None:
            gatherer.kill()
            await gatherer.wait()
        await proxy.aclose()
    assert complaints == b""
    books = compare(output, order)
    session = json.loads((output / "session.json").read_text())
    peak = session["hunter"]["peak_pss_bytes"]
    print(
        f"\n{engine}, {buffer}: {len(order) / traced.seconds:.0f} calls/s"
        f" (untraced {len(order) / untraced.seconds:.0f}),"
        f" worst hundred {traced.worst * 1000:.1f} ms (untraced {untraced.worst * 1000:.1f}),"
        f" {books.found} found and {books.lost} lost of {books.issued},"
        f" hunter {peak / (1 << 20):.1f} MiB, gatherer {memory / (1 << 20):.0f} MiB"
    )
    assert books.problems == ()
    # In the sample a fast machine may compress all of it into what buffers hold, and with ebpf two
    # million counters do not fill the large one.
    assert books.lost > 0 or not SOAK or (engine, buffer) == ("ebpf", LARGE)
    assert session["engine"]["name"] == engine
    code = 4 if books.lost else 0
    assert (gatherer.returncode, session["end_reason"]) == (code, "interrupted")
    assert traced.worst <= untraced.worst + LONGER
    assert peak < 32 << 20
    assert memory < 400 << 20
    assert_nothing_left(cluster, name, "main")
