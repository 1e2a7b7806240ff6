"""Records on their way from the C loop to the writer: rings in shared memory."""

from __future__ import annotations

import ctypes
import mmap
from collections import deque
from struct import Struct
from typing import Any, Deque, Dict, List, Tuple

from hg_shared.batch import Batch
from hg_shared.records import HEAD_SIZE
from hunter.engines.native import structures
from hunter.engines.record_queue import BatchSplitter, captured_bytes

_TWO = Struct("<QQ")
_PROCESS = Struct("<IiQQ")
_FD = Struct("<i")
MAX_PROCESSES = 1024
# Places that children leave to processes that are chosen by their memory.
KEPT_PROCESSES = 64


def shared(size: int) -> Tuple[mmap.mmap, int]:
    """Returns anonymous memory and its address; it stays where it is as long as it is kept.

    Args:
        size: bytes.
    """
    memory = mmap.mmap(-1, size)
    return memory, ctypes.addressof((ctypes.c_char * size).from_buffer(memory))


class NativeQueue:
    """The rings that hot_loop.c fills; see `hunter.engines.record_queue.RecordQueue`.

    Args:
        library: the loaded hot loop.
        source: which tracer of this hunter.
        limit: bytes both rings may hold together.

    Attributes:
        context: struct context of the loop, shared.
        address: its address.
    """

    def __init__(self, library: Any, source: int, limit: int) -> None:
        self._library = library
        self.context, address = shared(structures.CONTEXT_SIZE)
        self.address = ctypes.c_void_p(address)
        self._head_capacity = max(limit // 2 // HEAD_SIZE, MAX_PROCESSES * 4)
        self._capture_capacity = max(limit // 2, 1 << 17)
        self._heads, heads = shared(self._head_capacity * HEAD_SIZE)
        self._captures, captures = shared(self._capture_capacity)
        self._processes, processes = shared(MAX_PROCESSES * structures.PROCESS_SIZE)
        self._set(structures.HEADS, heads, self._head_capacity)
        self._set(structures.CAPTURES, captures, self._capture_capacity)
        self._set(structures.PROCESSES, processes, 0)
        self._count = 0
        self._free: Deque[int] = deque()
        self._indexes: Dict[int, int] = {}
        self._lost_before: Dict[int, int] = {}
        self._batches = BatchSplitter(source)

    def _set(self, offset: int, first: int, second: int) -> None:
        _TWO.pack_into(self.context, offset, first, second)

    def add_process(self, ordinal: int, memory: int) -> int:
        """Makes a process known to the loop, or changes where its memory is read.

        Args:
            ordinal: the process.
            memory: descriptor of /proc/PID/mem.

        Returns:
            Its index there; -1 when there are too many.
        """
        index = self._indexes.get(ordinal, -1)
        if index < 0:
            index = self._allocate()
            if index < 0:
                return -1
            self._indexes[ordinal] = index
            _PROCESS.pack_into(
                self._processes, index * structures.PROCESS_SIZE, ordinal, memory, 0, 0
            )
            self.context[structures.PROCESS_COUNT : structures.PROCESS_COUNT + 8] = (
                self._count.to_bytes(8, "little")
            )
        else:
            _FD.pack_into(self._processes, index * structures.PROCESS_SIZE + 4, memory)
        return index

    def has_room(self) -> bool:
        """Tells whether there is room for one more process, and for some that are chosen."""
        if self._count < MAX_PROCESSES - KEPT_PROCESSES:
            return True
        # A place whose losses no note has told yet cannot be given away.
        return any(not self._fields(index)[3] for index in self._free)

    def remove_process(self, ordinal: int) -> None:
        """Gives the place of a process to others, once its losses have been noted."""
        index = self._indexes.pop(ordinal, -1)
        if index >= 0:
            self._free.append(index)

    def _allocate(self) -> int:
        """Returns a free place, -1 when there is none."""
        for _ in range(len(self._free)):
            index = self._free.popleft()
            ordinal, _, lost, dropping = self._fields(index)
            if not dropping:
                self._lost_before[ordinal] = self._lost_before.get(ordinal, 0) + lost
                return index
            self._free.append(index)
        if self._count >= MAX_PROCESSES:
            return -1
        self._count += 1
        return self._count - 1

    def _fields(self, index: int) -> Tuple[int, int, int, int]:
        """Returns ordinal, descriptor, records lost, and those of them that no note told yet."""
        return _PROCESS.unpack_from(self._processes, index * structures.PROCESS_SIZE)

    def put(self, head: bytes, captures: bytes, process: int, now_ns: int) -> None:
        """Appends one record, or drops and counts it. Called by the tracer."""
        self._library.hot_put(
            self.address,
            head,
            captures,
            ctypes.c_ulong(len(captures)),
            ctypes.c_uint(self._indexes[process]),
            ctypes.c_ulong(now_ns),
        )

    def flush_losses(self, now_ns: int) -> None:
        """Notes losses that no later record has noted. Called when the tracer has ended."""
        self._library.hot_flush_losses(self.address)

    def dequeue(self, watermark: int, in_flight: Tuple[bytes, bytes] = (b"", b"")) -> List[Batch]:
        """Removes everything there is and returns it in batches. Called by the writer.

        Args:
            watermark: for all batches, CLOCK_MONOTONIC ns.
            in_flight: heads and captures of IN_FLIGHT records that go in front.
        """
        written = self._library.hot_take(self.address)
        heads_taken, captures_taken = _TWO.unpack_from(self.context, structures.HEADS_TAKEN)
        count = written - heads_taken
        heads = _ring(
            self._heads,
            heads_taken % self._head_capacity * HEAD_SIZE,
            count * HEAD_SIZE,
            self._head_capacity * HEAD_SIZE,
        )
        size = captured_bytes(heads)
        captures = _ring(
            self._captures, captures_taken % self._capture_capacity, size, self._capture_capacity
        )
        self._library.hot_release(self.address, ctypes.c_ulong(count), ctypes.c_ulong(size))
        return self._batches.batches(in_flight[0] + heads, in_flight[1] + captures, watermark)

    def empty(self, watermark: int) -> Batch:
        """Returns a batch without records that only moves the watermark."""
        return self._batches.empty(watermark)

    def sent(self) -> Dict[int, int]:
        """Returns how many records were taken by the writer, by process; notes do not count."""
        return self._batches.sent()

    def lost(self) -> Dict[int, int]:
        """Returns how many records were dropped, by process."""
        lost = {ordinal: count for ordinal, count in list(self._lost_before.items()) if count}
        for index in range(self._count):
            ordinal, _, count, _ = self._fields(index)
            if count:
                lost[ordinal] = lost.get(ordinal, 0) + count
        return lost

    def waiting(self) -> int:
        """Returns how many records wait to be taken."""
        written = _TWO.unpack_from(self.context, structures.HEADS_WRITTEN)[0]
        return int(written - _TWO.unpack_from(self.context, structures.HEADS_TAKEN)[0])

    def size(self) -> int:
        """Returns how many bytes wait to be taken."""
        written, captures_written = _TWO.unpack_from(self.context, structures.HEADS_WRITTEN)
        taken, captures_taken = _TWO.unpack_from(self.context, structures.HEADS_TAKEN)
        return int((written - taken) * HEAD_SIZE + captures_written - captures_taken)


def _ring(memory: mmap.mmap, start: int, size: int, capacity: int) -> bytes:
    """Returns bytes of a ring, which may go on at its beginning."""
    end = start + size
    if end <= capacity:
        return memory[start:end]
    return memory[start:capacity] + memory[: end - capacity]
