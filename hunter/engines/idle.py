"""The engine of a container in which nothing may be traced: memory evidence goes on without it."""

from __future__ import annotations

import threading
import time
from typing import Dict, List, Optional

from hg_shared.batch import Batch
from hunter.engines.base import IDLE_INTERVAL, Counters, EngineEvent, Follow


class IdleEngine:
    """Traces nothing, and says so for each process; see `hunter.engines.base.Engine`."""

    name = ""
    shares = False
    interval = IDLE_INTERVAL

    def __init__(self) -> None:
        self.ended = False
        self.follow: Optional[Follow] = None
        self._stop = threading.Event()
        self._events: List[EngineEvent] = []

    def run(self) -> None:
        """Waits for `stop`."""
        while not self._stop.wait(3600):
            pass
        self.ended = True

    def attach(self, ordinal: int, pid: int) -> None:
        """Notes that the process stays untraced."""
        text = "tracing is denied in this container"
        self._events.append(EngineEvent("attach_failed", ordinal, time.monotonic_ns(), text))

    def detach(self, ordinal: int) -> None:
        """Does nothing: nothing is traced."""

    def stop(self) -> None:
        """Ends `run`."""
        self._stop.set()

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Does nothing: nothing is traced."""

    def stops(self) -> int:
        """Returns 0."""
        return 0

    def poke(self) -> None:
        """Does nothing: requests are carried out at once."""

    def drain(self, now_ns: int, everything: bool = False) -> List[Batch]:
        """Returns no records."""
        return []

    def events(self) -> List[EngineEvent]:
        """Returns the refusals since the last call."""
        found, self._events = self._events, []
        return found

    def counters(self) -> Dict[int, Counters]:
        """Returns no counters."""
        return {}

    def queued_bytes(self) -> int:
        """Returns 0."""
        return 0
