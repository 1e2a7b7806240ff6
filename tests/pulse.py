"""A counter in a target that must not stand still, and who watches it."""

from __future__ import annotations

import mmap
import threading
import time


class Pulse:
    """Watches a counter in shared memory for the longest time it stood still.

    Args:
        memory: where it is; what changes in it does not matter.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._end = threading.Event()
        self.longest = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before, since = b"", time.monotonic()
        while not self._end.wait(0.02):
            now, count = time.monotonic(), self._memory[:]
            if count != before:
                before, since = count, now
            self.longest = max(self.longest, now - since)

    def stop(self) -> float:
        """Ends it and returns the longest time in seconds."""
        self._end.set()
        self._thread.join()
        return self.longest
