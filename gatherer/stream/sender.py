"""Messages to hunter over a channel: acknowledgements, signs of life, and to stop. Pure."""

from __future__ import annotations

from math import inf

from gatherer.timeouts import Timeouts
from hg_shared.messages import Ack, Ping, Stop
from hg_shared.wire import encode

ACK_FRAMES = 64
"""So many frames are acknowledged without waiting for more."""
ACK_BYTES = 128 << 10
"""So many bytes too: hunter keeps a bounded number of bytes that are not acknowledged."""


class Sender:
    """The frames to hunter, and when they are due.

    Args:
        linger: seconds after which hunter leaves when it hears nothing.
        timeouts: limits of time.
    """

    def __init__(self, linger: float, timeouts: Timeouts) -> None:
        self._ping_seconds = min(timeouts.ping, linger / 5)
        self._ack_seconds = timeouts.ack
        self._durable = 0
        self._acked = 0
        self._bytes = 0
        self._ack_at = inf
        self._ping_at = inf
        self._stop: Stop | None = None
        self._stop_due = False

    def connected(self, now: float) -> None:
        """Begins over another channel: what was said over an earlier one may not have arrived."""
        self._acked = 0
        self._ack_at = now + self._ack_seconds if self._durable else inf
        self._ping_at = now + self._ping_seconds
        self._stop_due = self._stop is not None

    def durable(self, seq: int, size: int, now: float, at_once: bool = False) -> None:
        """Says that everything up to a sequence number is on disk.

        Args:
            seq: the sequence number.
            size: bytes that came to disk since the last call.
            now: the time.
            at_once: acknowledge without waiting for more.
        """
        self._durable = max(self._durable, seq)
        self._bytes += size
        if self._durable == self._acked:
            return
        enough = self._durable - self._acked >= ACK_FRAMES or self._bytes >= ACK_BYTES
        self._ack_at = min(self._ack_at, now if at_once or enough else now + self._ack_seconds)

    def stop(self, reason: str) -> None:
        """Asks hunter to end, and again over each later channel.

        Args:
            reason: see `Stop`.
        """
        self._stop = Stop(reason)
        self._stop_due = True

    def next_deadline(self) -> float:
        """Returns when something is due."""
        return -inf if self._stop_due else min(self._ack_at, self._ping_at)

    def data_to_send(self, now: float) -> bytes:
        """Returns the frames that are due."""
        if now < self.next_deadline():
            return b""
        frames = []
        if self._durable > self._acked:
            self._acked, self._bytes, self._ack_at = self._durable, 0, inf
            frames.append(encode(Ack(self._acked)))
        if self._stop is not None and self._stop_due:
            self._stop_due = False
            frames.append(encode(self._stop))
        if now >= self._ping_at:
            self._ping_at = now + self._ping_seconds
            frames.append(encode(Ping(int(now * 1e9))))
        return b"".join(frames)
