"""Hunter's end of the stream: whom it talks to, what it hears, and whether anybody is there.

Used by the control thread; the writer's thread only tells that a connection is broken.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from typing import Callable, Deque, Optional

from hg_shared import wire
from hg_shared.errors import WireError
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Ack, Event, RejoinHello, RejoinResponse, SessionKey, Stop
from hunter.stream.link import Link
from hunter.stream.rejoin import RejoinHandshake, RejoinListener
from hunter.stream.writer import Writer

MAX_MESSAGE = 1 << 16
SECOND = 1_000_000_000


class Connection:
    """The connection to gatherer, as often as it is made anew.

    Args:
        limit: bytes of frames kept until gatherer has them.
        linger: seconds without a word from gatherer after which it is given up.
        wake: descriptor that is read by `on_wake` when it is readable.
        on_wake: see there.

    Attributes:
        writer: sends.
        stopped: gatherer has asked hunter to end.
        deaf: the end of the only stdin there will ever be has come.
        heard_ns: CLOCK_MONOTONIC of gatherer's last word, or of the loss of the connection.
    """

    def __init__(self, limit: int, linger: float, wake: int, on_wake: Callable[[], None]) -> None:
        link = Link(0, 1)
        self.writer = Writer(link, limit, self._on_broken)
        self.stopped = False
        self.deaf = False
        self.heard_ns = time.monotonic_ns()
        self._linger_ns = int(linger * SECOND)
        self._wake = wake
        self._on_wake = on_wake
        self._link: Optional[Link] = link
        self._lost_by = ""
        self._dismissed = False
        self._broken: Deque[Link] = deque()
        self._decoder = FrameDecoder(MAX_MESSAGE)
        self._listener: Optional[RejoinListener] = None
        self._handshake: Optional[RejoinHandshake] = None
        self._self_read, self._self_write = os.pipe()
        os.set_blocking(self._self_write, False)

    @property
    def up(self) -> bool:
        """Whether there is a connection, as far as that is known."""
        return self._link is not None

    def given_up(self, now_ns: int) -> str:
        """Returns why nobody is expected any more, empty while somebody is.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        if self._listener is None and (self._link is None or self.deaf):
            return self._lost_by
        if self._dismissed and self._link is None:
            return self._lost_by
        return "no_heartbeat" if now_ns - self.heard_ns > self._linger_ns else ""

    def wait(self, timeout: float) -> None:
        """Takes what comes, and waits for it.

        Args:
            timeout: seconds at most.
        """
        with selectors.PollSelector() as selector:
            for fd in (self._wake, self._self_read):
                selector.register(fd, selectors.EVENT_READ)
            link, listener = self._link, self._listener
            if link is not None and not self.deaf:
                selector.register(link.reading, selectors.EVENT_READ)
            for fd in listener.descriptors() if listener is not None else ():
                selector.register(fd, selectors.EVENT_READ)
            ready = [key.fd for key, _ in selector.select(timeout)]
        for fd in ready:
            if fd == self._wake:
                self._on_wake()
            elif fd == self._self_read:
                os.read(fd, 512)
            elif link is not None and fd == link.reading:
                self._read(link)
            elif listener is not None:
                self._meet(listener, fd)
        while self._broken:
            self._lose(self._broken.popleft(), "stdout_closed")
        if listener is not None:
            listener.expire()

    def close(self) -> None:
        """Lets gatherer see the end."""
        if self._listener is not None:
            self._listener.close()
        if self._link is not None:
            self._link.close()

    def _on_broken(self, link: Link) -> None:
        """Called by the writer's thread."""
        self._broken.append(link)
        try:
            os.write(self._self_write, b"\0")
        except BlockingIOError:
            pass

    def _read(self, link: Link) -> None:
        if link is not self._link:
            return
        try:
            data = link.read()
        except BlockingIOError:
            return
        if not data:
            if self._listener is None:
                # Nobody can come back, but the final message may still get through.
                self.deaf, self._lost_by = True, "stdin_closed"
            else:
                self._lose(link, "stdin_closed")
            return
        self.heard_ns = time.monotonic_ns()
        self._decoder.receive_data(data)
        self._decoder.errors.clear()
        for frame in self._decoder.frames_received():
            try:
                content = wire.decode(frame)
            except WireError:
                continue
            if isinstance(content, Stop):
                self.stopped = True
                # A gatherer that fails does not come back for the final message.
                self._dismissed = content.reason == "error"
            elif isinstance(content, Ack):
                self.writer.acknowledge(content.seq)
            elif isinstance(content, SessionKey):
                self._agree(content)
            elif isinstance(content, RejoinHello) and self._listener is not None:
                # Gatherer has lost its end of this very connection, as with `attach`.
                self._handshake = self._listener.handshake()
                answer = self._handshake.receive(content)
                if answer is not None:
                    self.writer.interject(answer)
            elif isinstance(content, RejoinResponse) and self._handshake is not None:
                if self._handshake.proves(content):
                    self.writer.join(link, content.seq)
                self._handshake = None

    def _agree(self, where: SessionKey) -> None:
        if self._listener is not None:
            return
        try:
            self._listener = RejoinListener(where)
        except (OSError, ValueError) as error:
            self.writer.put(
                Event(time.monotonic_ns(), "no_rejoin", None, {"cause": str(error)[:200]})
            )

    def _meet(self, listener: RejoinListener, fd: int) -> None:
        joined = listener.receive(fd)
        if joined is None:
            return
        former, self._link = self._link, joined.link
        self.heard_ns = time.monotonic_ns()
        self._decoder = FrameDecoder(MAX_MESSAGE)
        self._handshake = None
        self.writer.join(joined.link, joined.seq)
        if former is not None:
            former.close()

    def _lose(self, link: Link, how: str) -> None:
        if link is not self._link:
            return
        self._link = None
        self._lost_by = how
        self.heard_ns = time.monotonic_ns()
        self.writer.leave()
        link.close()
