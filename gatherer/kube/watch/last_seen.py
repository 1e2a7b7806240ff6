"""The last known state of one pod: one that is deleted takes with it what its status told.

Between the end of a container and the end of its pod there may be less than a second. A watch sees
both, and why; where watching is not allowed, what is asked for at the end must do.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Protocol

from gatherer.errors import Forbidden, GathererError
from gatherer.kube.objects.models import Pod
from gatherer.kube.watch.watch_events import WatchEvent
from gatherer.timeouts import within

WATCH_SECONDS = 300
"""Longest time of one watch; then there is another one."""
PAUSE_SECONDS = 5.0
"""Time before the next watch when one has failed, or ended before it was told anything."""
POLL_SECONDS = 0.5
"""Time between two reads where no watch works."""
GRACE_SECONDS = 1.0
"""A watch that has not failed for so long works, though nothing has been told."""
FROM_ANY = "0"
"""Resource version that makes a watch begin with the pod as it is, where the server can."""


class WatchApi(Protocol):
    """Requests to the API server; see `gatherer.kube.api`."""

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
        self._told = False
        self._watched_since = math.inf
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch."""
        self._task = asyncio.ensure_future(self._watch())

    def update(self, pod: Pod) -> None:
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

    @property
    def _works(self) -> bool:
        """Whether there is a watch, as far as can be known before it tells anything."""
        return self._told or time.monotonic() - self._watched_since > GRACE_SECONDS

    async def _watch(self) -> None:
        # From a version that is known: to a watch from any version some servers answer with an
        # error (those whose etcd is older than 3.4.25 cannot say when all has been told).
        version = self.pod.resource_version or FROM_ANY
        while True:
            self._told, self._watched_since = False, time.monotonic()
            failed = True
            try:
                async for event in self._api.watch_pods(
                    self.pod.namespace, "", version, WATCH_SECONDS, self.pod.name
                ):
                    if event.kind == "ERROR":
                        break
                    failed = False
                    self._told, version = True, event.version or version
                    if event.pod is not None:
                        self.update(event.pod)
                        self._news.set()
                else:
                    failed = False
            except Forbidden:
                return
            except GathererError:
                pass  # Whatever it is, requests that matter to somebody will tell.
            finally:
                told, self._told, self._watched_since = self._told, False, math.inf
            if failed or not told:
                await asyncio.sleep(PAUSE_SECONDS)
            if failed:
                newest = self.pod.resource_version
                version = newest if newest and newest != version else FROM_ANY
