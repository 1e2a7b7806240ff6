"""gatherer's client against servers and networks that misbehave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from gatherer.errors import ClusterUnreachable, ExecError, GathererError, ServerError
from gatherer.kube import api
from gatherer.kube.api import KubernetesApi
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.configuration import load_access
from gatherer.kube.exec import session as exec_session
from gatherer.kube.exec import websocket
from gatherer.kube.exec.channels import STDOUT, V5, ExecExited, ExecInterrupted, StreamData
from tests.cluster.kube_access import edited_kubeconfig, execute, finish
from tests.cluster.standin.harness import StandInCluster

SUCCESS = b'\x03{"status":"Success"}'
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[ClusterAccess]]
Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts a server whose every answer comes from one handler."""
    runners = []

    async def start(
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> ClusterAccess:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return access_at(tmp_path, f"http://127.0.0.1:{runner.addresses[0][1]}")

    yield start
    for runner in runners:
        await runner.cleanup()


def access_at(directory: Path, server: str) -> ClusterAccess:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
    }
    (directory / "config").write_text(json.dumps(document))
    return load_access(str(directory / "config"))


def talking(
    talk: Talk, *, autoping: bool = True
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Returns a handler that opens the websocket and then does as it is told."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(V5,), compress=False, autoping=autoping)
        await socket.prepare(request)
        await talk(socket)
        return socket

    return handle


async def test_a_close_without_a_status_is_no_exit_code(serve: Serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01part")
        await socket.close(code=1000)

    session = await execute(await serve(talking(talk)), "x")
    assert await finish(session) == (b"part", b"", ExecInterrupted("close code 1000"))


async def test_a_connection_that_breaks_is_no_exit_code(serve: Serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01part")
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.abort()

    stdout, _, end = await finish(await execute(await serve(talking(talk)), "x"))
    assert stdout == b"part"
    assert isinstance(end, ExecInterrupted)
    assert "the connection broke" in end.reason


async def test_a_connection_that_breaks_after_the_status_has_an_exit_code(serve: Serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(SUCCESS)
        await socket.send_bytes(b"\x01late")
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.close()

    session = await execute(await serve(talking(talk)), "x")
    assert await finish(session) == (b"late", b"", ExecExited(0))


async def test_a_server_that_tells_the_end_and_never_closes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_session, "CLOSE_TIMEOUT", 0.1)

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(SUCCESS)
        while (await socket.receive()).type is not WSMsgType.CLOSED:
            pass

    session = await execute(await serve(talking(talk)), "x")
    assert (await finish(session))[2] == ExecExited(0)


async def test_a_text_message_is_refused(serve: Serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")
        await socket.receive()

    session = await execute(await serve(talking(talk)), "x")
    with pytest.raises(ExecError, match="text message"):
        await session.receive()
    await session.aclose()


async def test_a_message_beyond_all_measure_ends_the_session(serve: Serve) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(b"\x01" + bytes(2 << 20))
        await socket.receive()

    stdout, _, end = await finish(await execute(await serve(talking(talk)), "x"))
    assert stdout == b""
    assert isinstance(end, ExecInterrupted)
    assert "close code 1009" in end.reason


async def test_a_server_that_chooses_no_subprotocol(serve: Serve) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await socket.receive()
        return socket

    access = await serve(handle)
    with pytest.raises(ExecError, match="chose the exec subprotocol None"):
        await execute(access, "x")


async def refused_both_ways(access: ClusterAccess) -> list[GathererError]:
    """Returns what an exec and a request say."""
    errors = []
    with pytest.raises(GathererError) as caught:
        await execute(access, "x")
    errors.append(caught.value)
    client = KubernetesApi(access)
    try:
        with pytest.raises(GathererError) as caught:
            await client.read_pod("default", "p")
    finally:
        await client.aclose()
    errors.append(caught.value)
    for error in errors:
        assert error.exit_code == 3
        assert error.remedy
        assert str(error).isprintable()
    return errors


async def test_a_web_page_instead_of_an_api(serve: Serve) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<title>Sign in</title>", content_type="text/html")

    exec_error, api_error = await refused_both_ways(await serve(handle))
    assert "200" in str(exec_error)
    assert isinstance(api_error, ServerError)
    assert "something that is not JSON" in str(api_error)


async def test_a_login_page_behind_a_redirect(serve: Serve) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("https://login.invalid/")

    for error in await refused_both_ways(await serve(handle)):
        assert "http://127.0.0.1" in str(error)


async def test_a_gateway_that_fails(serve: Serve) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        page = "<html><title>503 Service\nUnavailable</title>"
        return web.Response(status=503, text=page, content_type="text/html")

    for error in await refused_both_ways(await serve(handle)):
        assert isinstance(error, ServerError)
        assert error.status == 503


async def test_a_server_that_hangs_up(serve: Serve) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    for error in await refused_both_ways(await serve(handle)):
        assert isinstance(error, ClusterUnreachable)


async def test_a_server_that_never_answers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "_OPEN_TIMEOUT", 0.1)
    monkeypatch.setattr(api, "_TIMEOUT", 0.1)
    forever = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        await forever.wait()
        return web.Response()

    for error in await refused_both_ways(await serve(handle)):
        assert isinstance(error, ClusterUnreachable)
        assert "it did not answer in time" in str(error)
    forever.set()


async def test_an_answer_that_breaks_off(serve: Serve) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"kind": "Pod"')
        assert request.transport is not None
        request.transport.abort()
        return response

    access = await serve(handle)
    client = KubernetesApi(access)
    with pytest.raises(ClusterUnreachable):
        await client.read_pod("default", "p")
    await client.aclose()


async def test_a_reader_that_stops_stops_the_server(serve: Serve) -> None:
    sent = 0
    stalled, go_on = asyncio.Event(), asyncio.Event()
    total = 64 << 20

    async def talk(socket: web.WebSocketResponse) -> None:
        nonlocal sent
        piece = bytes(1 << 16)
        while sent < total:
            sending = asyncio.ensure_future(socket.send_bytes(b"\x01" + piece))
            done, _ = await asyncio.wait([sending], timeout=0.5)
            if not done:
                stalled.set()
                await go_on.wait()
                await sending
            sent += len(piece)
        await socket.send_bytes(SUCCESS)
        await socket.close()

    session = await execute(await serve(talking(talk)), "x")
    async with asyncio.timeout(20):
        await stalled.wait()
    assert sent < 32 << 20  # what the two sockets and 16 messages hold
    go_on.set()
    stdout, _, end = await finish(session)
    assert (len(stdout), end) == (total, ExecExited(0))


async def test_a_server_that_does_not_read_holds_the_writer_back(serve: Serve) -> None:
    read = asyncio.Event()
    received = 0

    async def talk(socket: web.WebSocketResponse) -> None:
        nonlocal received
        await read.wait()
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            received += len(message.data) - 1
            if received == 64 << 20:
                await socket.send_bytes(SUCCESS)
                await socket.close()

    session = await execute(await serve(talking(talk)), "x")
    sending = asyncio.ensure_future(session.send_stdin(bytes(64 << 20)))
    done, _ = await asyncio.wait([sending], timeout=0.5)
    assert not done
    assert session._connection.transport.get_write_buffer_size() < 1 << 20
    read.set()
    assert (await finish(session))[2] == ExecExited(0)
    await sending
    assert received == 64 << 20


async def test_pings_keep_an_idle_session_and_late_pongs_do_not_end_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "_PING_INTERVAL", 0.02)

    async def talk(socket: web.WebSocketResponse) -> None:
        for _ in range(5):
            message = await socket.receive()
            assert message.type is WSMsgType.PING  # and no pong is sent
        await socket.send_bytes(b"\x01alive")
        await socket.send_bytes(SUCCESS)
        await socket.close()

    session = await execute(await serve(talking(talk, autoping=False)), "x")
    assert await session.receive() == StreamData(STDOUT, b"alive")
    assert (await finish(session))[2] == ExecExited(0)


def test_pings_come_often_enough_for_the_impatient_load_balancer() -> None:
    assert websocket._PING_INTERVAL <= 20


async def test_a_proxy_of_the_kubeconfig_is_used(cluster: StandInCluster, tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        host, _, port = head.split()[1].decode().rpartition(":")
        upstream = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, upstream[1]), pump(upstream[0], writer))

    proxy = await asyncio.start_server(connect, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    config = edited_kubeconfig(cluster, tmp_path / "config", **{"proxy-url": url})
    access = load_access(str(config))
    client = KubernetesApi(access)
    try:
        assert (await client.read_pod("default", "problempod")).name == "problempod"
        assert (await finish(await execute(access, "echo", "hi")))[0] == b"hi\n"
    finally:
        await client.aclose()
        proxy.close()
        await proxy.wait_closed()
    server = cluster.server.removeprefix("https://").encode()
    assert asked == [b"CONNECT " + server + b" HTTP/1.1"] * 2


async def test_a_proxy_that_does_not_answer_is_named(tmp_path: Path) -> None:
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": "https://x.invalid", "proxy-url": "http://127.0.0.1:1"},
            }
        ],
    }
    (tmp_path / "config").write_text(json.dumps(document))
    for error in await refused_both_ways(load_access(str(tmp_path / "config"))):
        assert isinstance(error, ClusterUnreachable)
