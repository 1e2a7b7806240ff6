"""The writer: everything hunter says leaves through here, numbered and framed.

A thread of its own frames and writes. Messages keep their order; records are taken from the engine
only while there is room for their frames, and else pile up in the engine's bounded queue, which
drops and counts. Frames are kept until gatherer has them: a new connection begins with those it
does not have. Without a connection the writer goes on framing, because frames are smaller.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Union

from hg_shared import wire
from hg_shared.batch import Batch, SlotBatch
from hg_shared.messages import Goodbye, Heartbeat, Joined, Message, TracedProcess
from hunter.engines.base import INTERVAL, Engine
from hunter.stream.backlog import Backlog
from hunter.stream.link import Link

# Messages are rare; this bound only matters when nobody reads for hours.
MAX_MESSAGES = 4096
# Bytes of records in one drain after which the next one follows at once.
BEHIND_BYTES = 256 << 10
# Bytes of records in one drain of a ptrace engine after which the next one follows soon, and how
# soon: at its highest rate the queue is full after 80 ms.
BUSY_BYTES = 32 << 10
BUSY_INTERVAL = 0.02
# Share of the limit in the queue from which on sent frames are given up for it: soon, for the queue
# has room for heads and captures apart, and one of them is full before the other.
PRESSING_SHARE = 8
# Bytes of records a second from which on they are not compressed, if the descriptor takes so many
# bytes a second: a slower link than that is worth the time of compressing.
PLAIN_RATE = 25_000_000
LINK_RATE = 50_000_000
SECOND = 1_000_000_000
# linux/fcntl.h; the fcntl module has it since 3.10.
F_SETPIPE_SZ = 1031
PIPE_BYTES = 1 << 20


class Writer:
    """Frames messages and records and writes them to the connection there is.

    Args:
        link: the connection to begin with.
        limit: bytes of frames that are kept until gatherer has them.
        on_broken: called from the writer's thread when a connection is broken.

    Attributes:
        dropped_messages: messages that were dropped for want of room.
        goodbye_seq: sequence number of the Goodbye, 0 before it is framed.
    """

    def __init__(self, link: Link, limit: int, on_broken: Callable[[Link], None]) -> None:
        self._link: Optional[Link] = link
        self._backlog = Backlog(limit)
        self._limit = limit
        self._on_broken = on_broken
        self._engine: Optional[Engine] = None
        self._messages: Deque[Message] = deque()
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self._finish = threading.Event()
        self._closed = False
        self._goodbye: Optional[Callable[[int], Goodbye]] = None
        self._seq = 0
        self._level = 1
        self._behind = False
        self._busy = False
        self._next_drain = 0
        self._written = 0
        self._moved = 0
        self._waited_ns = 1
        self._enlarged = False
        self._since = 0
        self.dropped_messages = 0
        self.goodbye_seq = 0
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def use(self, engine: Engine) -> None:
        """Gives the engine whose records are sent from now on."""
        self._engine = engine

    def put(self, message: Message) -> None:
        """Queues a message; it stands before all records that the engine makes after this call.

        The declaration of a process is always taken: records without it could not be told apart,
        and there is a bound to how many processes are traced.
        """
        if isinstance(message, Heartbeat) and self._link is None:
            return
        if len(self._messages) >= MAX_MESSAGES and not isinstance(message, TracedProcess):
            self.dropped_messages += 1
            return
        self._messages.append(message)
        self._wake()

    def interject(self, message: Message) -> None:
        """Sends a message outside the sequence before everything that waits."""
        with self._lock:
            self._backlog.interject(wire.encode(message))
        self._wake()

    def acknowledge(self, seq: int) -> None:
        """Takes gatherer's word that it has everything up to a sequence number."""
        with self._lock:
            full = self._backlog.full
            self._backlog.acknowledge(min(seq, self._seq))
        if full:
            self._wake()

    @property
    def acknowledged(self) -> int:
        """The highest sequence number that gatherer has said it has."""
        return self._backlog.acknowledged

    @property
    def progress(self) -> int:
        """A number that grows while bytes or acknowledgements move."""
        return self._moved + self._backlog.acknowledged

    @property
    def all_sent(self) -> bool:
        """Whether the Goodbye and all before it is written."""
        return bool(self.goodbye_seq) and not self._backlog.behind

    def waiting_bytes(self) -> int:
        """Returns how many bytes of frames gatherer has not acknowledged."""
        return self._backlog.size

    def join(self, link: Link, seq: int) -> None:
        """Goes on over another connection, with what gatherer does not have.

        Args:
            link: the connection.
            seq: gatherer has everything up to this sequence number.
        """
        with self._lock:
            first = self._backlog.rewind(min(seq, self._seq)) or self._seq + 1
            self._backlog.interject(wire.encode(Joined(first)))
            self._link = link
        self._wake()

    def leave(self) -> None:
        """Writes to nobody until `join`."""
        with self._lock:
            self._link = None
        self._wake()

    def finish(self, goodbye: Callable[[int], Goodbye]) -> None:
        """Asks for the rest of the records and then the Goodbye to be framed.

        Args:
            goodbye: makes the Goodbye once all is drained, from the number of frames before it.
        """
        self._goodbye = goodbye
        self._finish.set()
        self._wake()

    def close(self, timeout: float) -> None:
        """Ends the thread.

        Args:
            timeout: seconds to wait for it.
        """
        self._closed = True
        self._wake()
        self._thread.join(timeout)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            pass

    @property
    def ended(self) -> bool:
        """Whether the thread is gone."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        finishing = False
        while not self._closed:
            now = time.monotonic_ns()
            if self._finish.is_set() and not finishing:
                finishing = True
                self._frame_waiting(True)
                self._frame_goodbye()
                self._behind = False
                self._next_drain = now + 3600 * SECOND
            elif not finishing and (self._messages or now >= self._next_drain):
                self._frame_waiting(False)
            blocked = self._write()
            if not self._behind or blocked:
                self._wait(blocked)

    def _frame_goodbye(self) -> None:
        if self._goodbye is not None:
            seq = self._seq + 1
            self._frame(self._goodbye(self._seq))
            self.goodbye_seq = seq

    def _frame_waiting(self, everything: bool) -> None:
        # Records first out of the engine, messages first into the stream: a PROCESS frame queued
        # before an attach is thereby in front of all records of that process.
        engine = self._engine
        begun = time.monotonic_ns()
        batches = []
        self._behind = self._busy = False
        if engine is not None and (everything or self._has_room(engine)):
            batches = list(engine.drain(begun, everything))
        while self._messages and (everything or not self._backlog.full):
            self._frame(self._messages.popleft())
        level = self._level
        slots = rows = 0
        for batch in batches:
            self._frame(batch, level)
            if isinstance(batch, SlotBatch):
                slots += len(batch.slots)
            else:
                rows += len(batch.heads) + len(batch.captures)
        self._behind = slots >= BEHIND_BYTES
        self._busy = rows > BUSY_BYTES
        self._next_drain = begun if self._behind else begun + int(self._interval() * SECOND)
        if slots:
            self._since, since = begun, self._since
            rate = slots * SECOND // max(begun - since, 1)
            link = self._written * SECOND // self._waited_ns
            self._written, self._waited_ns = 0, 1
            self._level = 0 if rate > PLAIN_RATE and link > LINK_RATE else 1
            if self._level == 0 and not self._enlarged:
                self._enlarge()

    def _has_room(self, engine: Engine) -> bool:
        """Returns whether records may be framed; makes room where waiting would lose them."""
        backlog = self._backlog
        if not backlog.full:
            return True
        if (
            self._link is not None
            and not backlog.behind
            and engine.queued_bytes() > self._limit // PRESSING_SHARE
        ):
            with self._lock:
                backlog.give_up(self._limit // 4)
        return not backlog.full

    def _interval(self) -> float:
        if self._busy:
            return BUSY_INTERVAL
        return self._engine.interval if self._engine is not None else INTERVAL

    def _enlarge(self) -> None:
        """Gives a pipe room for some milliseconds of records at a high rate."""
        self._enlarged = True
        link = self._link
        try:
            if link is not None:
                fcntl.fcntl(link.writing, F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # not a pipe, or more than the user may have

    def _frame(self, content: Union[wire.Content, SlotBatch], level: int = 1) -> None:
        seq = 0 if isinstance(content, wire.OUTSIDE_SEQUENCE) else self._seq + 1
        data = wire.encode(content, seq, level)
        with self._lock:
            self._seq = seq or self._seq
            self._backlog.append(seq, data, isinstance(content, (Batch, SlotBatch)))

    def _write(self) -> bool:
        """Writes what the connection takes; returns whether it would not take more."""
        broken: Optional[Link] = None
        begun = time.monotonic_ns()
        with self._lock:
            link = self._link
            blocked = False
            try:
                while link is not None and not blocked:
                    rest = self._backlog.rest()
                    if rest is None:
                        break
                    count = link.write(rest)
                    self._backlog.wrote(count)
                    self._written += count
                    self._moved += count
                    blocked = count < len(rest)
            except OSError:
                broken, self._link = link, None
        self._waited_ns += time.monotonic_ns() - begun
        if broken is not None:
            self._on_broken(broken)
        return blocked

    def _wait(self, blocked: bool) -> None:
        """Waits until there is something to do: to drain, to send, to write on."""
        begun = time.monotonic_ns()
        timeout = min(max((self._next_drain - begun) / SECOND, 0.001), 1.0)
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        link = self._link
        writing = link.writing if link is not None else -1
        if blocked and writing >= 0:
            poll.register(writing, select.POLLOUT)
        if poll.poll(timeout * 1000):
            try:
                os.read(self._wake_read, 4096)
            except BlockingIOError:
                pass
        if blocked:
            self._waited_ns += time.monotonic_ns() - begun
