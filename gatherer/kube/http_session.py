"""What every HTTP session to an API server has: its TLS, its proxy, nothing of the environment's.

aiohttp reads proxies and ~/.netrc by rules of its own when it is asked to trust the environment;
here it never is. It knows no SOCKS: a connector of ours dials instead.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.connection_errors import connection_error, proxy_refusal
from gatherer.kube.proxies import Proxy
from gatherer.kube.socks import dial_socks


def connector(access: ClusterAccess, limit: int = 100) -> aiohttp.TCPConnector:
    """Returns what connects; in a running event loop only.

    Args:
        access: to the API server.
        limit: connections at the same time.
    """
    tls = True if access.ssl_context is None else access.ssl_context
    if access.proxy is not None and access.proxy.scheme == "socks5":
        return _SocksConnector(access.proxy, ssl=tls, limit=limit)
    return _Connector(ssl=tls, limit=limit)


def session_options(access: ClusterAccess) -> dict[str, Any]:
    """Returns arguments of `aiohttp.ClientSession`, besides the connector.

    Args:
        access: to the API server.
    """
    headers = CIMultiDict({"User-Agent": "gatherer"})
    headers.extend(access.impersonation)
    if access.ssl_context is None and access.proxy is not None:
        # Without TLS the request itself is what the proxy reads.
        headers.extend(access.proxy.headers)
    return {"trust_env": False, "headers": headers}


def proxy_options(access: ClusterAccess) -> dict[str, Any]:
    """Returns the arguments of one request that send it through an HTTP proxy.

    Args:
        access: to the API server.
    """
    proxy = access.proxy
    if proxy is None or proxy.scheme == "socks5":
        return {}
    # Not with user and password in the URL: it stands in the messages of aiohttp's errors.
    return {"proxy": proxy.address, "proxy_headers": proxy.headers}


class _Connector(aiohttp.TCPConnector):
    """Ends a connection at once that is given up in the middle of an answer, such as a watch.

    asyncio closes TLS by waiting up to 30 s for the peer's close_notify, and aiohttp waits for no
    connection that it has closed before its session: the loop may end with the socket open.
    """

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        should_close = should_close or protocol.should_close
        if should_close:
            protocol.abort()
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


def failure(access: ClusterAccess, error: BaseException) -> ClusterUnreachable:
    """Returns the error for a request that never came to an answer.

    Args:
        access: to the API server.
        error: what aiohttp or the socket raised.
    """
    if access.proxy is not None and isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_refusal(access.proxy, error.status)
    return connection_error(access.server, error, access.proxy)
