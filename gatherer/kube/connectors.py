"""Connections of aiohttp, direct or through a SOCKS5 proxy, which aiohttp has no support for."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from gatherer.kube.proxies import Proxy
from gatherer.kube.socks import dial_socks


def make_connector(ssl_context: ssl.SSLContext | None, proxy: Proxy | None) -> aiohttp.TCPConnector:
    """Returns what connects; in a running event loop only.

    Connections are not counted: each watch holds one for as long as it lasts.

    Args:
        ssl_context: for TLS, None for the system's trust.
        proxy: on the way; HTTP proxies are an argument of each request instead.
    """
    tls = True if ssl_context is None else ssl_context
    if proxy is not None and proxy.scheme == "socks5":
        return _SocksConnector(proxy, ssl=tls, limit=0)
    return _Connector(ssl=tls, limit=0)


class _Connector(aiohttp.TCPConnector):
    """Ends a connection at once that is given up in the middle of an answer, such as a watch.

    asyncio closes TLS by waiting up to 30 s for the peer's close_notify, and aiohttp waits for no
    connection that it has closed before its session: the loop may end with the socket open.
    """

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        should_close = should_close or protocol.should_close
        if should_close and protocol.transport is not None:
            protocol.transport.abort()
        super()._release(key, protocol, should_close=should_close)


class _SocksConnector(_Connector):
    """Connects through a SOCKS5 proxy, which resolves the names.

    Args:
        proxy: the proxy.
        options: of TCPConnector.
    """

    def __init__(self, proxy: Proxy, **options: Any) -> None:
        super().__init__(resolver=_NoResolver(), use_dns_cache=False, **options)
        self._proxy = proxy

    async def _wrap_create_connection(
        self, *args: Any, addr_infos: list[Any], **options: Any
    ) -> tuple[asyncio.Transport, Any]:
        tls = {key: options[key] for key in ("ssl", "server_hostname") if key in options}
        host, port = addr_infos[0][4][:2]
        sock = await dial_socks(self._proxy, host, port)
        try:
            loop = asyncio.get_running_loop()
            return await loop.create_connection(*args, sock=sock, **tls)
        except BaseException:
            sock.close()
            raise


class _NoResolver(AbstractResolver):
    """Leaves names as they are."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the name as if it were an address."""
        return [ResolveResult(hostname=host, host=host, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        """Does nothing."""
