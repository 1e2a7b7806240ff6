"""Python processes of gatherer's own, each with a connection of `multiprocessing` to it.

They are programs in sessions of their own, so that Ctrl-C in a terminal reaches gatherer alone.
multiprocessing's own `Process` is not used: it would import from the current directory, leave
signals and stderr of the terminal to the child, start a second process that tracks resources, and
have gatherer wait for each child at its end.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import gatherer
import hg_shared
from hg_shared import mark

_PROGRAM = mark.PYTHON + (
    "import sys; sys.path += [p for p in sys.argv[2:] if p not in sys.path]\n"
    "from importlib import import_module; from multiprocessing.connection import Connection\n"
    "import_module(sys.argv[1]).serve(Connection(0))"
)


class ChildProcess:
    """A process that runs `serve` of a module; what it is sent and answers is pickled.

    Args:
        module: the module; its `serve` is given a `Connection`, whose end is that of gatherer.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, module: str) -> None:
        roots = [str(Path(package.__path__[0]).parent) for package in (gatherer, hg_shared)]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                # Without -P a module in the current directory could take the place of another.
                [sys.executable, "-P", "-c", _PROGRAM, module, *roots],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._connection = Connection(ours.detach())

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, message: object) -> None:
        """Sends a message; one of more than some kilobytes waits until the process reads.

        Raises:
            OSError: the process has ended.
        """
        self._connection.send(message)

    async def receive(self, limit: int) -> object:
        """Returns the next message.

        Args:
            limit: bytes that it may have.

        Raises:
            EOFError: the process has ended.
            OSError: the message is larger, or the process was killed while it sent.
        """
        await self._readable()
        return ForkingPickler.loads(await asyncio.to_thread(self._connection.recv_bytes, limit))

    async def _readable(self) -> None:
        """Waits without a thread: what is awaited may take as long as a capture."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptor = self._connection.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)

    def hang_up(self) -> None:
        """Ends the connection: the process reads its end, and can send no more."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
            ours.shutdown(socket.SHUT_RDWR)

    def wait(self) -> asyncio.Future[int]:
        """Returns its exit code, once it has ended; a thread waits for it."""
        return asyncio.get_running_loop().run_in_executor(None, self._process.wait)

    async def aclose(self) -> None:
        """Kills it, and waits until it has ended.

        A thread that sends or receives ends then too. The connection is closed with the last
        reference to it, so that no such thread finds another file under its number.
        """
        self._process.kill()
        await self.wait()
