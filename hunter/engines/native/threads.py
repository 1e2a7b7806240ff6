"""The threads that the C loop knows: a slot each, found by tid."""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import Any, Dict, List, Optional, Tuple

from hunter.engines.native import structures
from hunter.engines.native.ring_queue import NativeQueue, shared

MAX_THREADS = 12288
_TABLE_SIZE = 16384
_WHO = Struct("<IIII")
_LENGTH = Struct("<I")
_WORD = Struct("<Q")
_TWO = Struct("<QQ")

Call = Tuple[int, int, Tuple[int, ...], bytes]


class NativeThreads:
    """Slots of threads, shared with the loop.

    The tracer's thread changes them while the loop does not run; the writer's thread reads the
    calls that are open while it does, and a slot's start time tells it whether it saw a whole one.

    Args:
        library: the loaded hot loop.
        queue: whose context the loop has.
    """

    def __init__(self, library: Any, queue: NativeQueue) -> None:
        self._library = library
        self._queue = queue
        self._table, table = shared(_TABLE_SIZE * 8)
        self._slots, slots = shared(MAX_THREADS * structures.THREAD_SIZE)
        _TWO.pack_into(queue.context, structures.TABLE, table, _TABLE_SIZE - 1)
        _WORD.pack_into(queue.context, structures.THREADS, slots)
        self._free: List[int] = list(range(MAX_THREADS - 1, -1, -1))
        self._by_tid: Dict[int, int] = {}

    def add(self, tid: int, process: int) -> bool:
        """Takes a thread in; returns whether there was room.

        Args:
            tid: the thread.
            process: index of its process in the queue.
        """
        slot = self._by_tid.get(tid)
        if slot is None:
            if not self._free:
                return False
            slot = self._free.pop()
            self._by_tid[tid] = slot
            self._library.hot_insert(self._queue.address, ctypes.c_uint(tid), ctypes.c_uint(slot))
        at = slot * structures.THREAD_SIZE
        _WORD.pack_into(self._slots, at, 0)
        _WHO.pack_into(self._slots, at + structures.THREAD_WHO, tid, process, 0, 0)
        _WORD.pack_into(self._slots, at + structures.THREAD_QUIET, 0)
        return True

    def has_room(self) -> bool:
        """Tells whether there is room for some more threads."""
        return len(self._free) > MAX_THREADS // 8

    def remove(self, tid: int) -> None:
        """Drops a thread."""
        slot = self._by_tid.pop(tid, None)
        if slot is not None:
            self._library.hot_remove(self._queue.address, ctypes.c_uint(tid))
            _WORD.pack_into(self._slots, slot * structures.THREAD_SIZE, 0)
            self._free.append(slot)

    def set_flag(self, tid: int, flag: int) -> None:
        """Sets a flag of a thread."""
        slot = self._by_tid.get(tid)
        if slot is not None:
            at = slot * structures.THREAD_SIZE + structures.THREAD_FLAGS
            flags = _LENGTH.unpack_from(self._slots, at)[0]
            _LENGTH.pack_into(self._slots, at, flags | flag)

    def has_flag(self, tid: int, flag: int) -> bool:
        """Tells whether a flag of a thread is set."""
        slot = self._by_tid.get(tid)
        if slot is None:
            return False
        at = slot * structures.THREAD_SIZE + structures.THREAD_FLAGS
        return bool(_LENGTH.unpack_from(self._slots, at)[0] & flag)

    def clear_flag(self, tid: int, flag: int) -> None:
        """Clears a flag of a thread."""
        slot = self._by_tid.get(tid)
        if slot is not None:
            at = slot * structures.THREAD_SIZE + structures.THREAD_FLAGS
            flags = _LENGTH.unpack_from(self._slots, at)[0]
            _LENGTH.pack_into(self._slots, at, flags & ~flag)

    def call(self, tid: int) -> Optional[Call]:
        """Returns start, arch, number with arguments, and entry captures of an open call.

        Args:
            tid: the thread; None is returned when it is in no call, or left it meanwhile.
        """
        slot = self._by_tid.get(tid)
        if slot is None:
            return None
        at = slot * structures.THREAD_SIZE
        start, *call = structures.THREAD_CALL.unpack_from(self._slots, at)
        if not start:
            return None
        arch = _WHO.unpack_from(self._slots, at + structures.THREAD_WHO)[2]
        length = _LENGTH.unpack_from(self._slots, at + structures.ENTRY_LENGTH)[0]
        data = self._slots[at + structures.ENTRY_DATA : at + structures.ENTRY_DATA + length]
        if _WORD.unpack_from(self._slots, at)[0] != start:
            return None
        return start, arch, tuple(call), data

    def set_call(self, tid: int, start: int, arch: int, call: Tuple[int, ...]) -> None:
        """Notes an open call whose captures Python keeps.

        Args:
            tid: the thread.
            start: when it started, ns; 0 clears it.
            arch: AUDIT_ARCH_ of the call.
            call: number and six arguments.
        """
        slot = self._by_tid.get(tid)
        if slot is None:
            return
        at = slot * structures.THREAD_SIZE
        if start:
            structures.THREAD_CALL.pack_into(self._slots, at, 0, *call)
            _LENGTH.pack_into(self._slots, at + structures.THREAD_WHO + 8, arch)
            _LENGTH.pack_into(self._slots, at + structures.ENTRY_LENGTH, 0)
        _WORD.pack_into(self._slots, at, start)

    def tids(self) -> List[int]:
        """Returns the threads."""
        return list(self._by_tid)
