"""One TCP connection to a port of a pod, through the API server: it reaches the pod's loopback.

Each connection is a websocket of its own, so that a port where nobody listens ends nothing else.
"""

from __future__ import annotations

from urllib.parse import quote

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gatherer.errors import ExecError, PortForwardError
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.exec.forward_channels import SUBPROTOCOL, ForwardChannels, Refused
from gatherer.kube.exec.websocket import close_websocket, open_websocket
from gatherer.text import one_line


class PortForward:
    """A connection to a port. Made by `open_port_forward`.

    Args:
        connection: after the handshake.
        channels: of the port.
        port: for messages.
    """

    def __init__(self, connection: ClientConnection, channels: ForwardChannels, port: int) -> None:
        self._connection = connection
        self._channels = channels
        self._port = port

    async def receive(self) -> bytes:
        """Returns the next bytes from the port, b"" when the connection has ended.

        Raises:
            PortForwardError: nobody listens, or the server broke the protocol.
        """
        while True:
            try:
                message = await self._connection.recv()
            except ConnectionClosed:
                return b""
            if isinstance(message, str):
                raise PortForwardError("the server sent a text message on a port-forward websocket")
            event = self._channels.receive_message(message)
            if isinstance(event, Refused):
                raise PortForwardError(
                    f"port {self._port} cannot be reached: {one_line(event.message)}",
                    "see which port it listens on",
                )
            if event is not None:
                return event.data

    async def send(self, data: bytes) -> None:
        """Writes to the port; that the connection has ended is told by `receive` alone."""
        try:
            for message in self._channels.send_data(data):
                await self._connection.send(message)
        except ConnectionClosed:
            pass  # The kubelet's message about it may still wait to be received.

    async def aclose(self) -> None:
        """Ends the connection."""
        await close_websocket(self._connection)


async def open_port_forward(
    access: ClusterAccess, namespace: str, pod: str, port: int
) -> PortForward:
    """Connects to a port of a pod, on its loopback.

    Whether somebody listens there is told by the first `receive`.

    Args:
        access: to the API server.
        namespace: of the pod.
        pod: its name.
        port: 1 to 65535.

    Raises:
        ApiError: the server refused.
        ClusterUnreachable: there was no answer.
        PortForwardError: the answer was no port-forward.
    """
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/portforward"
    try:
        connection = await open_websocket(
            access, f"{path}?ports={port}", (SUBPROTOCOL,), "pods/portforward", namespace
        )
    except ExecError as error:
        raise PortForwardError(error.cause, error.remedy) from error
    try:
        channels = ForwardChannels(connection.subprotocol, port)
    except PortForwardError:
        await close_websocket(connection)
        raise
    return PortForward(connection, channels, port)
