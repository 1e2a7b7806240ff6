"""Requests that the API server passes on to a port of a pod (pods/proxy), or answers as text.

Not through the `kubernetes` package: it follows redirects, and where a pod redirects to is not
where gatherer may be sent.
"""

from __future__ import annotations

from urllib.parse import quote

import aiohttp

from gatherer.kube.answers import AnswerCutShort, AnswerTooBig, RawAnswer, answer_error
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.http_session import connector, failure, proxy_options, session_options

_CHUNK = 1 << 16  # bytes


class PodsProxy:
    """Sends requests through one API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        accept: str = "*/*",
        limit: int,
        seconds: float,
        resource: str,
    ) -> RawAnswer:
        """Sends a request and returns what comes back.

        Args:
            method: `GET` or `POST`.
            path: from the root of the server, with the query, encoded.
            body: of a POST, as text/plain.
            accept: content types that are wanted.
            limit: bytes of the answer that are taken.
            seconds: how long it may take in all.
            resource: such as `pods/proxy`, for the message when it is forbidden.

        Returns:
            The answer, whatever its status, unless it is the API server's own failure.

        Raises:
            ApiError: the API server refused, or could not reach what is behind it.
            ClusterUnreachable: there was no connection to the API server.
            TimeoutError: it took too long.
            AnswerTooBig: there was more than `limit`.
            AnswerCutShort: the answer broke off.
        """
        for attempt in (1, 2):
            raw = await self._send(method, path, body, accept, limit, seconds)
            if not raw.is_status:
                break
            if raw.status == 401 and attempt == 1 and self._access.credentials.refused():
                continue
            raise answer_error(
                raw.status,
                raw.content_type,
                raw.body,
                context=self._access.context,
                verb="get" if method == "GET" else "create",
                resource=resource,
            )
        return raw

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(
        self, method: str, path: str, body: bytes, accept: str, limit: int, seconds: float
    ) -> RawAnswer:
        headers = {**await self._access.headers(), "Accept": accept, "Accept-Encoding": "identity"}
        if method == "POST":
            headers["Content-Type"] = "text/plain"
        begun = False
        try:
            async with self._opened().request(
                method,
                self._access.server + path,
                headers=headers,
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
                server_hostname=self._access.tls_server_name,
                **proxy_options(self._access),
            ) as answer:
                begun = True
                content = bytearray()
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    content += chunk
                    if len(content) > limit:
                        raise AnswerTooBig(f"an answer of more than {limit >> 20} MiB")
                kind = answer.headers.get("Content-Type", "")
                return RawAnswer(answer.status, kind, bytes(content))
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            if begun:
                raise AnswerCutShort("the answer broke off") from error
            raise failure(self._access, error) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=connector(self._access),
                # Nothing that a pod sets may come back to another one.
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                **session_options(self._access),
            )
        return self._session


def proxy_path(namespace: str, pod: str, port: int, path: str) -> str:
    """Returns the path of pods/proxy for a path on a port of a pod.

    Args:
        namespace: of the pod.
        pod: its name.
        port: 1 to 65535.
        path: from the root of the pod's server, with the query, encoded.
    """
    where = f"{quote(namespace, safe='')}/pods/{quote(pod, safe='')}:{port}/proxy"
    return f"/api/v1/namespaces/{where}/{path.removeprefix('/')}"
