"""The kubelet and containerd end in the middle of captures and come back, at random moments.

`make test` runs a sample, `make soak` twenty of each kind and prints a table. A run is reproduced
by `RESTART_SEEDS=17,23 pytest tests/cluster/test_node_restarts.py -s`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gatherer.commands.run import renderer_factory
from tests.cluster.captures import assert_nothing_left, command, hunters, session, until
from tests.cluster.counting import CountingPod, compare, counters
from tests.cluster.in_process import ProxiedCapture
from tests.cluster.standin.harness import StandInCluster, pod_manifest

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
SAMPLE, ALL = 1, 20
LINGER = 20.0
KINDS = [(part, how) for part in ("kubelet", "containerd") for how in ("kill", "stop")]

MakePod = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Restart:
    """One program of the node ends and is started again.

    Attributes:
        part: `kubelet` or `containerd`.
        how: `kill` or `stop`.
        wait: seconds before.
        down: seconds until it is started.
        boot: seconds in which a kubelet does not know its pods.
        kills_execs: whether containerd kills the processes of execs meanwhile.
    """

    part: str
    how: str
    wait: float
    down: float
    boot: float
    kills_execs: bool

    @classmethod
    def draw(cls, random: Random, part: str, how: str) -> Restart:
        """Returns one that is over within the time that hunter waits."""
        return cls(
            part,
            how,
            random.uniform(0.0, 1.5),
            random.choice((0.0, random.uniform(0.0, 4.0))),
            random.uniform(0.0, 2.0) if part == "kubelet" else 0.0,
            part == "kubelet" and random.random() < 0.5,
        )

    def __str__(self) -> str:
        kills = ", execs killed" if self.kills_execs else ""
        return f"{self.part} {self.how} {self.wait:.1f}+{self.down:.1f}+{self.boot:.1f}{kills}"

    async def happen(self, cluster: StandInCluster) -> None:
        """Ends the program, and starts it again."""
        await asyncio.sleep(self.wait)
        end = {"kills_execs": self.kills_execs}
        await asyncio.to_thread(cluster.end_part, self.part, self.how, **end)
        await asyncio.sleep(self.down)
        await asyncio.to_thread(cluster.start_part, self.part, self.boot)


@pytest.fixture
def pod(cluster: StandInCluster, make_pod: MakePod) -> CountingPod:
    make_pod(CountingPod.manifest("restarts"))
    return CountingPod(cluster, "restarts")


@pytest.fixture(autouse=True)
def parts_are_up(cluster: StandInCluster) -> Any:
    yield
    for part in ("kubelet", "containerd"):
        cluster.start_part(part)


def seeds() -> list[int]:
    """The runs that were asked for."""
    chosen = os.environ.get("RESTART_SEEDS", "")
    if chosen:
        return [int(seed) for seed in chosen.split(",")]
    return list(range(ALL if SOAK else SAMPLE))


@pytest.mark.timeout(2400 if SOAK else 300)
async def test_nothing_is_missing_where_it_is_back_in_time(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path
) -> None:
    """Each capture outlives one restart of each kind."""
    for seed in seeds():
        random = Random(seed)
        restarts = [Restart.draw(random, *kind) for kind in random.sample(KINDS, len(KINDS))]
        directory = tmp_path / str(seed)
        directory.mkdir()
        began = time.monotonic()
        async with ProxiedCapture(
            cluster, pod.name, directory, renderer_factory, linger=LINGER
        ) as capture:
            await capture.attached()
            orders = []
            for number, restart in enumerate(restarts, 1):
                order = pod.order(1500, 0.05)
                orders.append(order)
                await restart.happen(cluster)
                await capture.until(
                    lambda n=number: len(capture.view.of("reconnect")) == n, LINGER + 15
                )
                await capture.until(lambda order=order: pod.done(order) is not None, 60)
            summary = await capture.stop()
        issued = range(orders[0].start, orders[-1].stop)
        books = compare(capture.output, issued)
        row = f"{seed:>4} {len(issued):>6} issued {books.found:>6} found {books.lost:>3} lost"
        told = "; ".join(map(str, restarts))
        print(f"{row} code {summary.exit_code} {time.monotonic() - began:5.1f} s  {told}")
        assert books.problems == (), f"seed {seed}: {told}"
        assert (summary.exit_code, summary.complete, summary.lost) == (0, True, 0)
        assert counters(capture.output) == list(issued)
        assert capture.document()["reconnects"] == len(restarts)
        assert_nothing_left(cluster, pod.name, "main")
        assert pod.tracer() == 0
        shutil.rmtree(directory)


@pytest.mark.parametrize("inject", ["bundle", "ephemeral"])
@pytest.mark.long
async def test_whatever_way_hunter_came_in(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path, inject: str
) -> None:
    async with ProxiedCapture(
        cluster, pod.name, tmp_path, renderer_factory, inject=inject, linger=40.0
    ) as capture:
        await capture.attached()
        order = pod.order(1500, 0.05)
        await Restart("kubelet", "kill", 0.1, 0.5, 0.5, kills_execs=True).happen(cluster)
        await capture.until(lambda: capture.view.of("reconnect"), 45)
        await capture.until(lambda: pod.done(order) is not None, 60)
        summary = await capture.stop()
    assert compare(capture.output, order).problems == ()
    assert (summary.exit_code, summary.complete, summary.lost) == (0, True, 0)
    assert counters(capture.output) == list(order)
    assert pod.tracer() == 0


@pytest.mark.parametrize("part", ["kubelet", *(["containerd"] if SOAK else [])])
async def test_one_that_is_not_back_in_time_is_said(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path, part: str
) -> None:
    """Hunter lets go by itself, and the target never stands still."""
    async with ProxiedCapture(cluster, pod.name, tmp_path, renderer_factory, linger=2.0) as capture:
        await capture.attached()
        first = pod.order(500)
        await capture.until(lambda: counters(capture.output)[-1:] == [first[-1]])
        order = pod.order(3000, 0.05)
        cluster.end_part(part)
        summary = await capture.finish()
        assert pod.tracer() == 0
        assert hunters(cluster, pod.name, "main") == []
    assert (summary.exit_code, summary.complete) == (4, False)
    assert "it could not be reached again" in summary.end_reason
    found = counters(capture.output)
    assert found[: len(first)] == list(first)
    assert found == list(range(len(found))), "what has come is whole"
    document = capture.document()
    assert document["records"]["received"] == len(found)
    assert document["records"]["seen"] is None, "what hunter saw later nobody knows"
    assert document["tail"]["unknown_ms"] > 0
    done = until(lambda: pod.done(order), "the target goes on")
    assert done.worst < 2.0, "the time for a hundred calls"


@pytest.mark.long
def test_what_stays_behind_does_not_hold_up_the_next_capture(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    """A gatherer that is killed while the kubelet is down leaves a hunter that waits for it."""
    make_pod(CountingPod.manifest("behind"))
    pod = CountingPod(cluster, "behind")
    arguments = ("-p", "behind", "--pid", "1", "-e", "lseek", "--engine", "ptrace")
    first = subprocess.Popen(
        [*command(cluster, *arguments), "--linger", "12", "-o", str(tmp_path / "first")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: list((tmp_path / "first").glob("*.log")), "a log")
    order = pod.order(4000, 0.1)
    cluster.end_part("kubelet")
    first.kill()
    first.wait()
    cluster.start_part("kubelet")
    assert hunters(cluster, "behind", "main"), "it lingers"
    second = subprocess.run(
        [*command(cluster, *arguments), "--duration", "2", "-o", str(tmp_path / "second")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    done = until(lambda: pod.done(order), "the target goes on", 60)
    assert done.worst < 2.0, "the time for a hundred calls"
    told = session(tmp_path / "second")
    assert told["end_reason"] in ("duration", "target ended"), second.stdout
    until(lambda: not hunters(cluster, "behind", "main"), "nothing stays", 60)
    assert pod.tracer() == 0


async def test_a_container_that_restarts_after_its_kubelet(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    """Its end comes while nobody reports it; the next instance is captured all the same."""
    program = "import os, time\nprint('ready', flush=True)\nwhile True:\n os.lseek(0, 1, 1)\n"
    pod = pod_manifest("endangered", ["python3", "-c", program + " time.sleep(0.01)"])
    make_pod(pod)
    async with ProxiedCapture(
        cluster, "endangered", tmp_path, renderer_factory, linger=LINGER
    ) as capture:
        await capture.attached()
        cluster.end_part("kubelet")
        os.kill(cluster.host_pid("endangered", "main"), signal.SIGKILL)
        await asyncio.sleep(1.0)
        cluster.start_part("kubelet", 0.5)
        await capture.until(lambda: len(capture.view.of("attach")) == 2, 60)
        summary = await capture.stop()
    [end, _] = capture.document()["instances"]
    assert end["end"]["exit_code"] == 137
    assert summary.exit_code == 0
