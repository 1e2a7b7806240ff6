"""The route of pods/portforward, in the three forms that clients ask for.

The old websocket form (``v4.channel.k8s.io``: one connection to each port of the query), SPDY in
websocket messages (``SPDY/3.1+portforward.k8s.io``, KEP-4006, what kubectl asks for), and SPDY by
an HTTP upgrade, its fallback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import WSMsgType, web

from tests.cluster.standin import status
from tests.cluster.standin.cluster import Cluster
from tests.cluster.standin.exec_channels import V4
from tests.cluster.standin.exec_routes import refused_subprotocol, require_create
from tests.cluster.standin.exec_spdy import take_over
from tests.cluster.standin.exec_websocket import is_websocket, offered_subprotocols
from tests.cluster.standin.pod_network import PodNetwork
from tests.cluster.standin.port_forward_spdy import SpdyForward
from tests.cluster.standin.responses import kubelet_error

Object = dict[str, Any]

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{SPDY_PROTOCOL}"
_DATA, _ERROR = 0, 1
_READ_BYTES = 32 << 10
_SWITCH = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: SPDY/3.1\r\n"
    f"X-Stream-Protocol-Version: {SPDY_PROTOCOL}\r\n\r\n"
)


class PortForwardRoutes:
    """The route, over one cluster."""

    def __init__(self, cluster: Cluster, find_pod: Callable[[web.Request], Object]) -> None:
        self._cluster = cluster
        self._find_pod = find_pod

    def routes(self) -> list[web.RouteDef]:
        """Returns what the server routes here."""
        path = "/api/v1/namespaces/{namespace}/pods/{name}/portforward"
        return [web.get(path, self.forward), web.post(path, self.forward)]

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """GET (websocket) or POST (SPDY) of pods/portforward."""
        if request.method == "GET":
            require_create(request["user"], request["attributes"])
        pod = self._find_pod(request)
        metadata = pod["metadata"]
        if not pod["spec"].get("nodeName"):
            raise status.bad_request(f"pod {metadata['name']} does not have a host assigned")
        if "Upgrade" not in request.headers:
            raise status.bad_request("Upgrade request required")
        refused = self._cluster.kubelet.parts.refusal(pod["status"].get("hostIP", ""))
        if refused is not None:
            return kubelet_error(*refused)
        worker = self._cluster.kubelet.worker(metadata["namespace"], metadata["name"])
        if worker is None:
            return kubelet_error(
                404, f'pod not found ("{metadata["name"]}_{metadata["namespace"]}")'
            )
        pod_name = f"{metadata['uid']}"
        if is_websocket(request):
            offered = offered_subprotocols(request)
            if TUNNEL in offered:
                return await _tunnel(request, worker.network, pod_name)
            if V4 in offered:
                return await _channels(request, worker.network, pod_name)
            return refused_subprotocol()
        if request.headers["Upgrade"] != "SPDY/3.1":
            raise status.bad_request(
                f"unable to upgrade: unexpected protocol {request.headers['Upgrade']}"
            )
        reader, writer = take_over(request, _SWITCH)
        try:
            await SpdyForward(worker.network, pod_name, _reads(reader), _writes(writer)).run()
        finally:
            writer.close()
        # Nobody reads this: the connection was taken over and is closed.
        return web.Response()


async def _reads(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while data := await reader.read(1 << 16):
            yield data
    except ConnectionError:
        return


def _writes(writer: asyncio.StreamWriter) -> Callable[[bytes], Any]:
    async def write(data: bytes) -> None:
        if writer.is_closing():
            raise ConnectionResetError("the client has closed the connection")
        writer.write(data)
        await writer.drain()

    return write


async def _tunnel(request: web.Request, network: PodNetwork, pod: str) -> web.StreamResponse:
    socket = web.WebSocketResponse(protocols=(TUNNEL,), compress=False, max_msg_size=32 << 20)
    await socket.prepare(request)

    async def reads() -> AsyncIterator[bytes]:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                yield message.data

    async def write(data: bytes) -> None:
        if socket.closed:
            raise ConnectionResetError("the client has closed the connection")
        await socket.send_bytes(data)

    await SpdyForward(network, pod, reads(), write).run()
    await socket.close(code=1000)
    return socket


async def _channels(request: web.Request, network: PodNetwork, pod: str) -> web.StreamResponse:
    """Serves the old form: for port number n of the query channel 2n is data, 2n+1 its error."""
    texts = ",".join(request.query.getall("ports", [])).split(",")
    if texts == [""]:
        return kubelet_error(400, 'query parameter "port" is required')
    if not all(text.isdigit() and 0 < int(text) < 65536 for text in texts):
        return kubelet_error(400, f'invalid port value "{",".join(texts)}"')
    ports = [int(text) for text in texts]
    socket = web.WebSocketResponse(protocols=(V4,), compress=False, max_msg_size=32 << 20)
    await socket.prepare(request)
    try:
        for index, port in enumerate(ports):
            for channel in (2 * index + _DATA, 2 * index + _ERROR):
                await socket.send_bytes(bytes((channel,)) + port.to_bytes(2, "little"))
        await _ChannelForward(socket, network, pod, ports).run()
    except ConnectionError:
        pass
    await socket.close(code=1000)
    return socket


class _ChannelForward:
    """The connections of one websocket of the old form."""

    def __init__(
        self, socket: web.WebSocketResponse, network: PodNetwork, pod: str, ports: list[int]
    ) -> None:
        self._socket = socket
        self._network = network
        self._pod = pod
        self._ports = ports
        self._writers: dict[int, asyncio.StreamWriter] = {}

    async def run(self) -> None:
        pumps = []
        for index, port in enumerate(self._ports):
            try:
                reader, writer = await self._network.dial_loopback(port)
            except OSError as error:
                words = f"error forwarding port {port} to pod {self._pod}, uid : {error}"
                await self._socket.send_bytes(bytes((2 * index + _ERROR,)) + words.encode())
                continue
            self._writers[2 * index] = writer
            pumps.append(asyncio.ensure_future(self._pump(2 * index, reader)))
        feeding = asyncio.ensure_future(self._feed())
        try:
            pending = set(pumps)
            while pending and not feeding.done():
                _, left = await asyncio.wait(
                    {*pending, feeding}, return_when=asyncio.FIRST_COMPLETED
                )
                pending = left - {feeding}
        finally:
            for task in (feeding, *pumps):
                task.cancel()
            await asyncio.gather(feeding, *pumps, return_exceptions=True)
            for writer in self._writers.values():
                writer.close()

    async def _pump(self, channel: int, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                await self._socket.send_bytes(bytes((channel,)) + data)
        except ConnectionError:
            return

    async def _feed(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and len(message.data) > 1:
                writer = self._writers.get(message.data[0])
                if writer is not None:
                    writer.write(message.data[1:])
                    await writer.drain()
