"""The target's container as the status of its pod has it, for all agents of a capture."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from gatherer.agents.scrape.sources import Sources
from gatherer.kube.objects.models import Container, Pod
from gatherer.target.values import Target


class ContainerStatus:
    """The container of one target.

    Args:
        sources: read its pod.
        target: what is captured.
        max_age: seconds after which the pod is read again.

    Attributes:
        generation: how many other containers have taken the place of the first.
    """

    def __init__(self, sources: Sources, target: Target, max_age: float) -> None:
        self.generation = 0
        self._sources = sources
        self._target = target
        self._max_age = max_age
        self._pod: Pod | None = None
        self._read_at = -1e9
        self._lock = asyncio.Lock()
        self._container_id = ""

    @property
    def known(self) -> Container | None:
        """The container as it was last read, None when it cannot be told."""
        return self._pod.find_container(self._target.container) if self._pod is not None else None

    async def read(self) -> Container | None:
        """Returns the container, no older than `max_age`; None when it cannot be told."""
        async with self._lock:
            if time.monotonic() - self._read_at > self._max_age:
                self._pod = await self._sources.read_pod(self._target)
                self._read_at = time.monotonic()
                container = self.known
                if container is not None and container.container_id:
                    before, self._container_id = self._container_id, container.container_id
                    self.generation += bool(before) and before != container.container_id
        return self.known

    async def read_id(self) -> str:
        """Returns the container's id, empty when it has none or it cannot be told."""
        container = await self.read()
        return container.container_id if container is not None else ""

    def age(self) -> float | None:
        """Returns how long the container runs, in seconds; None when it cannot be told."""
        container = self.known
        if container is None or not container.state.started_at:
            return None
        try:
            started = datetime.fromisoformat(container.state.started_at)
        except ValueError:
            return None
        return max(0.0, time.time() - started.timestamp())
