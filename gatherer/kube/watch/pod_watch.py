"""Follows the pods of a selector: lists them, then watches, and lists again where it must."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gatherer.errors import ApiError, Forbidden, GathererError
from gatherer.kube.objects.models import Pod
from gatherer.kube.watch.watch_events import GONE, PodList, WatchEvent

WATCH_SECONDS = 120
"""Longest time of one watch; a connection that died unseen is noticed by then."""
POLL_SECONDS = 5.0
"""Time between two lists where watching is not allowed."""
MIN_BACKOFF, MAX_BACKOFF = 1.0, 30.0  # seconds
QUICK_SECONDS = 5.0
"""A watch that ends sooner and without an event has not worked."""


class PodApi(Protocol):
    """Requests to the API server; see `gatherer.kube.api`."""

    async def list_pods(self, namespace: str, selector: str) -> PodList:
        """Returns the pods that a selector takes."""
        ...

    def watch_pods(
        self, namespace: str, selector: str, version: str, seconds: int, name: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Follows their changes after a resource version."""
        ...


@dataclass(frozen=True)
class PodChange:
    """A pod that is new or has changed, or is gone.

    Attributes:
        pod: the latest that is known of it.
        gone: whether it has been deleted.
    """

    pod: Pod
    gone: bool = False


class PodWatch:
    """Follows pods.

    Args:
        api: the API server.
        namespace: of the pods.
        selector: labelSelector; empty for all pods of the namespace.
        warn: takes sentences about what does not work as it should.
        sleep: waits.
    """

    def __init__(
        self,
        api: PodApi,
        namespace: str,
        selector: str,
        warn: Callable[[str], None],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = selector
        self._warn = warn
        self._sleep = sleep
        self._pods: dict[str, Pod] = {}
        self._version = ""
        self._backoff = MIN_BACKOFF
        self._warned = False

    async def changes(self) -> AsyncIterator[tuple[PodChange, ...]]:
        """Yields the pods there are, possibly none, then every change; never ends by itself.

        Raises:
            GathererError: the pods cannot be listed at the start. Later it warns of errors, and
                tries again, ever more slowly.
        """
        yield self._replace(await self._api.list_pods(self._namespace, self._selector))
        while True:
            try:
                began, events = time.monotonic(), 0
                async for event in self._api.watch_pods(
                    self._namespace, self._selector, self._version, WATCH_SECONDS
                ):
                    if event.kind == "ERROR":
                        code = event.status.code if event.status is not None else 0
                        message = event.status.message if event.status is not None else ""
                        raise ApiError(f"the watch ended: {message or code}", "", code)
                    events += 1
                    self._reset()
                    change = self._apply(event)
                    if change is not None:
                        yield (change,)
                if not events and time.monotonic() - began < QUICK_SECONDS:
                    await self._back_off()
            except Forbidden as error:
                if error.verb == "list":
                    await self._warn_once(error)
                else:
                    async for changes in self._poll(error):
                        yield changes
            except ApiError as error:
                if error.status != GONE:
                    await self._warn_once(error)
                else:
                    await self._back_off()
                changes = await self._list_again()
                if changes:
                    yield changes
            except GathererError as error:
                await self._warn_once(error)

    async def _poll(self, error: Forbidden) -> AsyncIterator[tuple[PodChange, ...]]:
        """Lists again and again, instead of a watch that is not allowed."""
        self._warn(f"{error.cause}; pods are listed every {POLL_SECONDS:g} s instead")
        while True:
            await self._sleep(POLL_SECONDS)
            changes = await self._list_again()
            if changes:
                yield changes

    async def _list_again(self) -> tuple[PodChange, ...]:
        """Returns what is different from what is known; nothing when it cannot be had."""
        try:
            listed = await self._api.list_pods(self._namespace, self._selector)
        except GathererError as error:
            await self._warn_once(error)
            return ()
        self._warned = False
        return self._replace(listed)

    def _replace(self, listed: PodList) -> tuple[PodChange, ...]:
        self._version = listed.version
        now = {pod.uid: pod for pod in listed.pods}
        gone = [PodChange(pod, True) for uid, pod in self._pods.items() if uid not in now]
        changed = [PodChange(pod) for uid, pod in now.items() if self._pods.get(uid) != pod]
        self._pods = now
        return (*gone, *changed)

    def _apply(self, event: WatchEvent) -> PodChange | None:
        self._version = event.version or self._version
        pod = event.pod
        if pod is None:
            return None
        if event.kind == "DELETED":
            return PodChange(self._pods.pop(pod.uid, pod), True)
        self._pods[pod.uid] = pod
        return PodChange(pod)

    def _reset(self) -> None:
        self._backoff, self._warned = MIN_BACKOFF, False

    async def _warn_once(self, error: GathererError) -> None:
        """Says once that it does not work, and waits."""
        if not self._warned:
            self._warned = True
            self._warn(f"pods that appear now are not noticed: {error.cause}; trying again")
        await self._back_off()

    async def _back_off(self) -> None:
        backoff, self._backoff = self._backoff, min(2 * self._backoff, MAX_BACKOFF)
        await self._sleep(backoff)
