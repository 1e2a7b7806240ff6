"""CPU masks that were narrowed, as they were before: kept in shared memory, and given back."""

from __future__ import annotations

import os
from struct import Struct
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Set

from hunter.memory import procfs

MASK_BYTES = 128
MAX_THREADS = 8192
_COUNT = Struct("<Q")
_ENTRY = Struct(f"<III{MASK_BYTES}s")
TABLE_BYTES = _COUNT.size + MAX_THREADS * _ENTRY.size

Mask = FrozenSet[int]


def encode_mask(mask: Iterable[int]) -> bytes:
    """Returns a CPU set as bits; CPUs from 1024 on cannot be kept."""
    return sum(1 << cpu for cpu in mask).to_bytes(MASK_BYTES, "little")


def decode_mask(data: bytes) -> Mask:
    """Returns the CPUs of a bit set."""
    bits = int.from_bytes(data, "little")
    return frozenset(cpu for cpu in range(MASK_BYTES * 8) if bits >> cpu & 1)


class SavedMask(NamedTuple):
    """The mask of a thread before it was narrowed, and to which CPU it was."""

    tid: int
    pid: int
    mask: Mask
    cpu: int


class MaskTable:
    """Saved masks in shared memory, readable by the watchdog at any moment.

    Args:
        memory: at least `TABLE_BYTES` of shared memory.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def save(self, saved: SavedMask) -> bool:
        """Adds a mask, before it is narrowed; returns whether there was room."""
        count = _COUNT.unpack_from(self._memory)[0]
        if count >= MAX_THREADS or max(saved.mask) >= MASK_BYTES * 8:
            return False
        self._put(count, saved)
        # The count last: an entry is whole when it counts.
        _COUNT.pack_into(self._memory, 0, count + 1)
        return True

    def _put(self, index: int, saved: SavedMask) -> None:
        at = _COUNT.size + index * _ENTRY.size
        mask = encode_mask(saved.mask)
        _ENTRY.pack_into(self._memory, at, saved.tid, saved.pid, saved.cpu, mask)

    def replace(self, saved: List[SavedMask]) -> None:
        """Keeps these masks alone, of those that were saved, in the same order.

        At no moment is one of them missing; one may be there twice.

        Args:
            saved: what is kept.
        """
        for index, each in enumerate(saved):
            self._put(index, each)
        _COUNT.pack_into(self._memory, 0, len(saved))

    def clear(self) -> None:
        """Drops all masks, after they have been restored."""
        _COUNT.pack_into(self._memory, 0, 0)

    def entries(self) -> List[SavedMask]:
        """Returns the saved masks."""
        found = []
        for index in range(min(_COUNT.unpack_from(self._memory)[0], MAX_THREADS)):
            at = _COUNT.size + index * _ENTRY.size
            tid, pid, cpu, mask = _ENTRY.unpack_from(self._memory, at)
            found.append(SavedMask(tid, pid, decode_mask(mask), cpu))
        return found


def restore(saved: List[SavedMask]) -> int:
    """Gives threads back the masks they had.

    A thread that has changed its mask itself keeps it. Threads and children that were started with
    the narrowed mask get that of the process they come from.

    Args:
        saved: the masks before.

    Returns:
        How many masks were restored.
    """
    restored = 0
    masks: Dict[int, Mask] = {}
    narrow: Dict[int, Set[int]] = {}
    for each in saved:
        masks.setdefault(each.pid, each.mask)
        narrow.setdefault(each.pid, set()).add(each.cpu)
    before = {each.tid: each for each in saved}
    # Only threads that are there: the number of one that has ended may be a stranger's by now.
    for pid, mask in masks.items():
        for tid in procfs.thread_ids(pid):
            own = before.get(tid)
            if own is not None and own.pid == pid:
                restored += _widen(tid, {own.cpu}, own.mask)
            else:
                restored += _widen(tid, narrow[pid], mask)
    return restored + _restore_children(masks, narrow)


def _restore_children(masks: Dict[int, Mask], narrow: Dict[int, Set[int]]) -> int:
    parents: Dict[int, int] = {}
    for pid in procfs.pids():
        stat = procfs.stat(pid)
        if stat is not None:
            parents[pid] = stat.ppid
    restored = 0
    for pid in parents:
        above, seen = parents[pid], {pid}
        while above and above not in masks and above not in seen:
            seen.add(above)
            above = parents.get(above, 0)
        if above in masks and pid not in masks:
            for tid in procfs.thread_ids(pid):
                restored += _widen(tid, narrow[above], masks[above])
    return restored


def _widen(tid: int, narrow: Set[int], mask: Mask) -> int:
    try:
        mask_now = os.sched_getaffinity(tid)
        if len(mask_now) == 1 and mask_now <= narrow:
            os.sched_setaffinity(tid, mask)
            return 1
    except OSError:
        pass  # it has ended, or was given to another user
    return 0
