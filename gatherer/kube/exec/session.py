"""The websocket of one exec.

Reading is pulled by the caller: while nobody calls `receive`, a few messages wait here, then TCP
stops the server. Writing waits until the socket takes more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gatherer.errors import ExecError
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.exec.channels import SUBPROTOCOLS, ExecChannels, ExecEvent
from gatherer.kube.exec.websocket import (
    CLOSE_TIMEOUT,
    close_websocket,
    describe_close,
    open_websocket,
)


class ExecSession:
    """A process in a container and its streams. Made by `open_exec`.

    Args:
        connection: after the handshake.
        channels: for the subprotocol that was agreed on.
    """

    def __init__(self, connection: ClientConnection, channels: ExecChannels) -> None:
        self._connection = connection
        self._channels = channels
        self._ended = False

    @property
    def subprotocol(self) -> str:
        """The one that was agreed on, such as `v5.channel.k8s.io`."""
        return self._connection.subprotocol or ""

    @property
    def can_close_stdin(self) -> bool:
        """Whether `close_stdin` works: with v5 only."""
        return self._channels.can_close_stdin

    async def receive(self) -> ExecEvent:
        """Returns the next event; the last one is an `ExecEnd`, and comes again and again then.

        Raises:
            ExecError: the server broke the protocol.
        """
        while True:
            if self._ended:
                return self._channels.receive_eof("the connection is closed")
            told = self._channels.end is not None
            try:
                # A server that has told the end closes at once, or never.
                message = await asyncio.wait_for(
                    self._connection.recv(), CLOSE_TIMEOUT if told else None
                )
            except TimeoutError:
                await self.aclose()
                continue
            except ConnectionClosed as closed:
                self._ended = True
                return self._channels.receive_eof(describe_close(closed))
            try:
                if isinstance(message, str):
                    raise ExecError("the server sent a text message on an exec websocket")
                event = self._channels.receive_message(message)
            except ExecError:
                self._ended = True
                await self.aclose()
                raise
            if event is not None and event is not self._channels.end:
                return event
            # A Status ends the exec, but streams may still be on their way: read until the close.

    async def send_stdin(self, data: bytes) -> None:
        """Writes to the remote stdin; returns when the socket has taken it.

        Raises:
            ExecError: the connection is broken, or the process has ended.
        """
        for message in self._channels.send_stdin(data):
            await self._send(message)

    async def close_stdin(self) -> None:
        """Half-closes the remote stdin.

        Raises:
            ExecError: the server only speaks v4, or the connection is broken.
        """
        await self._send(self._channels.close_stdin())

    async def aclose(self) -> None:
        """Drops the connection; the remote process sees the end of its stdin."""
        self._ended = True
        await close_websocket(self._connection)

    async def _send(self, message: bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise ExecError(
                f"the exec connection is closed: {describe_close(closed)}",
                "check the network, and whether the container still runs",
            ) from closed


async def open_exec(
    access: ClusterAccess,
    namespace: str,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    stdin: bool = True,
    subprotocols: Sequence[str] = SUBPROTOCOLS,
) -> ExecSession:
    """Starts a process in a container, never with a terminal.

    Args:
        access: to the API server.
        namespace: of the pod.
        pod: name.
        container: name.
        command: program and arguments; every one of them is in the audit log of the cluster.
        stdin: whether the process gets a stdin; without, it reads EOF.
        subprotocols: offered, the preferred one first.

    Raises:
        ApiError: the server refused.
        ClusterUnreachable: there was no answer.
        ExecError: the answer was no exec websocket.
    """
    path = _exec_path(namespace, pod, container, command, stdin)
    connection = await open_websocket(access, path, subprotocols, "pods/exec", namespace)
    try:
        channels = ExecChannels(connection.subprotocol)
    except ExecError:
        await close_websocket(connection)
        raise
    return ExecSession(connection, channels)


def _exec_path(
    namespace: str, pod: str, container: str, command: Sequence[str], stdin: bool
) -> str:
    query = [("command", argument) for argument in command]
    query += [("container", container), ("stdout", "true"), ("stderr", "true")]
    if stdin:
        query.append(("stdin", "true"))
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec"
    return f"{path}?{urlencode(query, quote_via=quote)}"
