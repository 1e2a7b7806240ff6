"""Waits for orphaned processes of containers, as a containerd shim does.

A process of a container whose parent was outside of its PID namespace becomes a child of this
subreaper when it is orphaned. Nobody waits for it by its pid, and as a zombie it would keep its
PID namespace, and so its pod, from going away.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.cluster.standin.runc import Child

DELAY = 0.2


class OrphanReaper:
    """Looks for orphans a moment after a child has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen: set[int] = set()
        self._due: asyncio.TimerHandle | None = None
        self._loop.add_signal_handler(signal.SIGCHLD, self._child_ended)

    def _child_ended(self) -> None:
        if self._due is None:
            self._due = self._loop.call_later(DELAY, self._look)

    def _look(self) -> None:
        """Waits for those that were zombies at the last look too: nobody else wants them."""
        self._due = None
        zombies = {pid for pid in _zombies() if pid not in Child.waited_for}
        for pid in zombies & self._seen:
            os.waitpid(pid, os.WNOHANG)
        self._seen = zombies - self._seen
        if self._seen:
            self._child_ended()


def _zombies() -> list[int]:
    """Returns the zombies that are children of this process and lived in a PID namespace."""
    me = str(os.getpid())
    found = []
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            text = path.read_text()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        nested = len(fields.get("NSpid", "").split()) > 1
        if fields.get("PPid") == me and fields.get("State", "").startswith("Z") and nested:
            found.append(int(path.parent.name))
    return found
