"""Waiting for a target, over a scripted runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gatherer.capture.target_wait import TargetWait
from gatherer.errors import (
    ClusterUnreachable,
    GathererError,
    NotFound,
    TargetGone,
    TargetNotFound,
    TargetNotRunning,
)
from gatherer.target.values import Target
from gatherer.view.status import Waiting

TARGET = Target("kubernetes", pod="web-1")
CREATING = TargetNotRunning("it is waiting (ContainerCreating)", "wait", "ContainerCreating")
CRASHING = TargetNotRunning("it is not running: Error", "see its log", "Error", "exit code 7")


class World:
    """A target that is told of by a list of outcomes, one for each look."""

    def __init__(self, *looks: GathererError | Target) -> None:
        self.looks: list[GathererError | Target] = list(looks)
        self.notes: list[str] = []
        self.waits: list[Waiting] = []
        self.timeouts: list[float] = []
        self.stopped = asyncio.Event()

    async def look(self) -> Target:
        outcome = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(outcome, GathererError):
            raise outcome
        return outcome

    async def changed(self, seconds: float) -> None:
        self.timeouts.append(seconds)
        await asyncio.sleep(0)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def waiting(self, waiting: Waiting) -> None:
        self.waits.append(waiting)

    def reasons(self) -> Sequence[str]:
        return list(dict.fromkeys(waiting.reason for waiting in self.waits))

    async def wait(
        self, limit: float | None = None, why: TargetNotRunning | None = None
    ) -> Target | None:
        async with asyncio.timeout(20):
            return await TargetWait(self, self, self.stopped, limit).until(self.look, why)


async def test_each_reason_is_shown_until_it_runs() -> None:
    world = World(CREATING, CRASHING, TARGET)
    assert await world.wait(300) == TARGET
    assert world.reasons() == ["ContainerCreating", "Error"]
    assert world.waits[-1].message == "exit code 7"
    assert world.waits[-1].limit == 300
    assert all(0 < seconds <= 5 for seconds in world.timeouts)


async def test_what_the_first_look_said_is_shown_before_the_next() -> None:
    world = World(TARGET)
    assert await world.wait(300, CREATING) == TARGET
    assert world.reasons() == ["ContainerCreating"]


async def test_one_that_waited_in_vain_says_for_what() -> None:
    with pytest.raises(TargetNotFound) as caught:
        await World(CRASHING).wait(0.02)
    assert caught.value.exit_code == 3
    assert str(caught.value) == "waited 0s in vain: it is not running: Error; see its log"


async def test_a_server_that_is_away_is_asked_again_and_said_once() -> None:
    away = ClusterUnreachable("no answer", "check the network")
    world = World(CREATING, away, away, away, TARGET)
    assert await world.wait(300) == TARGET
    assert world.notes == ["no answer; check the network; trying again"]
    with pytest.raises(TargetNotFound, match="in vain: no answer"):
        await World(away).wait(0.02)


@pytest.mark.parametrize(
    "error",
    [
        TargetNotFound("it has ended", "name another"),
        TargetGone("it does not run again"),
        NotFound("no such pod", "check the name", 404),
    ],
)
async def test_what_never_will_run_ends_the_wait_at_once(error: GathererError) -> None:
    world = World(CREATING, error)
    with pytest.raises(type(error)):
        await world.wait(300)
    assert len(world.timeouts) == 1


async def test_nobody_waits_any_more() -> None:
    world = World(CREATING)
    waiting = asyncio.ensure_future(world.wait())
    while not world.waits:
        await asyncio.sleep(0)
    world.stopped.set()
    assert await waiting is None
