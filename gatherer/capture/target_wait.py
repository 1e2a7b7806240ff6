"""Waiting for a target that does not run: what is looked at, what is shown, and when it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from gatherer.errors import (
    GathererError,
    NotFound,
    TargetGone,
    TargetNotFound,
    TargetNotRunning,
    WaitedInVain,
)
from gatherer.target.values import Target
from gatherer.text import duration
from gatherer.view.status import Waiting

LOOK_SECONDS = 5.0
"""Time between two looks at a target of which no news comes."""
SHOW_SECONDS = 1.0
"""Time between two reports of how long it has been waited."""


def in_vain(seconds: float, last: GathererError | None) -> WaitedInVain:
    """Returns the error for a target that did not run in time.

    Args:
        seconds: how long it was waited for.
        last: what was last told of it.
    """
    waited = f"waited {duration(seconds)} in vain"
    if last is None:
        return WaitedInVain(waited, "see `kubectl get pods`")
    return WaitedInVain(f"{waited}: {last.cause}", last.remedy)


class Changing(Protocol):
    """The part of a runtime that tells of news."""

    async def changed(self, seconds: float) -> None:
        """Returns when there may be news, or after a while."""
        ...


class Shown(Protocol):
    """The part of a view that is needed here."""

    def note(self, text: str) -> None:
        """Shows a sentence."""
        ...

    def waiting(self, waiting: Waiting) -> None:
        """Shows a target that does not run."""
        ...


class TargetWait:
    """The wait for one target, in as many parts as it has.

    Args:
        runtime: tells of news.
        view: shows it.
        stopped: set when nobody waits any more.
        limit: seconds it may take in all, None for any.
    """

    def __init__(
        self, runtime: Changing, view: Shown, stopped: asyncio.Event, limit: float | None
    ) -> None:
        self._runtime = runtime
        self._view = view
        self._stopped = stopped
        self._limit = limit
        self._began_at = time.monotonic()
        self._last: TargetNotRunning | None = None
        self._last_error: GathererError | None = None

    @property
    def seconds(self) -> float:
        """The time that it has taken so far."""
        return time.monotonic() - self._began_at

    async def until(
        self, look: Callable[[], Awaitable[Target]], why: TargetNotRunning | None = None
    ) -> Target | None:
        """Waits until the target runs.

        Args:
            look: returns it when it does, and raises `TargetNotRunning` while it does not.
            why: what the last look has raised, None for one to begin with.

        Returns:
            The target, None when nobody waits any more.

        Raises:
            WaitedInVain: the time is over.
            TargetNotFound: it never will run.
            TargetGone: it does not run again.
            NotFound: it does not exist any more.
        """
        if why is not None:
            self._show(why)
            await self._rest()
        while not self._stopped.is_set():
            try:
                return await look()
            except TargetNotRunning as error:
                self._show(error)
                self._last_error = None
            except (TargetNotFound, TargetGone, NotFound):
                raise
            except GathererError as error:
                if self._last_error is None or str(error) != str(self._last_error):
                    self._view.note(f"{error}; trying again")
                self._last_error = error
            if self._limit is not None and self.seconds >= self._limit:
                raise self.in_vain()
            await self._rest()
        return None

    def in_vain(self) -> WaitedInVain:
        """Returns the error for one that has not run so far."""
        seconds = self.seconds if self._limit is None else min(self.seconds, self._limit)
        return in_vain(seconds, self._last_error or self._last)

    def _show(self, error: TargetNotRunning) -> None:
        self._last = error
        self._view.waiting(Waiting(error.reason, error.message, self.seconds, self._limit))

    async def _rest(self) -> None:
        """Returns when there may be news, the time is over, or nobody waits any more."""
        left = LOOK_SECONDS
        if self._limit is not None:
            left = min(left, max(0.0, self._limit - self.seconds))
        news = asyncio.ensure_future(self._runtime.changed(left))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            while not (news.done() or stopped.done()):
                await asyncio.wait(
                    {news, stopped},
                    timeout=SHOW_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if self._last is not None:
                    self._show(self._last)
            if news.done():
                news.result()
        finally:
            for task in (news, stopped):
                task.cancel()
            await asyncio.gather(news, stopped, return_exceptions=True)
