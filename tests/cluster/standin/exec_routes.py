"""Routes of pods/exec and pods/attach: checks in the order of a real cluster, then the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.cluster.standin import exec_channels, rbac, status
from tests.cluster.standin.attach_session import AttachSession
from tests.cluster.standin.cluster import Cluster
from tests.cluster.standin.exec_request import ExecRequest, choose_container
from tests.cluster.standin.exec_session import ExecSession, ExecTransport
from tests.cluster.standin.exec_spdy import SpdyTransport, is_spdy
from tests.cluster.standin.exec_websocket import (
    WebSocketTransport,
    is_websocket,
    offered_subprotocols,
)
from tests.cluster.standin.node_parts import KUBELET
from tests.cluster.standin.request_attributes import Attributes
from tests.cluster.standin.responses import kubelet_error

Object = dict[str, Any]


class ExecRoutes:
    """The route, over one cluster."""

    def __init__(self, cluster: Cluster, find_pod: Callable[[web.Request], Object]) -> None:
        self._cluster = cluster
        self._find_pod = find_pod

    def routes(self) -> list[web.RouteDef]:
        """Returns what the server routes here."""
        path = "/api/v1/namespaces/{namespace}/pods/{name}/{subresource:exec|attach}"
        return [web.get(path, self.stream), web.post(path, self.stream)]

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET (websocket) or POST (SPDY) of pods/exec or pods/attach."""
        if request.method == "GET":
            require_create(request["user"], request["attributes"])
        pod = self._find_pod(request)
        wanted = ExecRequest.from_query(list(request.query.items()))
        container = choose_container(pod, wanted.container)
        if "Upgrade" not in request.headers:
            raise status.bad_request("Upgrade request required")
        if not wanted.any_stream:
            return kubelet_error(400, "you must specify at least 1 of stdin, stdout, stderr")
        metadata = pod["metadata"]
        worker = self._cluster.kubelet.worker(metadata["namespace"], metadata["name"])
        if self._cluster.kubelet.lost.is_set():
            address = pod["status"].get("hostIP", "")
            return kubelet_error(
                500, f"error dialing backend: dial tcp {address}:10250: i/o timeout"
            )
        refused = self._cluster.kubelet.parts.refusal(pod["status"].get("hostIP", ""))
        if refused is not None:
            return kubelet_error(*refused)
        if worker is None or not worker.record(container).running:
            return kubelet_error(500, f'container not found ("{container}")')
        scratch = self._cluster.run.subdirectory("scratch")

        async def run(transport: ExecTransport) -> None:
            if request.match_info["subresource"] == "attach":
                await AttachSession(worker.attachments[container], wanted, transport).run()
                return
            session = ExecSession(worker, container, wanted, transport, scratch)
            forsaking = asyncio.create_task(self._forsake(request, session))
            try:
                await session.run()
            finally:
                forsaking.cancel()
                await asyncio.gather(forsaking, return_exceptions=True)

        if is_spdy(request):
            streams = await SpdyTransport.accept(request, wanted)
            await run(streams)
            await streams.close()
            # Nobody reads this: the connection was taken over and is closed.
            return web.Response()
        if not is_websocket(request):
            raise status.bad_request(
                f"unable to upgrade: unexpected protocol {request.headers['Upgrade']}"
            )
        subprotocol = exec_channels.choose(offered_subprotocols(request))
        if subprotocol is None:
            return refused_subprotocol()
        transport = await WebSocketTransport.accept(request, subprotocol)
        losing = asyncio.create_task(self._lose(request))
        try:
            await run(transport)
        finally:
            losing.cancel()
        await transport.close()
        return transport.response

    async def _lose(self, request: web.Request) -> None:
        """Breaks a connection when the node is lost; its process goes on there."""
        await self._cluster.kubelet.lost.wait()
        if request.transport is not None:
            request.transport.abort()

    async def _forsake(self, request: web.Request, session: ExecSession) -> None:
        """Does to an exec what the end of the kubelet or of containerd does to it."""
        parts = self._cluster.kubelet.parts
        if await parts.wait_end() == KUBELET:
            session.forsake(kill=parts.kills_execs)
            if request.transport is not None:
                request.transport.abort()
        else:
            session.forsake()


def require_create(user: rbac.User, wanted: Attributes) -> None:
    """Since 1.35 a websocket exec needs ``create`` besides the ``get`` of its request.

    The message of that refusal ends where the reason would begin.
    """
    creating = Attributes(
        "create",
        wanted.path,
        wanted.group,
        wanted.namespace,
        wanted.resource,
        wanted.subresource,
        wanted.name,
    )
    if not rbac.allowed(user, creating):
        message = f'{wanted.resource} "{wanted.name}" is forbidden: '
        raise status.forbidden(message, wanted.name, wanted.resource)


def refused_subprotocol() -> web.Response:
    """Returns the answer to a client that offers no subprotocol of the server's."""
    response = web.Response(status=403, headers={"Connection": "close"})
    response.force_close()
    return response
