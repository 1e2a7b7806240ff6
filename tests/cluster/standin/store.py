"""The objects of the cluster, their resource versions and who watches them."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

_HISTORY_EVENTS = 4096


@dataclass(frozen=True)
class Event:
    """One change: ADDED, MODIFIED or DELETED, and the object after it."""

    kind: str
    resource: str
    version: int
    object: Object


class ExpiredError(Exception):
    """The changes since that resource version are no longer kept."""


class Store:
    """Objects by resource, namespace and name; for cluster resources the namespace is ""."""

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._history: deque[Event] = deque(maxlen=_HISTORY_EVENTS)
        self._forgotten = 0
        self._watchers: set[asyncio.Queue[Event]] = set()

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """Returns a copy of an object, or None."""
        return copy.deepcopy(self._objects.get((resource, namespace, name)))

    def list(self, resource: str, namespace: str | None) -> list[Object]:
        """Returns copies of all objects of a resource, sorted; of all namespaces for None."""
        return [
            copy.deepcopy(value)
            for (kind, space, _), value in sorted(self._objects.items(), key=lambda item: item[0])
            if kind == resource and namespace in (None, space)
        ]

    def put(self, resource: str, value: Object) -> Object:
        """Adds or replaces an object and returns it with its new resource version."""
        metadata = value["metadata"]
        key = (resource, metadata.get("namespace", ""), metadata["name"])
        kind = "MODIFIED" if key in self._objects else "ADDED"
        stored = copy.deepcopy(value)
        self._objects[key] = stored
        self._publish(kind, resource, stored)
        return copy.deepcopy(stored)

    def remove(self, resource: str, namespace: str, name: str) -> None:
        """Removes an object; one that is not there is no error."""
        value = self._objects.pop((resource, namespace, name), None)
        if value is not None:
            self._publish("DELETED", resource, value)

    def _publish(self, kind: str, resource: str, value: Object) -> None:
        self.version += 1
        value["metadata"]["resourceVersion"] = str(self.version)
        event = Event(kind, resource, self.version, copy.deepcopy(value))
        if len(self._history) == _HISTORY_EVENTS:
            self._forgotten = self._history[0].version
        self._history.append(event)
        for watcher in self._watchers:
            watcher.put_nowait(event)

    def watch(self, since: int) -> Watch:
        """Returns the changes after a resource version, past ones first.

        Raises:
            ExpiredError: some of them are no longer known.
        """
        if since < self._forgotten:
            raise ExpiredError(f"too old resource version: {since} ({self._forgotten})")
        return Watch(self, [event for event in self._history if event.version > since])


class Watch:
    """A subscription; use it as a context manager."""

    def __init__(self, store: Store, past: list[Event]) -> None:
        self._watchers = store._watchers
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        for event in past:
            self._queue.put_nowait(event)

    def __enter__(self) -> Watch:
        self._watchers.add(self._queue)
        return self

    def __exit__(self, *details: object) -> None:
        self._watchers.discard(self._queue)

    async def next(self) -> Event:
        """Returns the next change, waiting for it."""
        return await self._queue.get()
