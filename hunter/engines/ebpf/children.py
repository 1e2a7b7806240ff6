"""Children that the kernel begins to trace as they are born: the slots in store for them."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from hg_shared.batch import SLOT_PREFIX
from hunter.engines.base import Follow
from hunter.engines.ebpf import layout, loader
from hunter.engines.ebpf.slots import Slots

# Slots that children leave to processes that are chosen by their memory.
KEPT_SLOTS = 32


class Children:
    """Slots for children that are not born yet, or not seen yet, by their ordinals.

    Args:
        slots: the table that the programs see.
        spares: the queue from which the kernel takes a slot, -1 where children are not followed.
    """

    def __init__(self, slots: Slots, spares: int) -> None:
        self._slots = slots
        self._queue = spares
        self._spares: Dict[int, int] = {}
        # Children of whom a call was drained and nothing else yet, and the thread that made it.
        self._unseen: Dict[int, int] = {}
        self.follow: Optional[Follow] = None
        """Takes the children in; None to leave them alone."""
        self.closed = False
        """No more slots are put in store."""

    def __contains__(self, ordinal: int) -> bool:
        return ordinal in self._spares

    @property
    def born(self) -> bool:
        """Whether there are some that nobody has seen yet."""
        return any(map(self._slots.tgid, self._spares.values()))

    def fill(self) -> None:
        """Keeps slots in store, from which the kernel takes those of children as they are born."""
        if self._queue < 0 or self.follow is None or self.closed:
            return
        for _ in range(min(layout.SPARES - len(self._spares), self._slots.free - KEPT_SLOTS)):
            ordinal = self.follow.reserve()
            if not ordinal:
                break
            slot = self._slots.allocate(ordinal)
            self._spares[ordinal] = slot
            loader.push(self._queue, slot.to_bytes(4, "little"))

    def remove(self, ordinal: int) -> int:
        """Returns the slot of a child that has been seen, which is in store no longer."""
        return self._spares.pop(ordinal)

    def see(self, ordinals: Iterable[int], slots: bytes, stride: int) -> None:
        """Takes note of children whose calls were drained.

        Args:
            ordinals: of all processes with records in the slots.
            slots: as they stand in the ring.
            stride: bytes of each.
        """
        for ordinal in ordinals:
            if ordinal in self._spares:
                words = memoryview(slots).cast("I")[(SLOT_PREFIX + 76) // 4 :: stride // 4]
                place = words.tolist().index(ordinal) * stride + SLOT_PREFIX + 72
                tid = int.from_bytes(slots[place : place + 4], "little")
                self._unseen.setdefault(ordinal, tid)

    def take_unseen(self) -> List[Tuple[int, int]]:
        """Returns ordinal and thread of children whose calls were drained, and nothing else yet."""
        found = [each for each in self._unseen.items() if each[0] in self._spares]
        self._unseen.clear()
        return found
