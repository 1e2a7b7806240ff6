"""Time limits: how long a capture waits for what, and the means to wait no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Timeouts:
    """Limits of one capture and of the stream from its hunter, in seconds.

    Attributes:
        hello: from the start of hunter to its Hello.
        silence: without a byte from hunter before its channel is taken for dead; None for a bit
            more than two of its heartbeats.
        quiet: without a byte from hunter before the user is told: two of its longest heartbeats.
        exit: from the end of the stream to the end of hunter.
        tick: between two looks at the progress; session.json is replaced every second one.
        stopped: an event loop that wakes so much later than it wanted was stopped, with its
            process.
        close: for leaving a hunter that does not matter any more.
        fate: for the runtime to tell that the target has ended; a kubelet looks once a second, and
            reports a little later.
        poll: between the first two questions about it; the pauses grow.
        poll_growth: factor of their growth, up to `longest_backoff`.
        uncertain: to find out that the end of an exec is that of hunter, before it is said that
            the connection is lost.
        join: for one attempt to join a lost hunter at most; the first ones have less.
        shortest_join: for the first attempt at least.
        first_backoff: between the first two attempts; doubled each time.
        longest_backoff: between two attempts, and no more than a tenth of what hunter waits.
        margin: beyond the time that hunter waits, for attempts to join it.
        final_message: for what hunter's watchdog says about a hunter that is gone already.
        outlives: for the final message of a hunter outside the target, once that has ended.
        stop: for a hunter that was asked to end; what it has in its buffer may take longer.
        progress: for one that was asked to end and whose records come, beyond the last of them.
        slack_bytes: what may be on its way from hunter, in pipes and sockets, beside its buffer.
        ack: frames that become durable within this time share an acknowledgement.
        ping: between two signs of life for hunter, and no more than a fifth of what it waits.
        sync: between two events that have the spool brought to the disk.
    """

    hello: float = 30.0
    silence: float | None = None
    quiet: float = 4.2
    exit: float = 10.0
    tick: float = 0.5
    stopped: float = 1.0
    close: float = 3.0
    fate: float = 10.0
    poll: float = 0.25
    poll_growth: float = 1.5
    uncertain: float = 1.0
    join: float = 10.0
    shortest_join: float = 1.5
    first_backoff: float = 0.2
    longest_backoff: float = 2.0
    margin: float = 5.0
    final_message: float = 1.0
    outlives: float = 5.0
    stop: float = 15.0
    progress: float = 3.0
    slack_bytes: int = 4 << 20
    ack: float = 0.05
    ping: float = 5.0
    sync: float = 1.0

    def silence_of(self, linger: float) -> float:
        """Returns the limit of silence of a hunter.

        Args:
            linger: seconds it waits for a lost gatherer.
        """
        return self.silence or max(1.5, 2.1 * heartbeat_seconds(linger))


def heartbeat_seconds(linger: float) -> float:
    """Returns how often hunter says at least that it is alive.

    Args:
        linger: seconds it waits for a lost gatherer.
    """
    return min(5.0, linger / 5)


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
