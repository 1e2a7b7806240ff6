"""The limit of hunters that start at the same time: in all, and on each node.

A hunter that starts costs its node a second of CPU, so that many of them at once would hold up the
node's own work and each other.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

STARTS_PER_NODE = 4


class StartLimiter:
    """Hands out slots for starting hunters.

    Args:
        limit: how many may start at the same time.
        per_node: how many of them on one node.
    """

    def __init__(self, limit: int, per_node: int = STARTS_PER_NODE) -> None:
        self._all = asyncio.Semaphore(limit)
        self._per_node = per_node
        self._nodes: dict[str, asyncio.Semaphore] = {}

    def slot(self, node: str) -> StartPermit:
        """Returns a slot; it is taken by entering it.

        Args:
            node: name of the node.
        """
        own = self._nodes.setdefault(node, asyncio.Semaphore(self._per_node))
        return StartPermit((own, self._all))


class StartPermit:
    """A place among those that start; given back by leaving it, or earlier.

    Args:
        semaphores: what it takes, in this order.
    """

    def __init__(self, semaphores: tuple[asyncio.Semaphore, ...]) -> None:
        self._semaphores = semaphores
        self._taken: list[asyncio.Semaphore] = []

    def release(self) -> None:
        """Gives it back; a second call does nothing."""
        while self._taken:
            self._taken.pop().release()

    async def __aenter__(self) -> StartPermit:
        try:
            for semaphore in self._semaphores:
                await semaphore.acquire()
                self._taken.append(semaphore)
        except asyncio.CancelledError:
            self.release()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
