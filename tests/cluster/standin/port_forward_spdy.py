"""Port-forward over SPDY streams: for each connection an error stream and a data stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.cluster.standin import spdy
from tests.cluster.standin.pod_network import PodNetwork

_READ_BYTES = 32 << 10


class SpdyForward:
    """All connections of one client.

    Args:
        network: of the pod.
        pod: how messages name it.
        reads: the client's bytes.
        write: sends bytes to the client.
    """

    def __init__(
        self,
        network: PodNetwork,
        pod: str,
        reads: AsyncIterator[bytes],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._network = network
        self._pod = pod
        self._reads = reads
        self._write = write
        self._connection = spdy.Connection()
        self._error_streams: dict[str, int] = {}
        self._inputs: dict[int, asyncio.Queue[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serves until the client goes away."""
        try:
            async for data in self._reads:
                for event in self._connection.receive(data):
                    await self._take(event)
        except ConnectionError:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, event: spdy.StreamOpened | spdy.StreamData | spdy.Ping) -> None:
        if isinstance(event, spdy.Ping):
            await self._write(self._connection.pong(event))
        elif isinstance(event, spdy.StreamOpened):
            await self._write(self._connection.reply(event.stream))
            request = event.headers.get("requestid", "")
            if event.headers.get("streamtype") == "error":
                self._error_streams[request] = event.stream
                return
            self._inputs[event.stream] = asyncio.Queue()
            task = asyncio.ensure_future(
                self._forward(
                    int(event.headers.get("port", "0")), event.stream, self._error_streams[request]
                )
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif event.stream in self._inputs:
            if event.payload:
                self._inputs[event.stream].put_nowait(event.payload)
            if event.last:
                self._inputs[event.stream].put_nowait(b"")

    async def _forward(self, port: int, data: int, error: int) -> None:
        try:
            reader, writer = await self._network.dial_loopback(port)
        except OSError as problem:
            words = f"error forwarding port {port} to pod {self._pod}, uid : {problem}"
            await self._write(self._connection.data(error, words.encode(), last=True))
            await self._write(self._connection.data(data, b"", last=True))
            return
        feeding = asyncio.ensure_future(self._feed(self._inputs[data], writer))
        try:
            while received := await reader.read(_READ_BYTES):
                await self._write(self._connection.data(data, received))
            await self._write(self._connection.data(data, b"", last=True))
            await self._write(self._connection.data(error, b"", last=True))
        except ConnectionError:
            pass
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            writer.close()
            self._inputs.pop(data, None)

    async def _feed(self, queue: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        while received := await queue.get():
            writer.write(received)
            await writer.drain()
        writer.write_eof()
