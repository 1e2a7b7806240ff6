"""Slots: the table of traced processes that hunter and the programs share."""

from __future__ import annotations

import mmap
from collections import deque
from typing import Deque

from hunter.engines.ebpf import layout
from hunter.errors import HunterError


class Slots:
    """The value of the map `state`, mapped into hunter.

    Args:
        memory: as many bytes as `maps.state_size` says, which the programs see.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._words = memoryview(memory).cast("I")
        self._longs = memoryview(memory).cast("Q")
        # Oldest first: a program that still runs for the former owner has ended long before.
        self._free: Deque[int] = deque(
            range(1, (len(memory) - layout.STATE_PROCESSES) // layout.PROCESS_SIZE - 1)
        )
        self._most = len(self._free)

    def allocate(self, ordinal: int) -> int:
        """Returns a slot for a process that is not in the table yet, of which nothing is recorded.

        Args:
            ordinal: of the process.

        Raises:
            HunterError: too many processes are traced.
        """
        if not self._free:
            raise HunterError(f"more than {self._most} processes at a time")
        slot = self._free.popleft()
        at = layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE
        layout.PROCESS.pack_into(self._memory, at, 0, ordinal, 0, 0, 0, 0, b"")
        return slot

    def begin(self, slot: int, since: int) -> None:
        """Has the calls of a process recorded, also those in which its threads are found.

        Args:
            slot: its slot.
            since: start of those, CLOCK_MONOTONIC ns.
        """
        at = layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE + layout.PROCESS_SINCE
        self._longs[at // 8] = since

    def set_epoch(self, since: int) -> None:
        """Has the calls of all processes recorded, or none of them.

        Args:
            since: start of those in which threads are found, CLOCK_MONOTONIC ns; 0 for none.
        """
        self._longs[layout.STATE_EPOCH // 8] = since

    def set_discovering(self, on: bool) -> None:
        """Has the programs look for processes whose number is not known, or not any more."""
        self._words[layout.STATE_DISCOVERING // 4] = int(on)

    def has_place(self, slot: int) -> bool:
        """Tells whether the programs find the process of a slot in the table."""
        tgid = self.tgid(slot)
        at = tgid % layout.TABLE_SIZE
        return bool(tgid) and slot in self._memory[at : at + layout.PROBES]

    @property
    def crowded(self) -> bool:
        """Whether some thread found no room: of such a one it is not known what it is in."""
        return bool(self._words[layout.STATE_CROWDED // 4])

    def forget_crowd(self) -> None:
        """Takes note that no thread is known any more."""
        self._words[layout.STATE_CROWDED // 4] = 0

    @property
    def free(self) -> int:
        """The number of free slots."""
        return len(self._free)

    def name(self, slot: int, tgid: int) -> None:
        """Notes the number that a process has in the initial PID namespace."""
        self._words[self._word(slot, layout.PROCESS_TGID)] = tgid

    def enter(self, slot: int, tgid: int) -> None:
        """Makes the programs trace a process.

        Args:
            slot: its slot.
            tgid: its number in the initial PID namespace.

        Raises:
            HunterError: no room where the programs would look for it.
        """
        at = tgid % layout.TABLE_SIZE
        for place in range(at, at + layout.PROBES):
            if self._memory[place] in (0, layout.TOMBSTONE):
                self._words[self._word(slot, layout.PROCESS_TGID)] = tgid
                self._memory[place] = slot
                return
        raise HunterError("too many processes with like numbers are traced")

    def leave(self, slot: int) -> None:
        """Makes the programs trace a process no longer, and frees its slot."""
        end = layout.TABLE_SIZE + layout.PROBES
        at = self._memory.find(bytes([slot]), 0, end) if slot < layout.SLOTS else -1
        while at >= 0:
            self._memory[at] = layout.TOMBSTONE
            at = self._memory.find(bytes([slot]), at + 1, end)
        self._words[self._word(slot, layout.PROCESS_TGID)] = 0
        self._free.append(slot)

    def clear(self) -> None:
        """Empties the table while nothing is traced, so that tombstones do not pile up."""
        self._memory[: layout.TABLE_SIZE + layout.PROBES] = bytes(layout.TABLE_SIZE + layout.PROBES)

    def tgid(self, slot: int) -> int:
        """Returns the number in the initial PID namespace, 0 while it is not known."""
        return self._words[self._word(slot, layout.PROCESS_TGID)]

    def lost(self, slot: int) -> int:
        """Returns how many records of the process found no room."""
        at = layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE + layout.PROCESS_LOST
        return self._longs[at // 8]

    def born(self, slot: int) -> tuple[int, int, bytes]:
        """Returns when a followed child was started, ns, the ordinal of who did, and its comm."""
        at = layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE
        since = self._longs[(at + layout.PROCESS_SINCE) // 8]
        creator = self._words[self._word(slot, layout.PROCESS_CREATOR)]
        comm = self._memory[at + layout.PROCESS_COMM : at + layout.PROCESS_COMM + layout.COMM_SIZE]
        return since, creator, comm.split(b"\0", 1)[0]

    def missed(self, slot: int) -> int:
        """Returns how many children of the process found no slot."""
        at = layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE + layout.PROCESS_MISSED
        return self._longs[at // 8]

    @staticmethod
    def _word(slot: int, field: int) -> int:
        return (layout.STATE_PROCESSES + slot * layout.PROCESS_SIZE + field) // 4
