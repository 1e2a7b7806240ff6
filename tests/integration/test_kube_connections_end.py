"""Connections to an API server that says nothing more: they end when gatherer closes them."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import re
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from gatherer.kube.api import KubernetesApi
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.exec.channels import V5
from gatherer.kube.exec.session import open_exec

WATCH = (
    b'{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"web","namespace":"default"}}}\n'
)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class NoCredentials:
    async def headers(self) -> dict[str, str]:
        return {}

    def refused(self) -> bool:
        return False


def chunked(request: bytes) -> bytes:
    """The start of a watch, without its end."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    return head + b"%x\r\n%s\r\n" % (len(WATCH), WATCH)


def upgraded(request: bytes) -> bytes:
    """The handshake of a websocket."""
    found = re.search(rb"(?i)sec-websocket-key: (\S+)", request)
    assert found is not None
    accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n" % (accept, V5.encode())
    )


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[ClusterAccess]:
    """A server that answers one request and reads nothing after it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    over = threading.Event()

    def serve() -> None:
        accepted, _ = listener.accept()
        with context.wrap_socket(accepted, server_side=True) as connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(1 << 16)
            connection.sendall(answer(request))
            over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            address = f"https://127.0.0.1:{listener.getsockname()[1]}"
            yield ClusterAccess(address, trust, NoCredentials())
        finally:
            over.set()
            thread.join()


def left_open(coroutine: Coroutine[Any, Any, None]) -> list[str]:
    """Runs a coroutine in a loop of its own; returns the connections that nobody closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(coroutine)
        gc.collect()
    return [str(warning.message) for warning in caught]


async def abandon_watch(access: ClusterAccess) -> None:
    api = KubernetesApi(access)
    try:
        events = api.watch_pods("default", "", "1", 60)
        assert (await anext(events)).kind == "ADDED"
        await events.aclose()  # type: ignore[attr-defined]
    finally:
        await api.aclose()


async def cancel_watch(access: ClusterAccess) -> None:
    api = KubernetesApi(access)
    began = asyncio.Event()

    async def watch() -> None:
        async for _ in api.watch_pods("default", "", "1", 60):
            began.set()

    watching = asyncio.ensure_future(watch())
    await began.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await api.aclose()


async def cancel_closing(access: ClusterAccess) -> None:
    session = await open_exec(access, "default", "web", "app", ["cat"], subprotocols=[V5])
    closing = asyncio.ensure_future(session.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)


@pytest.mark.parametrize(
    ("answer", "use"),
    [(chunked, abandon_watch), (chunked, cancel_watch), (upgraded, cancel_closing)],
    ids=["abandoned watch", "cancelled watch", "cancelled close of an exec"],
)
def test_a_connection_ends_although_the_server_does_not_take_leave(
    answer: Callable[[bytes], bytes], use: Callable[[ClusterAccess], Coroutine[Any, Any, None]]
) -> None:
    with answering(answer) as access:
        assert left_open(use(access)) == []
