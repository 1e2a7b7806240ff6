from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gatherer.fleet.start_limiter import StartLimiter


@pytest.mark.parametrize(
    ("limit", "per_node", "nodes", "most", "most_per_node"),
    [(5, 3, 3, 5, 2), (5, 3, 1, 3, 3), (2, 3, 1, 2, 2), (100, 1, 3, 3, 1)],
)
async def test_slots_are_limited_in_all_and_on_each_node(
    limit: int, per_node: int, nodes: int, most: int, most_per_node: int
) -> None:
    starts = StartLimiter(limit, per_node)
    now: Counter[str] = Counter()
    seen, seen_on_node = 0, 0

    async def start(node: str) -> None:
        nonlocal seen, seen_on_node
        async with starts.slot(node):
            now[node] += 1
            seen = max(seen, now.total())
            seen_on_node = max(seen_on_node, *now.values())
            for _ in range(3):
                await asyncio.sleep(0)
            now[node] -= 1

    await asyncio.gather(*(start(f"node{number % nodes}") for number in range(30)))
    assert (seen, seen_on_node) == (most, most_per_node)


async def test_a_slot_is_given_back_once_however_often() -> None:
    starts = StartLimiter(1)
    async with starts.slot("node1") as slot:
        slot.release()
        async with starts.slot("node1"):
            slot.release()
            waiting = asyncio.ensure_future(starts.slot("node1").__aenter__())
            await asyncio.sleep(0)
            assert not waiting.done()
        (await waiting).release()


async def test_who_gives_up_waiting_takes_nothing() -> None:
    starts = StartLimiter(1, 1)
    async with starts.slot("node1"):
        waiting = asyncio.ensure_future(starts.slot("node2").__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5), starts.slot("node2"):
        pass
