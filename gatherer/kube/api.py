"""Requests to the Kubernetes API; together with `credentials` the only user of `kubernetes`.

Answers are taken as bytes (`*_without_preload_content`) and read by `gatherer.kube.models`: the
package's own models reject objects that lack a field its schema calls required.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration, CoreV1Api

from gatherer.errors import ServerError
from gatherer.kube.access import ClusterAccess
from gatherer.kube.answers import answer_error
from gatherer.kube.connection_errors import connection_error
from gatherer.kube.models import Pod

_TIMEOUT = 20.0  # seconds, for one request
_MAX_BODY = 64 << 20  # bytes


class KubernetesApi:
    """One API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        configuration = Configuration(
            host=access.server,
            tls_server_name=access.tls_server_name,
            proxy=access.proxy,
        )
        self._client = ApiClient(configuration)
        if access.ssl_context is not None:
            # The one that exec uses too: with the certificate an exec plugin may renew.
            self._client.rest_client.ssl_context = access.ssl_context
        self._core = CoreV1Api(self._client)

    async def read_pod(self, namespace: str, name: str) -> Pod:
        """Returns a pod.

        Raises:
            NotFound: there is no such pod.
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        document = await self._request(
            lambda headers: self._core.read_namespaced_pod_without_preload_content(
                name, namespace, _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="get",
            resource="pods",
        )
        return Pod.from_json(document)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _request(
        self,
        call: Callable[[dict[str, str]], Awaitable[aiohttp.ClientResponse]],
        *,
        verb: str,
        resource: str,
    ) -> object:
        """Sends a request, once more with renewed credentials when the first ones are refused."""
        for attempt in (1, 2):
            headers = await self._access.headers()
            try:
                answer = await call(headers)
                try:
                    body = await _read_bounded(answer)
                finally:
                    answer.release()
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                raise connection_error(self._access.server, error) from error
            if answer.status == 401 and attempt == 1 and self._access.credentials.refused():
                continue
            if not 200 <= answer.status < 300:
                raise answer_error(
                    answer.status,
                    answer.headers.get("Content-Type", ""),
                    body,
                    context=self._access.context,
                    verb=verb,
                    resource=resource,
                )
            break
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ServerError(
                f"the API server {self._access.server} answered with something that is not JSON",
                "check that the server's URL in the kubeconfig is that of a Kubernetes API",
                answer.status,
            ) from error


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > _MAX_BODY:
            raise ValueError(f"an answer of more than {_MAX_BODY >> 20} MiB")
    return bytes(body)
