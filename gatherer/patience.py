"""Time limits for awaiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import cast


def within(seconds: float) -> AbstractAsyncContextManager[object]:
    """Returns a context whose body must end in time, or `TimeoutError` is raised.

    Not asyncio.wait_for: before Python 3.12 it may swallow a cancellation that comes together with
    the result (python/cpython#86296), and the task then lives on.

    Args:
        seconds: how long the body may take.
    """
    # The type checker looks at 3.10 too, which knows no asyncio.timeout.
    timeout = asyncio.timeout(max(seconds, 0))  # type: ignore[attr-defined,unused-ignore]
    return cast("AbstractAsyncContextManager[object]", timeout)


PAUSE_SECONDS = 2.0
"""Later than this is no load of the machine but a sleep of it, or a stopped process."""


class Pauses:
    """Notices that this process did not run: stopped by a signal, or asleep with the machine.

    Args:
        clock: seconds, of a clock that goes on while the machine sleeps.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or _boot_seconds
        self._before = self._clock()

    def look(self, wanted: float) -> float:
        """Returns how long it did not run since the last look, 0.0 when it did.

        Args:
            wanted: seconds after which this look was due.
        """
        now = self._clock()
        late, self._before = now - self._before - wanted, now
        return round(late, 3) if late >= PAUSE_SECONDS else 0.0


def _boot_seconds() -> float:
    # Only Linux has it; elsewhere a sleep is not noticed, only a stop.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
