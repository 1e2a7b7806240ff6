"""One connection to gatherer: a descriptor to read, one to write, neither of which ever blocks."""

from __future__ import annotations

import os
import socket
from typing import Optional

READ_BYTES = 1 << 16


class Link:
    """A connection.

    Args:
        reading: descriptor to read from, kept open until `close`.
        writing: descriptor to write to, may be the same.
        owner: the socket behind them; None for the standard streams, whose numbers stay taken.
    """

    def __init__(self, reading: int, writing: int, owner: Optional[socket.socket] = None) -> None:
        self.reading = reading
        self.writing = writing
        self._owner = owner
        os.set_blocking(writing, False)

    def read(self) -> bytes:
        """Returns what has come; call it when the descriptor is readable. b"" is the end."""
        try:
            return os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            raise
        except OSError:
            return b""

    def write(self, data: memoryview) -> int:
        """Writes what goes at once and returns how much that was.

        Raises:
            OSError: the connection is broken.
        """
        try:
            return os.write(self.writing, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Lets the other side see the end; a second call does nothing."""
        if self._owner is not None:
            self._owner.close()
        elif self.reading >= 0:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, self.reading)
            os.dup2(null, self.writing)
            os.close(null)
        self.reading = self.writing = -1
