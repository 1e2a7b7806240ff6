"""Requests that the API server passes on to a port of a pod (pods/proxy), or answers as text.

Redirects are not followed: where a pod redirects to is not where gatherer may be sent.
"""

from __future__ import annotations

from urllib.parse import quote

from gatherer.kube.answers import NotHttp, RawAnswer, answer_error
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.http_client import NoAnswer, Request
from gatherer.kube.transport import cluster_client, request_error


class PodsProxy:
    """Sends requests through one API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._client = cluster_client(access)

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
        headers = {"Accept": accept}
        if method == "POST":
            headers["Content-Type"] = "text/plain"
        request = Request(method, path, seconds, headers, body, verbatim=True)
        raw = await self._access.with_credentials(
            lambda credentials: self._send(request, credentials, limit),
            # The 401 of a pod says nothing about the credentials.
            lambda raw: raw.status == 401 and raw.is_status,
        )
        if raw.is_status:
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
        await self._client.aclose()

    async def _send(self, request: Request, credentials: dict[str, str], limit: int) -> RawAnswer:
        try:
            return await self._client.exchange(request, limit, credentials)
        except (NoAnswer, NotHttp) as error:
            raise request_error(self._access, error.__cause__ or error) from error


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
