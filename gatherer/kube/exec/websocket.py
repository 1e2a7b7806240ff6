"""Websockets to the API server: opened, watched, and their failures told.

`session` and `port_forward` use them, and no other module.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.typing import Subprotocol

from gatherer.errors import ClusterUnreachable, ExecError, GathererError
from gatherer.kube.answers import answer_error
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.connection_errors import connection_error, proxy_error, proxy_refusal
from gatherer.kube.socks import dial_socks
from gatherer.text import one_line

CLOSE_TIMEOUT = 2.0  # seconds
_OPEN_TIMEOUT = 30.0  # seconds, for TCP, TLS, the handshake and the kubelet's dial
_PING_INTERVAL = 15.0  # seconds: some load balancers cut connections idle for 30
_MAX_MESSAGE = 1 << 20  # bytes; servers send 32 KiB at most
_MAX_QUEUE = 16  # messages
_WRITE_LIMIT = 1 << 18  # bytes


async def open_websocket(
    access: ClusterAccess,
    path: str,
    subprotocols: Sequence[str],
    resource: str,
    namespace: str = "",
) -> ClientConnection:
    """Opens a websocket on a subresource of a pod.

    Args:
        access: to the API server.
        path: of the request, with its query, encoded.
        subprotocols: offered, the preferred one first.
        resource: such as `pods/exec`, for the message when it is forbidden.
        namespace: of the pod, for messages.

    Raises:
        ApiError: the server refused.
        ClusterUnreachable: there was no answer.
        ExecError: the answer was no websocket.
    """
    url = access.server.replace("http", "ws", 1) + path
    connection = await access.with_credentials(
        lambda headers: _handshake(access, url, headers, subprotocols),
        lambda answer: isinstance(answer, InvalidStatus) and answer.response.status_code == 401,
    )
    if isinstance(connection, InvalidStatus):
        response = connection.response
        raise answer_error(
            response.status_code,
            response.headers.get("Content-Type", ""),
            bytes(response.body or b""),
            context=access.context,
            namespace=namespace,
            verb="create",
            resource=resource,
        ) from connection
    _watch_peer(connection)
    return connection


async def _handshake(
    access: ClusterAccess, url: str, headers: dict[str, str], subprotocols: Sequence[str]
) -> ClientConnection | InvalidStatus:
    """Returns an open websocket, or the answer that refused it."""
    try:
        return await _connect(access, url, headers, subprotocols)
    except InvalidStatus as refusal:
        return refusal
    except ProxyError as error:
        raise _proxy_failure(access, error) from error
    except (InvalidHandshake, InvalidURI) as error:
        raise _no_websocket(access.server, error) from error
    except (TimeoutError, OSError, EOFError) as error:
        raise connection_error(access.server, error, access.proxy) from error


async def _connect(
    access: ClusterAccess, url: str, headers: dict[str, str], subprotocols: Sequence[str]
) -> ClientConnection:
    tls: dict[str, Any] = {}
    if access.ssl_context is not None:
        tls["ssl"] = access.ssl_context
        if access.tls_server_name:
            tls["server_hostname"] = access.tls_server_name
    proxy = access.proxy
    if proxy is not None and proxy.scheme == "socks5":
        address = urlsplit(access.server)
        port = address.port or (80 if address.scheme == "http" else 443)
        tls["sock"] = await dial_socks(proxy, address.hostname or "", port)
        proxy = None
    elif proxy is not None and proxy.scheme == "https":
        tls["proxy_ssl"] = access.ssl_context or ssl.create_default_context()
    return await connect(
        url,
        subprotocols=[Subprotocol(name) for name in subprotocols],
        additional_headers=[*headers.items(), *access.impersonation],
        user_agent_header="gatherer",
        compression=None,
        # None, or websockets takes one from the environment by rules of its own.
        proxy=None if proxy is None else proxy.secret_url,
        open_timeout=_OPEN_TIMEOUT,
        close_timeout=CLOSE_TIMEOUT,
        ping_interval=_PING_INTERVAL,
        # The pings keep the connection alive; their answers queue behind the data on a slow link
        # and are not read while the caller does not read, so a late one proves nothing.
        ping_timeout=None,
        max_size=_MAX_MESSAGE,
        max_queue=_MAX_QUEUE,
        write_limit=_WRITE_LIMIT,
        **tls,
    )


async def close_websocket(connection: ClientConnection) -> None:
    """Closes a websocket; when this is cancelled or fails, the connection is dropped at once.

    Args:
        connection: open or closed.
    """
    try:
        await connection.close()
    finally:
        connection.transport.abort()


def _proxy_failure(access: ClusterAccess, error: ProxyError) -> ClusterUnreachable:
    if access.proxy is None:
        return connection_error(access.server, error)
    if isinstance(error, InvalidProxyStatus):
        return proxy_refusal(access.proxy, error.response.status_code)
    return proxy_error(access.proxy, str(error))


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


def _no_websocket(server: str, error: Exception) -> GathererError:
    root = error.__cause__ or error
    if isinstance(root, (EOFError, OSError)):
        return connection_error(server, ConnectionResetError("it closed the connection"))
    return ExecError(
        f"the API server {server} did not open a websocket: {one_line(str(error))}",
        "look for a proxy between here and the API server that does not pass websockets on",
    )


def describe_close(closed: ConnectionClosed) -> str:
    """Returns how a connection ended, as text.

    Args:
        closed: what the connection raised.
    """
    frame = closed.rcvd or closed.sent
    if frame is None:
        cause = closed.__cause__
        reason = one_line(str(cause)) if cause is not None else ""
        return f"the connection broke ({reason})" if reason else "the connection broke"
    reason = one_line(frame.reason)
    return f"close code {int(frame.code)}" + (f" ({reason})" if reason else "")
