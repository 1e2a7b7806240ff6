"""The streams of a container's first process, as those who attach to it share them."""

from __future__ import annotations

import asyncio
import os

from tests.cluster.standin import pipes


class Attachment:
    """What attached clients read and write.

    Who attaches sees what is written from then on, as with a real runtime. A client that reads
    slowly slows the process down.
    """

    def __init__(self, stdin: int | None, once: bool) -> None:
        """Takes the writing end of the process's stdin.

        Args:
            stdin: None when the container has none; closed here.
            once: whether stdin ends with the first client (``stdinOnce``).
        """
        self._stdin = stdin
        self._once = once
        self._listeners: dict[str, list[asyncio.Queue[bytes]]] = {"stdout": [], "stderr": []}
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def heard(self, stream: str, data: bytes) -> None:
        """Passes on what the process wrote; b"" at the end."""
        for queue in list(self._listeners[stream]):
            await queue.put(data)

    def listen(self, stream: str) -> asyncio.Queue[bytes]:
        """Returns what a stream gives from now on, b"" at its end."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
        self._listeners[stream].append(queue)
        return queue

    def leave(self, stream: str, queue: asyncio.Queue[bytes]) -> None:
        """Stops listening."""
        self._listeners[stream].remove(queue)
        while not queue.empty():
            queue.get_nowait()

    async def write(self, data: bytes) -> None:
        """Writes to the process's stdin; lost when it has none."""
        if self._stdin is not None:
            try:
                await pipes.write(self._stdin, data)
            except OSError:
                self._close_stdin()

    def client_left(self) -> None:
        """Ends stdin, where it was for one client only."""
        if self._once:
            self._close_stdin()

    def end(self, exit_code: int) -> None:
        """Tells everybody that the process is gone."""
        self._close_stdin()
        if not self.ended.done():
            self.ended.set_result(exit_code)

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None
