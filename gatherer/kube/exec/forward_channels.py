"""Port-forward inside the websocket, `v4.channel.k8s.io`: bytes in, values out.

One connection to one port. Every binary message is a channel byte and a payload: channel 0 carries
the connection both ways, channel 1 what the kubelet has to say against it. The first message on
each is the port, two bytes, little end first. The connection ends with the websocket: neither side
can close only its own direction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from gatherer.errors import PortForwardError

SUBPROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = range(2)
MESSAGE_SIZE = 32 * 1024
"""Bytes of data in one message."""
MAX_REFUSAL = 4096
"""Bytes of the kubelet's message that are kept."""


@dataclass(frozen=True)
class Received:
    """Bytes from the port.

    Attributes:
        data: never empty.
    """

    data: bytes


@dataclass(frozen=True)
class Refused:
    """The kubelet could not connect, or lost the connection.

    Attributes:
        message: the kubelet's own.
    """

    message: str


ForwardEvent = Union[Received, Refused]


class ForwardChannels:
    """One forwarded connection, from the client's side.

    Args:
        subprotocol: the one the server chose.
        port: that was asked for.

    Raises:
        PortForwardError: the server chose another subprotocol.
    """

    def __init__(self, subprotocol: str | None, port: int) -> None:
        if subprotocol != SUBPROTOCOL:
            raise PortForwardError(
                f"the server chose the port-forward subprotocol {subprotocol!r}, not {SUBPROTOCOL}",
                "look for a proxy between here and the API server that alters websockets",
            )
        self._port = port
        self._announced: set[int] = set()

    def receive_message(self, message: bytes) -> ForwardEvent | None:
        """Takes one binary message.

        Returns:
            Its event; None for the announcement of a channel and for empty messages.

        Raises:
            PortForwardError: the message belongs to no channel, or announces another port.
        """
        if not message or message[0] not in (DATA, ERROR):
            raise PortForwardError(
                f"the server sent a port-forward message that starts with {message[:2].hex(' ')}"
            )
        channel, payload = message[0], message[1:]
        if channel not in self._announced:
            if len(payload) < 2 or int.from_bytes(payload[:2], "little") != self._port:
                raise PortForwardError(
                    f"the server announced port bytes {payload[:2].hex(' ')}, not {self._port}"
                )
            self._announced.add(channel)
            payload = payload[2:]
        if not payload:
            return None
        if channel == DATA:
            return Received(payload)
        return Refused(payload[:MAX_REFUSAL].decode("utf-8", "replace"))

    def send_data(self, data: bytes) -> Iterator[bytes]:
        """Yields the messages that carry these bytes to the port."""
        view = memoryview(data)
        for start in range(0, len(view), MESSAGE_SIZE):
            yield b"\x00" + view[start : start + MESSAGE_SIZE]
