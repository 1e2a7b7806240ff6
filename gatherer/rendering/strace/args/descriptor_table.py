"""Descriptor tables: what the descriptors of each process refer to, kept from its records.

A table begins with what hunter read from /proc, and follows the calls that make, copy and close
descriptors.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from gatherer.rendering.strace.args.descriptor_changes import CWD, Changes, change_of
from gatherer.rendering.strace.args.memory import NOTHING, decode
from hg_shared.records import Record

MAX_DESCRIPTORS = 65536


class DescriptorTable:
    """The descriptors of one process, and what they refer to, at one moment that moves forward."""

    def __init__(self) -> None:
        self.entries: dict[int, str] = {}
        self._pending: list[tuple[int, int, Record | Mapping[str, str]]] = []
        self._count = 0
        self._loaded = False

    def take(self, record: Record) -> None:
        """Takes a call that returned; what it did counts from its end on."""
        if change_of(record.abi, record.nr) is not None:
            self._push(record.start + record.duration, record)

    def load(self, time_ns: int, entries: Mapping[str, str]) -> None:
        """Takes a whole table.

        Args:
            time_ns: when it was read, CLOCK_MONOTONIC ns.
            entries: descriptor, or `cwd`, → text.
        """
        if not self._loaded:
            # What was open at first was open before hunter came to read it.
            self._loaded = True
            self._replace(entries)
        self._push(time_ns, entries)

    def inherit(self, parent: DescriptorTable) -> None:
        """Begins as the table of the process that started this one is now."""
        self.entries = dict(parent.entries)

    def advance(self, time_ns: int) -> None:
        """Moves on to a moment, CLOCK_MONOTONIC ns."""
        pending = self._pending
        while pending and pending[0][0] <= time_ns:
            change = heappop(pending)[2]
            if isinstance(change, Record):
                self._apply(self.changes(change))
            else:
                self._replace(change)

    def changes(self, record: Record) -> Changes:
        """Returns what a call does, in the state of this moment."""
        change = change_of(record.abi, record.nr)
        if change is None:
            return {}
        return change(self.entries, record, decode(record.captures) if record.captures else NOTHING)

    def _push(self, time_ns: int, change: Record | Mapping[str, str]) -> None:
        self._count += 1
        heappush(self._pending, (time_ns, self._count, change))

    def _apply(self, changes: Changes) -> None:
        entries = self.entries
        for descriptor, text in changes.items():
            if text is None:
                entries.pop(descriptor, None)
            elif descriptor in entries or len(entries) < MAX_DESCRIPTORS:
                entries[descriptor] = text

    def _replace(self, entries: Mapping[str, str]) -> None:
        self.entries = {
            CWD if name == "cwd" else int(name): text
            for name, text in entries.items()
            if name == "cwd" or (name.isascii() and name.isdecimal() and len(name) < 10)
        }
