"""Captures over connections that break: hunter is found again, or what is missing is said."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatherer.commands.run import renderer_factory
from tests.cluster.captures import assert_nothing_left, hunters
from tests.cluster.counting import CountingPod, compare, counters
from tests.cluster.faulty_proxy import Fault
from tests.cluster.in_process import ProxiedCapture
from tests.cluster.standin.harness import StandInCluster

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"

MakePod = Callable[..., dict[str, Any]]


@pytest.fixture
def pod(cluster: StandInCluster, make_pod: MakePod) -> CountingPod:
    make_pod(CountingPod.manifest("counting"))
    return CountingPod(cluster, "counting")


async def issued(capture: ProxiedCapture, pod: CountingPod, order: range) -> None:
    await capture.until(lambda: pod.done(order) is not None)


async def test_a_broken_connection_loses_nothing(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path
) -> None:
    async with ProxiedCapture(cluster, "counting", tmp_path, renderer_factory) as capture:
        await capture.attached()
        order = pod.order(20_000, 0.005)
        for turn in range(3):
            await capture.until(lambda n=turn: counters(capture.output)[-1:] > [5000 * n])
            capture.proxy.strike("close" if turn == 1 else "reset")
            await capture.until(lambda n=turn: len(capture.view.of("reconnect")) == n + 1)
        await issued(capture, pod, order)
        summary = await capture.stop()
    assert compare(capture.output, order).problems == ()
    assert (summary.exit_code, summary.complete, summary.lost) == (0, True, 0)
    assert counters(capture.output) == list(order)
    assert len(list(capture.output.glob("*.log"))) == 1
    assert capture.document()["reconnects"] == 3
    for event in capture.view.of("reconnect"):
        assert event["missing_frames"] == 0
        assert event["attempts"] >= 1
        assert event["cause"]
    assert sum("the connection to hunter is lost" in note for note in capture.view.notes) == 3
    assert_nothing_left(cluster, "counting", "main")
    assert pod.tracer() == 0


@pytest.mark.parametrize("inject", ["memory", "ephemeral"])
async def test_hunter_is_joined_again_whatever_way_it_came_in(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path, inject: str
) -> None:
    async with ProxiedCapture(
        cluster, "counting", tmp_path, renderer_factory, inject=inject, linger=30.0
    ) as capture:
        await capture.attached()
        order = pod.order(5_000, 0.005)
        await capture.until(lambda: counters(capture.output)[-1:] > [1000])
        capture.proxy.strike("reset")
        await capture.until(lambda: capture.view.of("reconnect"), 60)
        await issued(capture, pod, order)
        summary = await capture.stop()
    assert compare(capture.output, order).problems == ()
    assert (summary.exit_code, summary.complete, summary.lost) == (0, True, 0)
    assert capture.document()["hunter"]["inject"] == inject
    assert counters(capture.output) == list(order)
    assert pod.tracer() == 0


async def test_a_silent_connection_is_given_up_for_a_new_one(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path
) -> None:
    async with ProxiedCapture(
        cluster, "counting", tmp_path, renderer_factory, linger=6.0
    ) as capture:
        await capture.attached()
        capture.proxy.arm([Fault("hole", 1, 0.0)])
        capture.proxy.refusing = True
        order = pod.order(5_000, 0.005)
        await capture.until(lambda: any(state.attempts for state in capture.view.states))
        capture.proxy.refusing = False
        await capture.until(lambda: capture.view.of("reconnect"))
        assert "silent" in capture.view.of("reconnect")[0]["cause"]
        await issued(capture, pod, order)
        summary = await capture.stop()
    assert compare(capture.output, order).problems == ()
    assert (summary.exit_code, summary.lost) == (0, 0)
    assert_nothing_left(cluster, "counting", "main")


async def test_more_than_the_buffer_is_a_loss_at_its_place(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path
) -> None:
    async with ProxiedCapture(
        cluster, "counting", tmp_path, renderer_factory, buffer=1 << 16
    ) as capture:
        await capture.attached()
        first = pod.order(1000)
        await capture.until(lambda: counters(capture.output)[-1:] == [999])
        capture.proxy.refusing = True
        capture.proxy.strike()
        await issued(capture, pod, pod.order(30_000))
        capture.proxy.refusing = False
        await capture.until(lambda: capture.view.of("reconnect"))
        while not capture.view.of("lost"):
            # The note stands before the next record that there is room for.
            last = pod.order(100)
            await issued(capture, pod, last)
            await asyncio.sleep(0.1)
        summary = await capture.stop()
    books = compare(capture.output, range(last.stop))
    assert books.problems == ()
    assert books.lost > 0
    assert (summary.exit_code, summary.complete) == (4, False)
    assert set(counters(capture.output)) > set(first)
    log = next(capture.output.glob("*.log")).read_text()
    assert "LOST" in log
    assert "(output queue full)" in log


async def test_a_hunter_that_died_meanwhile_is_said_to_be_gone(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path
) -> None:
    async with ProxiedCapture(cluster, "counting", tmp_path, renderer_factory) as capture:
        await capture.attached()
        order = pod.order(100)
        await capture.until(lambda: counters(capture.output)[-1:] == [order[-1]])
        capture.proxy.arm([Fault("reset", 1 << 30, 0.0, refused=1)])
        for pid in hunters(cluster, "counting", "main"):
            os.kill(pid, signal.SIGKILL)
        summary = await capture.finish()
    assert (summary.exit_code, summary.complete) == (4, False)
    assert "stream broke" in summary.end_reason
    assert counters(capture.output) == list(order)
    assert pod.tracer() == 0


async def test_stop_while_the_connection_is_lost_ends_it_in_order(
    cluster: StandInCluster, pod: CountingPod, tmp_path: Path
) -> None:
    async with ProxiedCapture(cluster, "counting", tmp_path, renderer_factory) as capture:
        await capture.attached()
        order = pod.order(3000)
        await issued(capture, pod, order)
        capture.proxy.arm([Fault("reset", 1 << 30, 0.0, refused=3)])
        await capture.until(lambda: capture.view.notes)
        summary = await capture.stop()
    assert (summary.exit_code, summary.complete, summary.end_reason) == (0, True, "interrupted")
    assert counters(capture.output) == list(order)
    assert_nothing_left(cluster, "counting", "main")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("idle", "linger", "seconds"), [(2.5, 3.0, 6.0), *([(30.0, 10.0, 75.0)] if SOAK else [])]
)
async def test_an_idle_target_survives_a_proxy_that_cuts_idle_connections(
    cluster: StandInCluster,
    pod: CountingPod,
    tmp_path: Path,
    idle: float,
    linger: float,
    seconds: float,
) -> None:
    """As the one that cuts after 30 s: signs of life come in a sixth of that."""
    async with ProxiedCapture(
        *(cluster, "counting", tmp_path, renderer_factory, {"idle": idle}),
        linger=linger,
        frequency=100.0,
    ) as capture:
        await capture.attached()
        await asyncio.sleep(seconds)
        summary = await capture.stop()
    assert capture.view.of("reconnect") == []
    assert (summary.exit_code, summary.complete) == (0, True)
