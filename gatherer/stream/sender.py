"""Sending side of the stream: acknowledgements, signs of life, and the wish to stop."""

from __future__ import annotations

import asyncio
import time

from gatherer.errors import GathererError
from gatherer.target.runtime import HunterChannel
from gatherer.timeouts import within
from hg_shared.messages import Ack, Ping, Stop
from hg_shared.wire import encode

ACK_SECONDS = 0.05
"""Frames that become durable within this time share an acknowledgement."""
ACK_FRAMES = 64
"""So many frames are acknowledged without waiting."""
ACK_BYTES = 128 << 10
"""So many bytes too: hunter keeps a bounded number of bytes that are not acknowledged."""
PING_SECONDS = 5.0


class Transmission:
    """Writes to hunter, from one task, so that frames never mix.

    Args:
        linger: seconds after which hunter leaves when it hears nothing.
    """

    def __init__(self, linger: float) -> None:
        self._ping_seconds = min(PING_SECONDS, linger / 5)
        self._durable = 0
        self._acked = 0
        self._bytes = 0
        self._stop: Stop | None = None
        self._stop_sent = False
        self._wake = asyncio.Event()
        self._at_once = asyncio.Event()

    def durable(self, seq: int, size: int = 0, at_once: bool = False) -> None:
        """Says that everything up to this sequence number is on disk.

        Args:
            seq: the sequence number.
            size: bytes that came to disk since the last call.
            at_once: acknowledge without waiting for more.
        """
        self._durable = max(self._durable, seq)
        self._bytes += size
        if at_once or self._enough:
            self._at_once.set()
        self._wake.set()

    @property
    def _enough(self) -> bool:
        return self._durable - self._acked >= ACK_FRAMES or self._bytes >= ACK_BYTES

    def stop(self, reason: str) -> None:
        """Asks hunter to end, once `run` runs, and again over each new channel.

        Args:
            reason: see `Stop`.
        """
        self._stop = Stop(reason)
        self._stop_sent = False
        self._at_once.set()
        self._wake.set()

    async def run(self, channel: HunterChannel) -> None:
        """Sends until the channel breaks or this is cancelled; a broken channel is no error here.

        The reader of the channel learns of the break too, and knows more about it.

        Args:
            channel: hunter's streams; what was said over an earlier channel may not have arrived.
        """
        next_ping = time.monotonic() + self._ping_seconds
        self._acked = 0
        self._stop_sent = False
        self._wake.set()
        try:
            while True:
                await self._wait(self._wake, next_ping - time.monotonic())
                self._wake.clear()
                if not self._enough:
                    await self._wait(self._at_once, ACK_SECONDS)
                self._at_once.clear()
                data = self._take(next_ping)
                if data:
                    await channel.send(data)
                if time.monotonic() >= next_ping:
                    next_ping = time.monotonic() + self._ping_seconds
        except GathererError:
            return

    def _take(self, next_ping: float) -> bytes:
        frames = []
        if self._durable > self._acked:
            self._acked = self._durable
            self._bytes = 0
            frames.append(encode(Ack(self._acked)))
        if self._stop is not None and not self._stop_sent:
            frames.append(encode(self._stop))
            self._stop_sent = True
        now = time.monotonic()
        if now >= next_ping:
            frames.append(encode(Ping(int(now * 1e9))))
        return b"".join(frames)

    @staticmethod
    async def _wait(event: asyncio.Event, seconds: float) -> None:
        try:
            async with within(seconds):
                await event.wait()
        except TimeoutError:
            pass
