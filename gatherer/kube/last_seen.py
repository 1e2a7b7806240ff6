"""What was last seen of one pod: a pod that is deleted takes with it what its status told.

Between the end of a container and the end of its pod there may be less than a second. A watch sees
both, and why; where watching is not allowed, what is asked for at the end must do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from gatherer.errors import Forbidden, GathererError
from gatherer.kube.models import Pod
from gatherer.kube.watch_events import WatchEvent
from gatherer.patience import within

WATCH_SECONDS = 300
"""How long one watch may last; then there is another one."""
PAUSE_SECONDS = 5.0
"""Time before the next watch when one has failed, or ended before it was told anything."""
POLL_SECONDS = 0.5
"""Time between two looks where no watch works."""
FROM_ANY = "0"
"""Resource version that makes a watch begin with the pod as it is."""


class WatchApi(Protocol):
    """What is asked of the API server; see gatherer.kube.api."""

    def watch_pods(
        self, namespace: str, selector: str, version: str, seconds: int, name: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Follows the changes of pods."""
        ...


class LastSeen:
    """Follows one pod until it is closed.

    Args:
        api: the API server.
        pod: as it is now; a later one of the same name is another pod.

    Attributes:
        pod: as it was last seen.
    """

    def __init__(self, api: WatchApi, pod: Pod) -> None:
        self.pod = pod
        self._api = api
        self._works = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._task = asyncio.ensure_future(self._watch())

    def see(self, pod: Pod) -> None:
        """Takes the pod as it was answered to somebody else's request."""
        if pod.uid == self.pod.uid:
            self.pod = pod

    async def changed(self, seconds: float) -> None:
        """Returns when the watch has told something since the last call, or after a while.

        Args:
            seconds: how long at most; less where no watch works.
        """
        try:
            async with within(seconds if self._works else min(seconds, POLL_SECONDS)):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    async def aclose(self) -> None:
        """Ends the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            told = failed = False
            try:
                async for event in self._api.watch_pods(
                    self.pod.namespace, "", FROM_ANY, WATCH_SECONDS, self.pod.name
                ):
                    if event.pod is not None:
                        self._works = told = True
                        self.see(event.pod)
                        self._news.set()
            except Forbidden:
                return
            except GathererError:
                failed = True  # Whatever it is, requests that matter to somebody will tell.
            finally:
                self._works = False
            if failed or not told:
                await asyncio.sleep(PAUSE_SECONDS)
