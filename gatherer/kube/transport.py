"""Requests to the API server, with credentials; refusals and broken connections become errors."""

from __future__ import annotations

import json

import aiohttp

from gatherer.errors import ClusterUnreachable, ServerError
from gatherer.kube.answers import RawAnswer, answer_error
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.connection_errors import connection_error, proxy_refusal
from gatherer.kube.http_client import HttpClient, Request, read_answer

_MAX_BODY = 64 << 20  # bytes


class Transport:
    """Sends requests to one API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._client = cluster_client(access)

    async def request(
        self, request: Request, *, verb: str, resource: str, namespace: str = ""
    ) -> object:
        """Returns the JSON that answers a request.

        Args:
            request: what is sent.
            verb: what is done, for errors.
            resource: what it is done to, for errors.
            namespace: that it is in, for errors.

        Raises:
            ApiError: the server refused.
            ServerError: the answer is not JSON.
            ClusterUnreachable: there was no answer.
        """
        answer = await self.open(request, verb=verb, resource=resource, namespace=namespace)
        try:
            body = (await read_answer(answer, _MAX_BODY)).body
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise request_error(self._access, error) from error
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ServerError(
                f"the API server {self._access.server} answered with something that is not JSON",
                "check that the server's URL in the kubeconfig is that of a Kubernetes API",
                answer.status,
            ) from error

    async def open(
        self, request: Request, *, verb: str, resource: str, namespace: str = ""
    ) -> aiohttp.ClientResponse:
        """Sends a request.

        Args:
            request: what is sent.
            verb: what is done, for errors.
            resource: what it is done to, for errors.
            namespace: that it is in, for errors.

        Returns:
            A successful answer, its body not read yet.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        answer = await self._access.with_credentials(
            lambda headers: self._send(request, headers), lambda answer: answer.status == 401
        )
        if not isinstance(answer, RawAnswer):
            return answer
        if answer.status == 407 and self._access.proxy is not None:
            raise proxy_refusal(self._access.proxy, 407)
        raise answer_error(
            answer.status,
            answer.content_type,
            answer.body,
            context=self._access.context,
            namespace=namespace,
            verb=verb,
            resource=resource,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _send(
        self, request: Request, headers: dict[str, str]
    ) -> aiohttp.ClientResponse | RawAnswer:
        """Returns a successful answer as it comes, a refusal after its end."""
        try:
            answer = await self._client.send(request, headers)
            if 200 <= answer.status < 300:
                return answer
            return await read_answer(answer, _MAX_BODY)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise request_error(self._access, error) from error


def cluster_client(access: ClusterAccess) -> HttpClient:
    """Returns the client of an API server, which sends no credentials by itself.

    Args:
        access: how to reach it.
    """
    return HttpClient(
        access.server,
        ssl_context=access.ssl_context,
        tls_server_name=access.tls_server_name,
        proxy=access.proxy,
        headers=access.impersonation,
    )


def request_error(access: ClusterAccess, error: BaseException) -> ClusterUnreachable:
    """Returns the error for a request that never came to an answer.

    Args:
        access: to the API server.
        error: what aiohttp or the socket raised.
    """
    if access.proxy is not None and isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_refusal(access.proxy, error.status)
    return connection_error(access.server, error, access.proxy)
