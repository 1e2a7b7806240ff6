"""Captures over connections that fail at random, from seeds: every record is found or accounted.

`make test` runs a sample, `make soak` all of them and prints the table. A run is reproduced by
`CHAOS_SEEDS=17,23 pytest tests/cluster/test_chaos.py -s`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gatherer.capture.hunter_session import RendererFactory
from gatherer.config import CaptureConfig
from gatherer.rendering.worker_client import RendererProcess
from tests.cluster.captures import assert_nothing_left
from tests.cluster.counting import Books, CountingPod, compare
from tests.cluster.faulty_proxy import Fault
from tests.cluster.in_process import ProxiedCapture
from tests.cluster.standin.harness import StandInCluster

SAMPLE, ALL = 40, 300
PODS = 4
"""Captures at once: most of a run is waiting."""
LINGER = 15.0
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


@dataclass(frozen=True)
class Plan:
    """What one run does, drawn from its seed.

    Attributes:
        seed: of the run.
        engine: tracer.
        buffer: what hunter keeps, bytes.
        count: counters that the target issues.
        pause: seconds it rests after each hundred.
        faults: what its connections suffer, one after the other.
    """

    seed: int
    engine: str
    buffer: int
    count: int
    pause: float
    faults: tuple[Fault, ...]

    @classmethod
    def draw(cls, seed: int) -> Plan:
        """Returns the plan of a seed."""
        random = Random(seed)
        faults: list[Fault] = []
        for _ in range(random.randrange(1, 5)):
            # Each one that nobody is told of takes half of what hunter waits.
            faults.append(Fault.draw(random, not any(fault.silent for fault in faults)))
        return cls(
            seed,
            random.choice(("ptrace", "ptrace", "ptrace-python")),
            random.choice((1 << 16, 1 << 16, 1 << 20, 4 << 20)),
            random.randrange(1000, 20_000),
            random.choice((0.0, 0.002, 0.01)),
            tuple(faults),
        )


@dataclass(frozen=True)
class Row:
    """How one run went.

    Attributes:
        plan: what was to happen.
        struck: faults that struck.
        reconnects: times that hunter was found again.
        exit_code: of the capture.
        books: the comparison.
        seconds: it took.
    """

    plan: Plan
    struck: int
    reconnects: int
    exit_code: int
    books: Books
    seconds: float

    def __str__(self) -> str:
        plan, books = self.plan, self.books
        first = "; ".join(map(str, plan.faults))
        return (
            f"{plan.seed:>4} {plan.engine:<13} {plan.buffer >> 10:>5}K {self.struck:>3}"
            f" {self.reconnects:>4} {books.issued:>7} {books.found:>7} {books.lost:>7}"
            f" {self.exit_code:>4} {self.seconds:>6.1f}  {first}"
        )


HEADER = "seed engine        buffer cut back  issued   found    lost exit      s  faults"


@pytest.fixture
def pods(cluster: StandInCluster, make_pod: Callable[..., dict[str, Any]]) -> list[CountingPod]:
    names = [f"chaos{number}" for number in range(PODS)]
    for name in names:
        make_pod(CountingPod.manifest(name), wait=False)
    for name in names:
        cluster.wait_running(name)
    return [CountingPod(cluster, name) for name in names]


def seeds() -> list[int]:
    """The runs that were asked for."""
    chosen = os.environ.get("CHAOS_SEEDS", "")
    if chosen:
        return [int(seed) for seed in chosen.split(",")]
    return list(range(ALL if SOAK else SAMPLE))


async def run(
    plan: Plan,
    pod: CountingPod,
    cluster: StandInCluster,
    directory: Path,
    renderer: Callable[[CaptureConfig], RendererFactory],
) -> Row:
    """Captures once; what does not add up is in the books."""
    began = time.monotonic()
    directory.mkdir()
    async with ProxiedCapture(
        cluster,
        pod.name,
        directory,
        renderer,
        engine=plan.engine,
        buffer=plan.buffer,
        linger=LINGER,
    ) as capture:
        await capture.attached()
        capture.proxy.arm(plan.faults)
        order = pod.order(plan.count, plan.pause)
        await capture.until(lambda: pod.done(order) is not None, 60)
        summary = await capture.stop()
    books = compare(capture.output, order)
    problems = list(books.problems)
    if summary.end_reason != "interrupted":
        problems.append(f"it ended: {summary.end_reason}, {summary.notes}")
    if summary.exit_code != (4 if books.lost else 0):
        problems.append(f"exit code {summary.exit_code} with {books.lost} lost: {summary.notes}")
    books = Books(books.issued, books.found, books.lost, tuple(problems))
    reconnects = len(capture.view.of("reconnect"))
    return Row(
        plan, capture.proxy.struck, reconnects, summary.exit_code, books, time.monotonic() - began
    )


@pytest.mark.timeout(3600 if SOAK else 400)
async def test_every_record_is_found_or_accounted(
    cluster: StandInCluster, pods: list[CountingPod], tmp_path: Path
) -> None:
    waiting: Iterator[Plan] = iter([Plan.draw(seed) for seed in seeds()])
    rows: list[Row] = []
    failures: list[str] = []
    shared: list[RendererProcess] = []

    def renderer(config: CaptureConfig) -> RendererFactory:
        if not shared:
            shared.append(RendererProcess(config.lines, config.max_log_size))
        return shared[0].renderer

    async def work(pod: CountingPod) -> None:
        for plan in waiting:
            directory = tmp_path / str(plan.seed)
            try:
                row = await run(plan, pod, cluster, directory, renderer)
            except (AssertionError, TimeoutError) as error:
                failures.append(f"seed {plan.seed}: {type(error).__name__} {error}; {plan}")
                return
            rows.append(row)
            if row.books.problems:
                failures.append(f"seed {plan.seed}: {'; '.join(row.books.problems)}\n  {row}")
            else:
                shutil.rmtree(directory)

    began = time.monotonic()
    await asyncio.gather(*(work(pod) for pod in pods))
    rows.sort(key=lambda row: row.plan.seed)
    print(f"\n{HEADER}", *rows, sep="\n")
    print(
        f"{len(rows)} runs, {sum(row.struck for row in rows)} faults,"
        f" {sum(row.reconnects for row in rows)} reconnects,"
        f" {sum(row.books.issued for row in rows)} issued,"
        f" {sum(row.books.found for row in rows)} found,"
        f" {sum(row.books.lost for row in rows)} accounted as lost,"
        f" {len(failures)} failures, {time.monotonic() - began:.0f} s"
    )
    print(*failures, sep="\n")
    assert not failures
    assert sum(row.struck for row in rows) > len(rows) // 2
    for pod in pods:
        assert_nothing_left(cluster, pod.name, "main")
        assert pod.tracer() == 0
