"""The routes of pods/proxy: the API server passes a request on to a port of the pod's address."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.cluster.standin import status
from tests.cluster.standin.cluster import Cluster
from tests.cluster.standin.pod_network import PodNetwork

Object = dict[str, Any]

_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding"
    " upgrade content-length".split()
)
# The credentials are for the API server alone.
_NOT_PASSED_ON = _HOP_BY_HOP | {"authorization", "host"}


class ProxyRoutes:
    """The routes, over one cluster."""

    def __init__(self, cluster: Cluster, find_pod: Callable[[str, str], Object]) -> None:
        self._cluster = cluster
        self._find_pod = find_pod

    def routes(self) -> list[web.RouteDef]:
        """Returns what the server routes here."""
        path = "/api/v1/namespaces/{namespace}/pods/{name}/proxy"
        return [web.route("*", path, self.proxy), web.route("*", path + "/{path:.*}", self.proxy)]

    async def proxy(self, request: web.Request) -> web.StreamResponse:
        """Any method of pods/proxy; the name may be ``POD``, ``POD:PORT`` or ``http:POD:PORT``."""
        name, port = _split(request.match_info["name"])
        pod = self._find_pod(request.match_info["namespace"], name)
        network = self._network(pod)
        port = port or _first_port(pod)
        url = URL(f"http://{network.ip}:{port}/", encoded=True).join(
            URL("/" + request.raw_path.split("/proxy", 1)[1].lstrip("/"), encoded=True)
        )
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in _NOT_PASSED_ON
        }
        connector = aiohttp.TCPConnector(socket_factory=lambda info: network.socket(info[0]))
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as session:
            try:
                answer = await session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=await request.read() or None,
                    allow_redirects=False,
                )
            except aiohttp.ClientConnectorError as error:
                words = os.strerror(error.os_error.errno or 0).lower()
                raise _unreachable(f"dial tcp {network.ip}:{port}: connect: {words}") from None
            except aiohttp.ClientError:
                raise _unreachable("EOF") from None
            try:
                return await _pass_on(request, answer)
            finally:
                answer.close()

    def _network(self, pod: Object) -> PodNetwork:
        metadata = pod["metadata"]
        worker = self._cluster.kubelet.worker(metadata["namespace"], metadata["name"])
        if worker is None:
            raise status.bad_request("address not allowed")
        return worker.network


async def _pass_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for key, value in answer.headers.items():
        if key.lower() not in _HOP_BY_HOP:
            response.headers.add(key, value)
    if answer.headers.get("Content-Length", "").isdigit():
        response.content_length = int(answer.headers["Content-Length"])
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except (aiohttp.ClientError, ConnectionError):
        # The server behind broke off: so does this answer.
        if request.transport is not None:
            request.transport.abort()
    return response


def _split(name: str) -> tuple[str, str]:
    parts = name.split(":")
    if len(parts) == 3:
        parts = parts[1:]
    return parts[0], parts[1] if len(parts) == 2 else ""


def _first_port(pod: Object) -> str:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            return str(port["containerPort"])
    return "80"


def _unreachable(words: str) -> status.ApiError:
    return status.ApiError(503, "ServiceUnavailable", f"error trying to reach service: {words}")
