"""The writer: everything hunter says leaves through here, numbered, framed, on one descriptor.

A thread of its own writes, so that a full pipe blocks it and nobody else. Messages keep their
order; records are taken from the engine only when the pipe took the frame before, and so pile up
in the engine's bounded queue, which drops and counts.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Union

from hg_shared import wire
from hg_shared.batch import SlotBatch
from hg_shared.messages import Goodbye, Heartbeat, Message, TracedProcess
from hunter.engines import INTERVAL, Engine

# Messages are rare; this bound only matters when the client stops reading for hours.
MAX_MESSAGES = 4096
# Bytes of records in one drain after which the next one follows at once.
BEHIND_BYTES = 256 << 10
# Bytes of records a second from which on they are not compressed, if the descriptor takes so many
# bytes a second: a slower link than that is worth the time of compressing.
PLAIN_RATE = 25_000_000
LINK_RATE = 50_000_000
SECOND = 1_000_000_000
# linux/fcntl.h; the fcntl module has it since 3.10.
F_SETPIPE_SZ = 1031
PIPE_BYTES = 1 << 20


class Writer:
    """Frames messages and records and writes them to a descriptor.

    Args:
        fd: where to.
        on_broken: called once, from the writer's thread, when the descriptor is broken.
    """

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self._fd = fd
        self._on_broken = on_broken
        self._engine: Optional[Engine] = None
        self._messages: Deque[Message] = deque()
        self._wake = threading.Event()
        self._finish = threading.Event()
        self._finished = threading.Event()
        self._goodbye: Optional[Callable[[int], Goodbye]] = None
        self._seq = 0
        self._level = 1
        self._behind = False
        self._writing_ns = 1
        self._enlarged = False
        self._since = 0
        self.dropped_messages = 0
        self.broken = False
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
        if len(self._messages) >= MAX_MESSAGES and not isinstance(message, TracedProcess):
            self.dropped_messages += 1
            return
        self._messages.append(message)
        self._wake.set()

    def finish(self, goodbye: Callable[[int], Goodbye]) -> None:
        """Asks for the rest of the records and then the Goodbye to be written.

        Args:
            goodbye: makes the Goodbye once all is drained, from the number of frames before it.
        """
        self._goodbye = goodbye
        self._finish.set()
        self._wake.set()

    def wait_finished(self, timeout: float) -> bool:
        """Waits until the Goodbye has been written; returns whether it has.

        Args:
            timeout: seconds.
        """
        return self._finished.wait(timeout)

    def _run(self) -> None:
        try:
            while not self._finish.is_set():
                if not self._behind:
                    engine = self._engine
                    self._wake.wait(engine.interval if engine is not None else INTERVAL)
                    self._wake.clear()
                self._send_waiting(False)
            self._send_waiting(True)
            if self._goodbye is not None:
                self.goodbye_seq = self._seq + 1
                self._send(self._goodbye(self._seq))
        except OSError:
            self.broken = True
            self._on_broken()
        finally:
            self._finished.set()

    def _send_waiting(self, everything: bool) -> None:
        # Records first out of the engine, messages first onto the wire: a PROCESS frame queued
        # before an attach is thereby in front of all records of that process.
        engine = self._engine
        begun = time.monotonic_ns()
        batches = engine.drain(begun, everything) if engine is not None else []
        while self._messages:
            self._send(self._messages.popleft())
        level = self._level
        slots, written, self._writing_ns = 0, 0, 1
        for batch in batches:
            written += self._send(batch, level)
            if isinstance(batch, SlotBatch):
                slots += len(batch.slots)
        self._behind = slots >= BEHIND_BYTES
        if slots:
            self._since, since = begun, self._since
            rate = slots * SECOND // max(begun - since, 1)
            link = written * SECOND // self._writing_ns
            self._level = 0 if rate > PLAIN_RATE and link > LINK_RATE else 1
            if self._level == 0 and not self._enlarged:
                self._enlarge()

    def _enlarge(self) -> None:
        """Gives a pipe room for some milliseconds of records at a high rate."""
        self._enlarged = True
        try:
            fcntl.fcntl(self._fd, F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass  # not a pipe, or more than the user may have

    def _send(self, content: Union[wire.Content, SlotBatch], level: int = 1) -> int:
        if isinstance(content, Heartbeat):
            seq = 0
        else:
            self._seq += 1
            seq = self._seq
        data = memoryview(wire.encode(content, seq, level))
        size = len(data)
        begun = time.monotonic_ns()
        while data:
            data = data[os.write(self._fd, data) :]
        self._writing_ns += time.monotonic_ns() - begun
        return size
