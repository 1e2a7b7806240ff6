"""The processes that were chosen to be traced: their numbers, keys and ends. Pure.

Processes that match are entered by the control thread, followed children by whatever thread of an
engine sees them first.
"""

from __future__ import annotations

from itertools import count
from typing import Dict, List, Optional

from hunter.memory.procfs import ProcessKey

MAX_PROCESSES = 10_000
"""Processes of one run, after which no child is followed any more: each costs memory to the end."""


class Traced:
    """A process that was chosen: what is remembered until the end."""

    __slots__ = (
        "attached", "command", "descriptors", "end_reason", "followed", "held_ns", "key",
        "ordinal", "rss",
    )  # fmt: skip

    def __init__(self, ordinal: int, key: ProcessKey, rss: int, command: str) -> None:
        self.ordinal = ordinal
        self.key = key
        self.rss = rss
        self.command = command
        self.attached = False
        self.followed = False
        self.end_reason = ""
        self.descriptors: Dict[str, str] = {}
        # How long reads have held the process up, nanoseconds; while it lives, `HOLDS` counts.
        self.held_ns = 0


class TracedProcesses:
    """Keeps them by ordinal; every step is one operation on a dictionary, so there is no lock."""

    def __init__(self) -> None:
        self._entries: Dict[int, Traced] = {}
        self._keys: Dict[ProcessKey, Traced] = {}
        self._ordinals = count(1)

    def __len__(self) -> int:
        return len(self._entries)

    def reserve(self) -> int:
        """Returns an ordinal that nobody has; 0 when there were enough."""
        ordinal = next(self._ordinals)
        return ordinal if ordinal <= MAX_PROCESSES else 0

    def add(self, key: ProcessKey, rss: int, command: str, ordinal: int = 0) -> Traced:
        """Enters a process.

        Args:
            key: pid and start time.
            rss: resident bytes.
            command: its name.
            ordinal: from `reserve`; 0 for the next one.
        """
        entry = Traced(ordinal or next(self._ordinals), key, rss, command)
        self._entries[entry.ordinal] = entry
        self._keys.setdefault(key, entry)
        return entry

    def get(self, ordinal: int) -> Optional[Traced]:
        """Returns the process with this ordinal."""
        return self._entries.get(ordinal)

    def find(self, key: ProcessKey) -> Optional[Traced]:
        """Returns the process with this key."""
        return self._keys.get(key)

    def all(self) -> List[Traced]:
        """Returns all of them in the order in which they were chosen."""
        return [entry for _, entry in sorted(self._entries.items())]

    def active(self) -> List[Traced]:
        """Returns those whose tracing has not ended, or has not begun yet."""
        return [each for each in list(self._entries.values()) if not each.end_reason]
