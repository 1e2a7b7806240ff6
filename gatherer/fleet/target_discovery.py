"""The pods of a capture of many targets, followed while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gatherer.errors import GathererError, TargetNotFound, unexpected
from gatherer.fleet.found_pods import FoundPods
from gatherer.kube.watch.pod_sources import PodSource
from gatherer.timeouts import within


class FleetSources:
    """All sources of one fleet.

    Args:
        sources: where pods come from.
        container: as `-c` names it, None for the default one of each pod.
        patient: whether pods that were named may run later.
        note: shows the error of a source.
        wake: called when there is news.

    Attributes:
        found: the pods.
        errors: of sources that ended with one, by their number.
    """

    def __init__(
        self,
        sources: Sequence[PodSource],
        container: str | None,
        patient: bool,
        note: Callable[[str], None],
        wake: Callable[[], None],
    ) -> None:
        self.found = FoundPods(container, patient)
        self.errors: dict[int, GathererError] = {}
        self._sources = list(sources)
        self._note = note
        self._wake = wake
        self._unheard = set(range(len(self._sources)))
        self._checked = False
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def heard(self) -> bool:
        """Whether every source has told what there is, or that it cannot."""
        return not self._unheard

    def start(self) -> None:
        """Begins to follow the sources."""
        self._tasks = [
            asyncio.ensure_future(self._follow(number, source))
            for number, source in enumerate(self._sources)
        ]

    async def aclose(self) -> None:
        """Ends it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Makes sure that there is something to capture, now or later.

        Notes what some of the sources said, but not what it raises: that is shown by whoever
        catches it.

        Raises:
            GathererError: what the sources said, or why no container can be captured.
        """
        errors = [error for _, error in sorted(self.errors.items())]
        self._checked = True
        try:
            self.found.check()
        except TargetNotFound:
            for error in errors[1:]:
                self._note(str(error))
            if errors:
                raise errors[0] from None
            raise
        for error in errors:
            self._note(str(error))

    async def exhausted(self) -> bool:
        """Whether no source can tell of more pods."""
        for number, source in enumerate(self._sources):
            if number not in self.errors and not await source.exhausted():
                return False
        return True

    async def ended(self, uid: str, container: str, instance: str, seconds: float) -> bool:
        """Whether a container ends, or has ended.

        Args:
            uid: of its pod.
            container: its name.
            instance: its id.
            seconds: how long that may take to be told.
        """
        try:
            async with within(seconds):
                while self.found.runs(uid, container, instance):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _follow(self, number: int, source: PodSource) -> None:
        """Takes what a source tells; its error is that of the whole when it is all there is."""
        try:
            async for changes in source.changes():
                for change in changes:
                    self.found.apply(source.live, change)
                self._changed.set()
                self._unheard.discard(number)
                self._wake()
        except GathererError as error:
            self.errors[number] = error
            if self._checked:
                self._note(str(error))
        except Exception as error:
            self.errors[number] = unexpected(error)
        finally:
            self._unheard.discard(number)
            self._wake()
