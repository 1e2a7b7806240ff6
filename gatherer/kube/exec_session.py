"""The websocket of one exec: the only user of `websockets`.

Reading is pulled by the caller: while nobody calls `receive`, at most `_MAX_QUEUE` messages wait
here, then TCP stops the server. Writing waits until the socket takes more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.typing import Subprotocol

from gatherer.errors import ClusterUnreachable, ExecError, GathererError
from gatherer.kube.access import ClusterAccess
from gatherer.kube.answers import answer_error, one_line
from gatherer.kube.channels import SUBPROTOCOLS, ExecChannels, ExecEvent
from gatherer.kube.connection_errors import connection_error

_OPEN_TIMEOUT = 30.0  # seconds, for TCP, TLS, the handshake and the kubelet's dial
_CLOSE_TIMEOUT = 2.0  # seconds
_PING_INTERVAL = 15.0  # seconds: some load balancers cut connections idle for 30
_MAX_MESSAGE = 1 << 20  # bytes; servers send 32 KiB at most
_MAX_QUEUE = 16  # messages
_WRITE_LIMIT = 1 << 18  # bytes


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
                    self._connection.recv(), _CLOSE_TIMEOUT if told else None
                )
            except TimeoutError:
                await self.aclose()
                continue
            except ConnectionClosed as closed:
                self._ended = True
                return self._channels.receive_eof(_describe_close(closed))
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
        await self._connection.close()

    async def _send(self, message: bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise ExecError(
                f"the exec connection is closed: {_describe_close(closed)}",
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
    url = _exec_url(access, namespace, pod, container, command, stdin)
    for attempt in (1, 2):
        headers = await access.headers()
        try:
            connection = await _connect(access, url, headers, subprotocols)
        except InvalidStatus as error:
            response = error.response
            if response.status_code == 401 and attempt == 1 and access.credentials.refused():
                continue
            raise answer_error(
                response.status_code,
                response.headers.get("Content-Type", ""),
                bytes(response.body or b""),
                context=access.context,
                verb="create",
                resource="pods/exec",
            ) from error
        except (InvalidProxy, ProxyError, ImportError) as error:
            raise ClusterUnreachable(
                f"the proxy to the API server {access.server} fails: {one_line(str(error))}",
                "correct proxy-url in the kubeconfig or the HTTPS_PROXY variable",
            ) from error
        except (InvalidHandshake, InvalidURI) as error:
            raise _no_websocket(access.server, error) from error
        except (TimeoutError, OSError, EOFError) as error:
            raise connection_error(access.server, error) from error
        break
    try:
        channels = ExecChannels(connection.subprotocol)
    except ExecError:
        await connection.close()
        raise
    _watch_peer(connection)
    return ExecSession(connection, channels)


async def _connect(
    access: ClusterAccess, url: str, headers: dict[str, str], subprotocols: Sequence[str]
) -> ClientConnection:
    tls: dict[str, Any] = {}
    if access.ssl_context is not None:
        tls["ssl"] = access.ssl_context
        if access.tls_server_name:
            tls["server_hostname"] = access.tls_server_name
    return await connect(
        url,
        subprotocols=[Subprotocol(name) for name in subprotocols],
        additional_headers=headers,
        user_agent_header="gatherer",
        compression=None,
        proxy=access.proxy or True,
        open_timeout=_OPEN_TIMEOUT,
        close_timeout=_CLOSE_TIMEOUT,
        ping_interval=_PING_INTERVAL,
        # The pings keep the connection alive; their answers queue behind the data on a slow link
        # and are not read while the caller does not read, so a late one proves nothing.
        ping_timeout=None,
        max_size=_MAX_MESSAGE,
        max_queue=_MAX_QUEUE,
        write_limit=_WRITE_LIMIT,
        **tls,
    )


def _watch_peer(connection: ClientConnection) -> None:
    """Lets the kernel find out that the other side is gone: it breaks the socket after 60 s."""
    sock = connection.transport.get_extra_info("socket")
    if sock is None:
        return
    for option, value in (
        ("TCP_KEEPIDLE", 20),  # seconds
        ("TCP_KEEPINTVL", 10),  # seconds
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 60_000),  # milliseconds
    ):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _exec_url(
    access: ClusterAccess,
    namespace: str,
    pod: str,
    container: str,
    command: Sequence[str],
    stdin: bool,
) -> str:
    query = [("command", argument) for argument in command]
    query += [("container", container), ("stdout", "true"), ("stderr", "true")]
    if stdin:
        query.append(("stdin", "true"))
    server = access.server.replace("http", "ws", 1)
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec"
    return f"{server}{path}?{urlencode(query, quote_via=quote)}"


def _no_websocket(server: str, error: Exception) -> GathererError:
    root = error.__cause__ or error
    if isinstance(root, (EOFError, OSError)):
        return connection_error(server, ConnectionResetError("it closed the connection"))
    return ExecError(
        f"the API server {server} did not open a websocket: {one_line(str(error))}",
        "look for a proxy between here and the API server that does not pass websockets on",
    )


def _describe_close(closed: ConnectionClosed) -> str:
    frame = closed.rcvd or closed.sent
    if frame is None:
        cause = closed.__cause__
        words = one_line(str(cause)) if cause is not None else ""
        return f"the connection broke ({words})" if words else "the connection broke"
    words = one_line(frame.reason)
    return f"close code {int(frame.code)}" + (f" ({words})" if words else "")
