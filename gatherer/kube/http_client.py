"""HTTP requests to one server, sent with aiohttp. No answer is judged here, and no error renamed.

Nothing is taken from the environment: aiohttp reads proxies and ~/.netrc by rules of its own when
it is asked to trust it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp

from gatherer.kube.answers import AnswerCutShort, AnswerTooBig, NotHttp, RawAnswer
from gatherer.kube.connectors import make_connector
from gatherer.kube.proxies import Proxy

_CHUNK = 1 << 16  # bytes


class NoAnswer(Exception):
    """No answer came; the cause is what aiohttp or the socket raised."""


@dataclass(frozen=True)
class Request:
    """An HTTP request.

    Attributes:
        method: such as `GET`.
        path: from the root of the server, with the query, encoded.
        seconds: limit for all of it, the body of the answer included.
        headers: besides those of the client and of the credentials.
        body: empty for none.
        verbatim: the answer is wanted as it was sent: no redirect is followed, nothing compressed.
    """

    method: str
    path: str
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    verbatim: bool = False


class HttpClient:
    """Requests to one server, over connections that are kept between them.

    Args:
        server: URL, possibly with a path, without a slash at the end.
        ssl_context: trust and client certificate, None for the system's trust.
        tls_server_name: name the certificate is checked against, None for the server's own.
        proxy: on the way to it.
        headers: of every request, a name may come several times.
    """

    def __init__(
        self,
        server: str,
        *,
        ssl_context: ssl.SSLContext | None = None,
        tls_server_name: str | None = None,
        proxy: Proxy | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._server = server
        self._ssl_context = ssl_context
        self._tls_server_name = tls_server_name
        self._proxy = proxy
        self._http_proxy = proxy if proxy is not None and proxy.scheme != "socks5" else None
        self._headers = [("User-Agent", "gatherer"), *headers]
        if self._http_proxy is not None and server.startswith("http:"):
            # Without TLS the request itself is what the proxy reads.
            self._headers += self._http_proxy.headers.items()
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, request: Request, credentials: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """Sends a request; returns the head of its answer, whatever its status.

        Args:
            request: what is sent.
            credentials: headers.

        Raises:
            aiohttp.ClientError: no connection, or no HTTP.
            OSError: no connection.
            TimeoutError: it took too long.
        """
        headers = {**(credentials or {}), **request.headers}
        if request.verbatim:
            headers["Accept-Encoding"] = "identity"
        proxy = self._http_proxy
        return await self._opened().request(
            request.method,
            self._server + request.path,
            headers=headers,
            data=request.body or None,
            allow_redirects=not request.verbatim,
            auto_decompress=not request.verbatim,
            timeout=aiohttp.ClientTimeout(total=request.seconds),
            server_hostname=self._tls_server_name,
            # Without user and password: it stands in the messages of aiohttp's errors.
            proxy=None if proxy is None else proxy.address,
            proxy_headers=None if proxy is None else proxy.headers,
        )

    async def exchange(
        self, request: Request, limit: int, credentials: Mapping[str, str] | None = None
    ) -> RawAnswer:
        """Sends a request and returns the whole answer, whatever its status.

        Args:
            request: what is sent.
            limit: bytes of the body that are taken.
            credentials: headers.

        Raises:
            NoAnswer: there was no connection, or it ended too soon.
            NotHttp: what answers does not speak HTTP, or the proxy refused.
            AnswerTooBig: there is more than `limit`.
            AnswerCutShort: the answer broke off.
            TimeoutError: it took too long.
        """
        answer = None
        try:
            answer = await self.send(request, credentials)
            return await read_answer(answer, limit)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            if answer is not None:
                raise AnswerCutShort("the answer broke off") from error
            if isinstance(error, aiohttp.ClientResponseError):
                raise NotHttp(error.message) from error
            raise NoAnswer(str(error)) from error

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=make_connector(self._ssl_context, self._proxy),
                # Nothing that a server sets comes back to it, nor to another one behind it.
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                trust_env=False,
            )
        return self._session


async def read_answer(answer: aiohttp.ClientResponse, limit: int) -> RawAnswer:
    """Reads an answer to its end and gives its connection back.

    Args:
        answer: after its head.
        limit: bytes of the body that are taken.

    Raises:
        AnswerTooBig: there is more.
        aiohttp.ClientError: it broke off.
        TimeoutError: it took too long.
    """
    body = bytearray()
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:
                raise AnswerTooBig(f"an answer of more than {limit >> 20} MiB")
    finally:
        answer.release()
    return RawAnswer(answer.status, answer.headers.get("Content-Type", ""), bytes(body))
