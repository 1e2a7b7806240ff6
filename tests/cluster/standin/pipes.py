"""Reading and writing of non-blocking descriptors in the event loop.

Nothing is buffered here: who reads slowly stops the process at the other end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

CHUNK_BYTES = 32 * 1024


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)


async def read(fd: int) -> bytes:
    """Returns what is there, at most 32 KiB; b"" at the end of the stream."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            await _ready(fd, loop.add_reader, loop.remove_reader)
        except OSError as error:
            # A terminal whose last process is gone answers EIO, tty_ioctl(4).
            if error.errno == 5:
                return b""
            raise


async def write(fd: int, data: bytes) -> None:
    """Writes everything, waiting for the reader.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, loop.add_writer, loop.remove_writer)


def pipe_from_process() -> tuple[int, int]:
    """Returns (our non-blocking read end, the process's write end)."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs


def pipe_to_process() -> tuple[int, int]:
    """Returns (our non-blocking write end, the process's read end)."""
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs
