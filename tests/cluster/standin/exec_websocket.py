"""Exec over a websocket: the transport and its handshake."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from tests.cluster.standin import exec_channels
from tests.cluster.standin.exec_channels import STDOUT, Data, HalfClose

MAX_MESSAGE_BYTES = 32 * 1024 * 1024


def offered_subprotocols(request: web.Request) -> list[str]:
    """Returns the subprotocols a client offers, in its order."""
    text = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in text.split(",") if name.strip()]


def is_websocket(request: web.Request) -> bool:
    """Tells whether a request asks for a websocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


class WebSocketTransport:
    """The streams of an exec as messages of v4 or v5."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    @classmethod
    async def accept(cls, request: web.Request, subprotocol: str) -> WebSocketTransport:
        """Answers the handshake and announces the connection with an empty message."""
        socket = web.WebSocketResponse(
            protocols=(subprotocol,), compress=False, max_msg_size=MAX_MESSAGE_BYTES
        )
        await socket.prepare(request)
        transport = cls(socket)
        await transport.send(STDOUT, b"")
        return transport

    @property
    def response(self) -> web.WebSocketResponse:
        """What the handler of the request returns."""
        return self._socket

    async def send(self, channel: int, payload: bytes) -> None:
        """Sends one message; waits while the client is slow.

        Raises:
            ConnectionError: the client is gone.
        """
        if self._socket.closed:
            raise ConnectionResetError("the client has closed the connection")
        await self._socket.send_bytes(exec_channels.encode(channel, payload))

    async def receive(self) -> AsyncIterator[Data | HalfClose]:
        """Yields what the client sends until it closes or goes away."""
        subprotocol = self._socket.ws_protocol or ""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                decoded = exec_channels.decode(message.data, subprotocol)
                if decoded is not None:
                    yield decoded

    async def end_channel(self, channel: int) -> None:
        """Does nothing: the server of v4 and v5 never half-closes."""

    async def close(self) -> None:
        """Ends the session with close 1000."""
        await self._socket.close(code=1000)
