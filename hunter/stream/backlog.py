"""Frames that gatherer may not have yet: what waits to be sent, and what waits to be acknowledged.

A frame of the sequence is kept until it is acknowledged, so that a connection that breaks loses
nothing. The bound counts both kinds. Pure; the caller holds a lock.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, NamedTuple, Optional


class Kept(NamedTuple):
    """One encoded frame.

    Attributes:
        seq: its sequence number; 0 for a frame outside the sequence, which is never sent twice.
        data: its bytes.
        records: whether it carries records, and nothing that later frames build on.
    """

    seq: int
    data: bytes
    records: bool


class Backlog:
    """The frames between the writer and gatherer's disk.

    Args:
        limit: bytes that may be held.

    Attributes:
        size: bytes held.
        given_up: frames with records that were sent, not acknowledged, and dropped for room.
        acknowledged: everything up to this sequence number has arrived.
    """

    def __init__(self, limit: int) -> None:
        self.size = 0
        self.given_up = 0
        self.acknowledged = 0
        self._limit = limit
        self._sent: Deque[Kept] = deque()
        self._unsent: Deque[Kept] = deque()
        self._offset = 0

    @property
    def full(self) -> bool:
        """Whether nothing should be added before something is acknowledged."""
        return self.size >= self._limit

    @property
    def behind(self) -> bool:
        """Whether frames wait to be sent."""
        return bool(self._unsent)

    def append(self, seq: int, data: bytes, records: bool) -> None:
        """Takes the next frame; it is the caller who looks at `full` before."""
        self._unsent.append(Kept(seq, data, records))
        self.size += len(data)

    def interject(self, data: bytes) -> None:
        """Takes a frame outside the sequence that goes before everything that waits."""
        begun = self._unsent.popleft() if self._offset else None
        self._unsent.appendleft(Kept(0, data, False))
        if begun is not None:
            self._unsent.appendleft(begun)
        self.size += len(data)

    def rest(self) -> Optional[memoryview]:
        """Returns what is to be written next: the rest of one frame; None when all is sent."""
        if not self._unsent:
            return None
        return memoryview(self._unsent[0].data)[self._offset :]

    def wrote(self, count: int) -> None:
        """Says how many bytes of `rest` were written."""
        self._offset += count
        frame = self._unsent[0]
        if self._offset < len(frame.data):
            return
        self._offset = 0
        self._unsent.popleft()
        if frame.seq > self.acknowledged:
            self._sent.append(frame)
        else:
            self.size -= len(frame.data)

    def acknowledge(self, seq: int) -> None:
        """Forgets the frames up to a sequence number."""
        self.acknowledged = max(self.acknowledged, seq)
        while self._sent and self._sent[0].seq <= seq:
            self.size -= len(self._sent.popleft().data)

    def give_up(self, size: int) -> None:
        """Drops sent frames with records, the oldest first, until `size` bytes are free.

        They are most likely on their way; what is not yet framed would be lost for certain.
        """
        spared = []
        while self._sent and self.size + size > self._limit:
            frame = self._sent.popleft()
            if frame.records:
                self.size -= len(frame.data)
                self.given_up += 1
            else:
                spared.append(frame)
        self._sent.extendleft(reversed(spared))

    def rewind(self, seq: int) -> int:
        """Has everything after a sequence number sent again, over a new connection.

        Args:
            seq: gatherer has what is up to here.

        Returns:
            The sequence number of the first frame that will be sent, 0 when there is none yet.
        """
        self.acknowledge(seq)
        frames = [frame for frame in (*self._sent, *self._unsent) if frame.seq > seq]
        self._sent.clear()
        self._unsent = deque(frames)
        self._offset = 0
        self.size = sum(len(frame.data) for frame in frames)
        return frames[0].seq if frames else 0
