"""Terminals of processes: runc makes them and sends the master over a socket."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import termios
from pathlib import Path


class ConsoleSocket:
    """Where runc sends the master of a new terminal (``--console-socket``)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)

    async def master(self) -> int:
        """Returns the master, non-blocking; the caller closes it."""

        def receive() -> int:
            connection, _ = self._listener.accept()
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
            return descriptors[0]

        self._listener.settimeout(10)
        fd = await asyncio.to_thread(receive)
        os.set_blocking(fd, False)
        return fd

    def close(self) -> None:
        """Removes the socket."""
        self._listener.close()
        self.path.unlink(missing_ok=True)


def resize(master: int, payload: bytes) -> None:
    """Sets the size a client sends on channel 4; a malformed message changes nothing."""
    try:
        size = json.loads(payload)
        window = struct.pack("HHHH", int(size["Height"]), int(size["Width"]), 0, 0)
    except (ValueError, KeyError, TypeError, struct.error):
        return
    fcntl.ioctl(master, termios.TIOCSWINSZ, window)
