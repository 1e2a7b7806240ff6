"""Connections through a SOCKS5 proxy, for requests and websockets; the user of python-socks."""

from __future__ import annotations

import socket

from gatherer.kube.connection_errors import connection_error, proxy_error
from gatherer.kube.proxies import Proxy


async def dial_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Returns a connection to a server through a SOCKS5 proxy.

    Args:
        proxy: the proxy.
        host: of the server; a name is resolved by the proxy.
        port: of the server.

    Raises:
        ClusterUnreachable: there is no connection to the proxy, or it refused.
    """
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as SocksProxy

    try:
        user = None if proxy.username is None else proxy.username.decode("ascii")
        password = None if user is None else proxy.password.decode("ascii")
    except UnicodeDecodeError:
        raise proxy_error(proxy, "its user or password has characters that are not ASCII") from None
    dialer = SocksProxy.create(
        proxy_type=ProxyType.SOCKS5, host=proxy.host, port=proxy.port,
        username=user, password=password, rdns=True,
    )  # fmt: skip
    try:
        return await dialer.connect(host, port)
    except ProxyError as error:
        raise proxy_error(proxy, f"it refuses {host}:{port}: {error}") from error
    except UnicodeError as error:
        raise proxy_error(proxy, f"it cannot be asked for {host!r}") from error
    except OSError as error:
        raise connection_error(f"{host}:{port}", error, proxy) from error
