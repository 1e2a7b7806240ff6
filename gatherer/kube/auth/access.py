"""The address, trust and credentials of one API server, for requests and streams alike."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gatherer.kube.proxies import Proxy

Answer = TypeVar("Answer")


class Credentials(Protocol):
    """Something that proves who asks: a token, or a client certificate in the TLS context."""

    async def headers(self) -> dict[str, str]:
        """Returns the headers of the next request, after renewing what has expired.

        Raises:
            GathererError: the credentials cannot be had.
        """
        ...

    def refused(self) -> bool:
        """Learns that the server answered 401.

        Returns:
            Whether the next call of `headers` may give something better.
        """
        ...


@dataclass(frozen=True)
class ClusterAccess:
    """One API server as the kubeconfig or the pod's service account describes it.

    Attributes:
        server: URL, possibly with a path (Rancher), without a slash at the end, and without
            user and password.
        ssl_context: trust and client certificate; None for plain http.
        credentials: who asks.
        context: name of the kubeconfig context, empty inside a cluster.
        namespace: the context's, or that of the service account, else `default`.
        tls_server_name: name the certificate is checked against, None for the server's own.
        proxy: on the way to it, None for none: whatever the environment says is in it already.
        impersonation: headers of every request that ask to act as somebody else.
    """

    server: str
    ssl_context: ssl.SSLContext | None
    credentials: Credentials
    context: str = ""
    namespace: str = "default"
    tls_server_name: str | None = None
    proxy: Proxy | None = None
    impersonation: tuple[tuple[str, str], ...] = ()

    async def with_credentials(
        self,
        send: Callable[[dict[str, str]], Awaitable[Answer]],
        is_refused: Callable[[Answer], bool],
    ) -> Answer:
        """Sends a request, once more with renewed credentials when the first ones are refused.

        Args:
            send: sends it with the headers that authenticate it, impersonation aside.
            is_refused: whether an answer says that the server does not accept them.

        Returns:
            The last answer.

        Raises:
            GathererError: the credentials cannot be had; besides what `send` raises.
        """
        answer = await send(await self.credentials.headers())
        if is_refused(answer) and self.credentials.refused():
            answer = await send(await self.credentials.headers())
        return answer
