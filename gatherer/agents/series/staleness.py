"""Staleness of a container's series: samples of a dead one. Pure.

coroot keeps a dead container's series for ten minutes and more, under the id that the next one has
too. They are told by the pod's status: it does not run, or it has started anew and its series have
not moved since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape.exposition import Sample
from gatherer.kube.objects.models import Container


class Staleness:
    """The series of the target's container at one agent, from scrape to scrape."""

    def __init__(self) -> None:
        self._generation = 0
        self._frozen: dict[Any, float] = {}
        self._last: dict[Any, float] = {}

    def is_stale(
        self,
        samples: Sequence[Sample],
        container_filter: ContainerFilter,
        container: Container | None,
        generation: int,
    ) -> bool:
        """Returns whether the container's samples of a scrape are those of a dead one.

        Args:
            samples: of the scrape.
            container_filter: tells which of them are the container's.
            container: as its pod's status has it, None when it cannot be told.
            generation: how many containers there were before it.
        """
        dead = container is not None and container.state.kind != "running"
        own = {
            sample.key: sample.value
            for sample in samples
            if container_filter.is_container(sample.labels)
        }
        if self._generation != generation:
            self._generation = generation
            self._frozen = dict(self._last)
        if self._frozen and any(self._frozen.get(key) != value for key, value in own.items()):
            self._frozen = {}
        self._last = own
        return not container_filter.own and (dead or bool(self._frozen))
