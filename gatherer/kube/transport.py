"""Requests to an API server, whatever they ask for: credentials, answers, errors.

What a request is, its caller says by a function that sends it; only `gatherer.kube.api` and
`auth.credentials` use the `kubernetes` package.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import aiohttp

from gatherer.errors import ServerError
from gatherer.kube.answers import answer_error
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.connection_errors import proxy_refusal
from gatherer.kube.http_session import failure

_MAX_BODY = 64 << 20  # bytes

Call = Callable[[dict[str, str]], Awaitable[aiohttp.ClientResponse]]
"""Sends a request with the headers it is given."""


class Transport:
    """Sends requests to one API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access

    async def request(
        self,
        call: Call,
        *,
        verb: str,
        resource: str,
        namespace: str = "",
    ) -> object:
        """Returns the JSON that answers a request.

        Args:
            call: sends it.
            verb: what is done, for errors.
            resource: what it is done to, for errors.
            namespace: that it is in, for errors.

        Raises:
            ApiError: the server refused.
            ServerError: the answer is not JSON.
            ClusterUnreachable: there was no answer.
        """
        answer = await self.open(call, verb=verb, resource=resource, namespace=namespace)
        try:
            body = await _read_bounded(answer)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise failure(self._access, error) from error
        finally:
            answer.release()
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ServerError(
                f"the API server {self._access.server} answered with something that is not JSON",
                "check that the server's URL in the kubeconfig is that of a Kubernetes API",
                answer.status,
            ) from error

    async def open(
        self,
        call: Call,
        *,
        verb: str,
        resource: str,
        namespace: str = "",
    ) -> aiohttp.ClientResponse:
        """Sends a request, once more with renewed credentials when the first ones are refused.

        Args:
            call: sends it.
            verb: what is done, for errors.
            resource: what it is done to, for errors.
            namespace: that it is in, for errors.

        Returns:
            A successful answer, its body not read yet.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        attempt = 0
        while True:
            attempt += 1
            headers = await self._access.headers()
            try:
                answer = await call(headers)
                if 200 <= answer.status < 300:
                    return answer
                try:
                    body = await _read_bounded(answer)
                finally:
                    answer.release()
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                raise failure(self._access, error) from error
            if answer.status == 401 and attempt == 1 and self._access.credentials.refused():
                continue
            if answer.status == 407 and self._access.proxy is not None:
                raise proxy_refusal(self._access.proxy, 407)
            raise answer_error(
                answer.status,
                answer.headers.get("Content-Type", ""),
                body,
                context=self._access.context,
                namespace=namespace,
                verb=verb,
                resource=resource,
            )


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > _MAX_BODY:
            raise ValueError(f"an answer of more than {_MAX_BODY >> 20} MiB")
    return bytes(body)
