"""SIGKILL of gatherer at random moments: nothing of hunter stays, and what it acknowledged is kept.

`make test` kills a few, `make soak` 100.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hg_shared.framing import FrameDecoder
from tests.cluster.captures import hunter_files, hunters
from tests.cluster.counting import CountingPod
from tests.cluster.standin.harness import StandInCluster

SAMPLE, ALL = 10, 100
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
PODS = 3
LINGER = 2.0
GATHERER = """
import os, sys
from gatherer.stream import sender
from gatherer.commands import cli
from hg_shared.messages import Ack
encode = sender.encode
def told(message, *more):
    if isinstance(message, Ack):
        os.write(int(sys.argv[1]), b"%d\\n" % message.seq)
    return encode(message, *more)
sender.encode = told
sys.exit(cli.main(sys.argv[2:]))
"""
"""gatherer that tells a descriptor what it acknowledges, before hunter hears it."""


@dataclass(frozen=True)
class Kill:
    """One kill, and what was left.

    Attributes:
        number: of the kill, its seed.
        acknowledged: highest sequence number that hunter may have been told.
        spooled: frames on disk, whole and in sequence.
        gone: seconds after the kill until no process of hunter was left.
        problems: what was not as it must be.
    """

    number: int
    acknowledged: int
    spooled: int
    gone: float
    problems: tuple[str, ...]


@pytest.fixture
def pods(cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]]) -> list[CountingPod]:
    names = [f"kills{number}" for number in range(PODS)]
    for name in names:
        make_pod(CountingPod.manifest(name), wait=False)
    for name in names:
        cluster.wait_running(name)
    return [CountingPod(cluster, name) for name in names]


def spooled(output: Path) -> tuple[int, list[str]]:
    """The last sequence number on disk up to which all are there, and what is wrong."""
    spool = output / "records.hgs.partial"
    if not spool.exists():
        return 0, []
    decoder = FrameDecoder()
    decoder.receive_data(spool.read_bytes())
    numbers = [frame.seq for frame in decoder.frames_received()]
    problems = [str(error) for error in decoder.errors]
    if numbers != list(range(1, len(numbers) + 1)):
        problems.append(f"the sequence on disk is {numbers[:20]}…")
    return len(numbers), problems


async def kill(number: int, pod: CountingPod, cluster: StandInCluster, output: Path) -> Kill:
    random = Random(number)
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", GATHERER, str(writing), "--kubeconfig", str(cluster.kubeconfig)),
        *("--context", "admin", "--plain", "-p", pod.name, "--pid", "1", "--engine", "ptrace"),
        *("--linger", f"{LINGER:g}", "-f", "0.2", "-o", str(output)),
        pass_fds=(writing,),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(writing)
    deadline = time.monotonic() + 30
    if random.random() < 0.8:
        while not list(output.glob("*.log")):
            assert time.monotonic() < deadline, f"kill {number}: no log"
            assert process.returncode is None, f"kill {number}: gatherer ended"
            await asyncio.sleep(0.02)
    # Not a handshake: the kill is meant to hit any moment, while it starts as well.
    await asyncio.sleep(random.uniform(0, 1.0))
    process.send_signal(signal.SIGKILL)
    await process.wait()
    killed = time.monotonic()
    acknowledged = b""
    while part := os.read(reading, 1 << 16):
        acknowledged += part
    os.close(reading)
    last = max((int(line) for line in acknowledged.split()), default=0)
    problems = []
    while hunters(cluster, pod.name, "main"):
        if time.monotonic() - killed > LINGER + 5:
            problems.append(f"hunter runs {LINGER + 5} s after the kill")
            break
        await asyncio.sleep(0.05)
    gone = time.monotonic() - killed
    kept, wrong = spooled(output)
    problems += wrong
    if kept < last:
        problems.append(f"acknowledged up to {last}, on disk up to {kept}")
    if pod.tracer():
        problems.append(f"the target is traced by {pod.tracer()}")
    if hunter_files(cluster, pod.name, "main"):
        problems.append("files of hunter are left")
    order = pod.order(10)
    while pod.done(order) is None:
        assert time.monotonic() < killed + 60, f"kill {number}: the target does not run"
        await asyncio.sleep(0.02)
    return Kill(number, last, kept, gone, tuple(problems))


@pytest.mark.timeout(3600 if SOAK else 300)
async def test_nothing_stays_and_nothing_acknowledged_is_lost(
    cluster: StandInCluster, pods: list[CountingPod], tmp_path: Path
) -> None:
    waiting: Iterator[int] = iter(range(ALL if SOAK else SAMPLE))
    kills: list[Kill] = []

    async def work(pod: CountingPod) -> None:
        for number in waiting:
            kills.append(await kill(number, pod, cluster, tmp_path / str(number)))

    await asyncio.gather(*(work(pod) for pod in pods))
    acknowledged = sum(each.acknowledged for each in kills)
    print(
        f"\n{len(kills)} kills, {acknowledged} frames acknowledged,"
        f" {sum(each.spooled for each in kills)} on disk,"
        f" the last hunter was gone after {max(each.gone for each in kills):.1f} s"
    )
    assert [each for each in kills if each.problems] == []
    assert acknowledged > 0
