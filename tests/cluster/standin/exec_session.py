"""One exec: a process in a container, its streams, and how it ends.

What carries the streams is behind ``ExecTransport``; there is one for websockets.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar, Protocol

from tests.cluster.standin import pipes, status
from tests.cluster.standin.exec_channels import (
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    Data,
    HalfClose,
)
from tests.cluster.standin.exec_request import ExecRequest
from tests.cluster.standin.pod_worker import PodWorker
from tests.cluster.standin.runc import Child, RuncError
from tests.cluster.standin.terminal import ConsoleSocket, resize


class ExecTransport(Protocol):
    """The client's side of an exec."""

    async def send(self, channel: int, payload: bytes) -> None:
        """Sends data, waiting while the client is slow; ConnectionError when it is gone."""

    def receive(self) -> AsyncIterator[Data | HalfClose]:
        """Yields what the client sends until it goes away."""

    async def end_channel(self, channel: int) -> None:
        """Says that no more will come on an output channel, where the protocol can."""


class ExecSession:
    """Runs one process for one client."""

    _left: ClassVar[set[asyncio.Task[None]]] = set()
    """Those that wait for processes that nobody has a connection to."""

    def __init__(
        self,
        worker: PodWorker,
        container: str,
        request: ExecRequest,
        transport: ExecTransport,
        scratch: Path,
    ) -> None:
        """Takes what belongs together.

        Args:
            worker: who runs the pod.
            container: name of a running container.
            request: what the client asked for.
            transport: the client.
            scratch: where a socket can be made.
        """
        self._worker = worker
        self._container = container
        self._request = request
        self._transport = transport
        self._scratch = scratch
        self._stdin: int | None = None
        self._writing: asyncio.Future[None] | None = None
        self._outputs: list[tuple[int, int]] = []
        self._forsaken = asyncio.Event()
        self._kill = False

    def forsake(self, kill: bool = False) -> None:
        """Lets go of the process: it runs on, and its streams stay as they are to its end.

        Args:
            kill: it is killed; the processes that it has started are not.
        """
        self._kill = kill
        self._forsaken.set()

    async def run(self) -> None:
        """Runs the process to its end and sends its Status as the last message.

        When the client goes away the process goes on: its stdin ends, its output is discarded.
        Its stdin also ends when nobody holds its stdout or stderr any more, as with containerd
        (internal/cri/io, ExecIO.Attach), however much of it is still on its way.
        """
        try:
            child = await self._start()
        except RuncError as error:
            await self._close_all()
            await self._send(ERROR, status.exec_failure(secrets.token_hex(32), str(error)))
            return
        pumps = [asyncio.create_task(self._pump(fd, channel)) for fd, channel in self._outputs]
        running = asyncio.create_task(self._end_of(child, pumps))
        forsaken = asyncio.create_task(self._forsaken.wait())
        everything = (asyncio.create_task(self._feed()), running, forsaken, *pumps)
        try:
            await asyncio.wait({running, forsaken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)
        if running.cancelled():
            await self._stop_writing()
            left = asyncio.create_task(self._outlive(child))
            self._left.add(left)
            left.add_done_callback(self._left.discard)
            # As it is when the connection to containerd ends without a word.
            await self._send(ERROR, status.exec_success())
            return
        await self._close_all()
        exit_code = running.result()
        ending = status.exec_exit_code(exit_code) if exit_code else status.exec_success()
        await self._send(ERROR, ending)

    @staticmethod
    async def _end_of(child: Child, pumps: list[asyncio.Task[None]]) -> int:
        code = await child.wait()
        # The streams may outlive the process: a child of it can hold them open.
        await asyncio.gather(*pumps)
        return code

    async def _outlive(self, child: Child) -> None:
        """Waits for the end of a process that nobody has a connection to."""
        if self._kill:
            try:
                os.kill(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await child.wait()
        await self._close_all()

    async def _start(self) -> Child:
        if self._request.tty:
            return await self._start_on_terminal()
        null = os.open(os.devnull, os.O_RDWR)
        theirs = [null, null, null]
        try:
            if self._request.stdin:
                self._stdin, theirs[0] = pipes.pipe_to_process()
            for index, wanted in ((1, self._request.stdout), (2, self._request.stderr)):
                if wanted:
                    ours, theirs[index] = pipes.pipe_from_process()
                    self._outputs.append((ours, (STDOUT, STDERR)[index - 1]))
            return await self._worker.execute(
                self._container, list(self._request.command), (theirs[0], theirs[1], theirs[2])
            )
        finally:
            for fd in {null, *theirs}:
                os.close(fd)

    async def _start_on_terminal(self) -> Child:
        console = ConsoleSocket(self._scratch / f"console-{secrets.token_hex(4)}")
        null = os.open(os.devnull, os.O_RDWR)
        try:
            child = await self._worker.execute(
                self._container, list(self._request.command), (null, null, null), console.path
            )
            master = await console.master()
        finally:
            os.close(null)
            console.close()
        self._outputs.append((master, STDOUT))
        if self._request.stdin:
            self._stdin = os.dup(master)
        return child

    async def _feed(self) -> None:
        """Carries stdin to the process; its end, or the client's, is the end of the pipe."""
        try:
            async for message in self._transport.receive():
                if isinstance(message, HalfClose):
                    if message.channel == STDIN:
                        await self._close_stdin()
                elif message.channel == STDIN and self._stdin is not None:
                    self._writing = asyncio.ensure_future(self._write_stdin(message.payload))
                    await asyncio.wait({self._writing})
                elif message.channel == RESIZE and self._request.tty:
                    resize(self._outputs[0][0], message.payload)
        finally:
            if not self._forsaken.is_set():
                await self._close_stdin()

    async def _write_stdin(self, data: bytes) -> None:
        assert self._stdin is not None
        try:
            await pipes.write(self._stdin, data)
        except OSError:
            # The process reads no more: EPIPE of a pipe, EIO of a terminal.
            os.close(self._stdin)
            self._stdin = None

    async def _close_stdin(self) -> None:
        """Ends stdin; what is being written and finds no room is dropped."""
        await self._stop_writing()
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    async def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})

    async def _close_all(self) -> None:
        await self._close_stdin()
        for fd, _ in self._outputs:
            os.close(fd)
        self._outputs.clear()

    async def _pump(self, fd: int, channel: int) -> None:
        try:
            while data := await pipes.read(fd):
                await self._send(channel, data)
            await self._transport.end_channel(channel)
        except ConnectionError:
            pass
        finally:
            if not self._forsaken.is_set():
                self._outputs.remove((fd, channel))
                os.close(fd)
                await self._close_stdin()

    async def _send(self, channel: int, payload: bytes) -> None:
        try:
            await self._transport.send(channel, payload)
        except ConnectionError:
            # Nobody is there; the process must not notice.
            pass
