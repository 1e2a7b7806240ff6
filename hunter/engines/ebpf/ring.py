"""BPF ring buffers as hunter reads them: mapped memory, no system call for a record.

The kernel's page of the consumer's position is written by hunter, the producer's page and the data
are only read (Documentation/bpf/ringbuf.rst). A record is a word with its length, in which bit 31
says that it is not finished, another word, and its bytes, filled up to a multiple of 8. The data
are mapped once: the kernel offers them twice in a row so that no record has a seam, but then every
page would be charged twice.
"""

from __future__ import annotations

import mmap
from typing import List

from hunter.engines.ebpf import loader

_BUSY = 1 << 31
_DISCARDED = 1 << 30
HEADER_SIZE = 8


class Ring:
    """One ring buffer.

    Args:
        fd: the map.
        size: bytes of its data.
    """

    def __init__(self, fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self.size = size
        self._consumer_map = loader.map_memory(fd, page)
        self._producer_map = loader.map_memory(fd, page + size, page, writable=False)
        # Native 64-bit elements: one load or store each, so the kernel never sees half a position.
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._producer_map).cast("Q")
        self._data = memoryview(self._producer_map)[page:]
        self.position: int = self._consumer[0]

    def end(self) -> int:
        """Returns the position behind the last record that was begun."""
        return self._producer[0]

    def waiting(self) -> int:
        """Returns how many bytes wait to be taken."""
        return self._producer[0] - self.position

    def take_slots(self, stride: int, until: int, most: int) -> bytes:
        """Returns finished records of one length, headers included, and makes room.

        Args:
            stride: bytes of a record with its header.
            until: a position that `end` returned.
            most: how many records at most.
        """
        at = self.position % self.size
        count = min((until - self.position) // stride, most)
        if count <= 0:
            return b""
        whole = (self.size - at) // stride
        if whole == 0:
            # This one has the seam in it.
            if self._data[at + 3] & 0x80:
                return b""
            seam = self.size - at
            taken = bytes(self._data[at:]) + bytes(self._data[: stride - seam])
            self._release(stride)
            return taken
        count = min(count, whole)
        # The highest byte of every length word: all are 0 when no record is unfinished. They are
        # read before the records themselves are.
        busy = bytes(self._data[at + 3 : at + count * stride : stride])
        if busy.count(0) != count:
            count = len(busy) - len(busy.lstrip(b"\0"))
        taken = bytes(self._data[at : at + count * stride])
        self._release(count * stride)
        return taken

    def take_records(self, until: int, most: int) -> List[bytes]:
        """Returns finished records of any length without their headers, and makes room.

        Args:
            until: a position that `end` returned.
            most: how many records at most.
        """
        records: List[bytes] = []
        data, size = self._data, self.size
        position = self.position
        while position < until and len(records) < most:
            at = position % size
            length = int.from_bytes(data[at : at + 4], "little")
            if length & _BUSY:
                break
            discarded = length & _DISCARDED
            length &= _DISCARDED - 1
            start = (at + HEADER_SIZE) % size
            if not discarded:
                if start + length <= size:
                    records.append(bytes(data[start : start + length]))
                else:
                    seam = size - start
                    records.append(bytes(data[start:]) + bytes(data[: length - seam]))
            position += HEADER_SIZE + (length + 7) // 8 * 8
        self._release(position - self.position)
        return records

    def _release(self, size: int) -> None:
        self.position += size
        self._consumer[0] = self.position

    def close(self) -> None:
        """Unmaps it."""
        for view in (self._data, self._consumer, self._producer):
            view.release()
        self._consumer_map.close()
        self._producer_map.close()
