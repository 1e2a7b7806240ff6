"""Exec over SPDY/3.1, kubectl's fallback when a websocket is refused: POST with an upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from tests.cluster.standin import spdy
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

SUBPROTOCOL = "v4.channel.k8s.io"
STREAM_TIMEOUT_SECONDS = 30.0
_CHANNELS = {
    "stdin": STDIN,
    "stdout": STDOUT,
    "stderr": STDERR,
    "error": ERROR,
    "resize": RESIZE,
}
_SWITCH = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: SPDY/3.1\r\n"
    f"X-Stream-Protocol-Version: {SUBPROTOCOL}\r\n\r\n"
)


def is_spdy(request: web.Request) -> bool:
    """Tells whether a request asks for SPDY/3.1 and our version of the streams."""
    offered = ",".join(request.headers.getall("X-Stream-Protocol-Version", []))
    return request.headers.get("Upgrade") == "SPDY/3.1" and SUBPROTOCOL in offered


class _TakenOver(asyncio.StreamReaderProtocol):
    """The protocol of a connection taken from the web server, which still hears of its end."""

    def __init__(self, reader: asyncio.StreamReader, former: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._former = former

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._former.connection_lost(error)


def take_over(
    request: web.Request, answer: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Takes a connection from the web server, and writes the answer that switches protocols.

    Raises:
        ConnectionError: the client is gone.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = _TakenOver(reader, transport.get_protocol())
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    writer.write(answer.encode())
    return reader, writer


class SpdyTransport:
    """The streams of an exec as streams of SPDY."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = spdy.Connection()
        self._streams: dict[int, int] = {}
        self._early: list[Data | HalfClose] = []

    @classmethod
    async def accept(cls, request: web.Request, wanted: ExecRequest) -> SpdyTransport:
        """Takes the connection over and waits until the client has opened its streams.

        Raises:
            ConnectionError: the client went away before that.
            TimeoutError: it did not open them within 30 s.
        """
        taken = cls(*take_over(request, _SWITCH))
        expected = {ERROR}
        flags = (wanted.stdin, wanted.stdout, wanted.stderr)
        expected |= {channel for channel, flag in enumerate(flags) if flag}
        if wanted.tty:
            expected.add(RESIZE)
        async with asyncio.timeout(STREAM_TIMEOUT_SECONDS):
            while not expected <= set(taken._streams.values()):
                if not await taken._read():
                    raise ConnectionResetError("the client is gone")
        return taken

    async def _read(self) -> bool:
        """Reads once and keeps what it says; False at the end of the connection."""
        try:
            data = await self._reader.read(1 << 16)
        except ConnectionError:
            return False
        for event in self._connection.receive(data):
            if isinstance(event, spdy.StreamOpened):
                kind = event.headers.get("streamtype", "")
                if kind not in _CHANNELS:
                    raise spdy.SpdyError(f"stream type {kind!r}")
                self._streams[event.stream] = _CHANNELS[kind]
                self._writer.write(self._connection.reply(event.stream))
            elif isinstance(event, spdy.Ping):
                self._writer.write(self._connection.pong(event))
            elif event.stream in self._streams:
                channel = self._streams[event.stream]
                if event.payload:
                    self._early.append(Data(channel, event.payload))
                if event.last:
                    self._early.append(HalfClose(channel))
        return bool(data)

    async def send(self, channel: int, payload: bytes) -> None:
        """Sends data on a channel; waits while the client is slow.

        Raises:
            ConnectionError: the client is gone.
        """
        if self._writer.is_closing():
            raise ConnectionResetError("the client has closed the connection")
        self._writer.write(self._connection.data(self._stream(channel), payload))
        await self._writer.drain()

    def _stream(self, channel: int) -> int:
        return next(stream for stream, known in self._streams.items() if known == channel)

    async def receive(self) -> AsyncIterator[Data | HalfClose]:
        """Yields what the client sends until it goes away."""
        alive = True
        while alive:
            for message in self._early:
                yield message
            self._early.clear()
            alive = await self._read()

    async def end_channel(self, channel: int) -> None:
        """Half-closes an output stream."""
        if not self._writer.is_closing():
            self._writer.write(self._connection.data(self._stream(channel), b"", last=True))

    async def close(self) -> None:
        """Ends the session: the error stream first, then the connection."""
        await self.end_channel(ERROR)
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except (OSError, asyncio.CancelledError):
            pass
