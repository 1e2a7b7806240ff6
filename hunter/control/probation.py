"""Processes that are traced and may yet turn out to be a hunter's or a gatherer's.

A process can carry the mark only from its first line on, so one that was attached, born or has
executed a program lately is looked at again and again, every other one once a scan.
"""

from __future__ import annotations

from typing import Dict, Iterable, List

from hunter.control.traced_processes import Traced
from hunter.memory import procfs
from hunter.scan import recognition

SECONDS = 5
MAX_WATCHED = 64
"""Processes that are looked at that often; the others wait for the next scan."""


class Probation:
    """Looks for the mark on processes that are traced."""

    def __init__(self) -> None:
        self._until: Dict[int, int] = {}
        self._entries: Dict[int, Traced] = {}

    def begin(self, traced: Traced, now: int) -> None:
        """Looks at a process from now on.

        Args:
            traced: the process.
            now: CLOCK_MONOTONIC ns.
        """
        if len(self._until) < MAX_WATCHED or traced.ordinal in self._until:
            self._entries[traced.ordinal] = traced
            self._until[traced.ordinal] = now + SECONDS * 1_000_000_000

    def inspect(self, now: int) -> List[Traced]:
        """Returns those of the processes that are ours after all, each once.

        Args:
            now: CLOCK_MONOTONIC ns.
        """
        found = ours(self._entries.values())
        for ordinal, until in list(self._until.items()):
            entry = self._entries[ordinal]
            if entry in found or entry.end_reason or now > until:
                del self._until[ordinal], self._entries[ordinal]
        return found


def ours(entries: Iterable[Traced]) -> List[Traced]:
    """Returns those of some processes that carry the mark.

    Args:
        entries: processes that are traced.
    """
    return [
        entry
        for entry in entries
        if not entry.end_reason and recognition.is_marked(procfs.status_fields(entry.key[0]))
    ]
