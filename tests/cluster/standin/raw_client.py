"""A blocking websocket client of a few lines, to see the server's answers as they are on the wire.

It is for tests only: no ping, no fragments, no extensions (RFC 6455).
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

BINARY, CLOSE = 2, 8
TIMEOUT_SECONDS = 30.0


class RawClient:
    """One connection, which has asked for a websocket.

    Attributes:
        code: of the answer; 101 when the websocket is open.
        headers: of the answer, names in lower case.
        body: of an answer that is not 101.
        close_code: what the server closed with, None as long as it has not.
    """

    def __init__(
        self,
        url: str,
        query: Iterable[tuple[str, str]],
        tls: ssl.SSLContext,
        token: str,
        protocols: Iterable[str],
    ) -> None:
        """Connects and reads the answer to the handshake."""
        address = urlsplit(url)
        assert address.hostname is not None
        plain = socket.create_connection((address.hostname, address.port or 443), TIMEOUT_SECONDS)
        self.socket = tls.wrap_socket(plain, server_hostname=address.hostname)
        self._file: BinaryIO = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {address.path}?{urlencode(list(query))} HTTP/1.1",
            f"Host: {address.netloc}",
            f"Authorization: Bearer {token}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Protocol: {', '.join(protocols)}",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.code = int(self._file.readline().split()[1])
        self.headers: dict[str, str] = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        length = int(self.headers.get("content-length", 0))
        self.body = self._file.read(length) if self.code != 101 else b""
        self.close_code: int | None = None

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *details: object) -> None:
        self.drop()

    def drop(self) -> None:
        """Ends the connection without any word, as the death of a client does."""
        self._file.close()
        self.socket.close()

    def send(self, payload: bytes) -> None:
        """Sends one binary message."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        assert len(payload) < 126
        self.socket.sendall(bytes((0x80 | BINARY, 0x80 | len(payload))) + mask + masked)

    def receive(self) -> bytes | None:
        """Returns the next message, None when the server has closed.

        Raises:
            ConnectionError: the connection ended without a close frame.
        """
        first, second = self._read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._read(8))
        payload = self._read(length)
        if first & 0x0F == CLOSE:
            (self.close_code,) = struct.unpack_from(">H", payload)
            return None
        assert first == 0x80 | BINARY
        return payload

    def messages(self) -> Iterator[bytes]:
        """Yields all messages until the server closes."""
        while (message := self.receive()) is not None:
            yield message

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionResetError("the connection ended without a close frame")
        return data
