"""An agent by URL, asked over a real socket: what is sent, and what is said of bad answers."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from gatherer.agents.scrape.endpoints import Limits, UrlEndpoint
from gatherer.errors import ScrapeError
from gatherer.kube.answers import RawAnswer

LIMITS = Limits(seconds=10, size=1 << 20)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


async def asked(
    answer: bytes, *, stays: bool = False, limits: Limits = LIMITS, method: str = "GET"
) -> tuple[RawAnswer | ScrapeError, bytes]:
    """Returns what a server's bytes are taken for, and what it was asked."""
    seen = bytearray()
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n"))
        if method == "POST":
            seen.extend(await reader.readexactly(3))
        writer.write(answer)
        if stays:
            await over.wait()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        endpoint = UrlEndpoint(f"http://me:s3cret@127.0.0.1:{port}/metrics?a=b%20c")
        assert endpoint.where == f"http://127.0.0.1:{port}"
        body = b"off" if method == "POST" else b""
        try:
            told: RawAnswer | ScrapeError = await endpoint.fetch(
                method, endpoint.path, body=body, accept="text/plain", limits=limits
            )
        except ScrapeError as error:
            told = error
        over.set()
    return told, bytes(seen)


async def test_the_request_and_the_answer() -> None:
    told, seen = await asked(HEAD + b"Content-Length: 5\r\n\r\nhello", stays=True)
    assert told == RawAnswer(200, "text/plain", b"hello")
    line, *headers = seen.split(b"\r\n\r\n")[0].split(b"\r\n")
    assert line == b"GET /metrics?a=b%20c HTTP/1.1"
    assert {
        b"User-Agent: gatherer",
        b"Accept: text/plain",
        b"Accept-Encoding: identity",
        b"Authorization: Basic bWU6czNjcmV0",
    } <= set(headers)


async def test_a_body_that_is_sent() -> None:
    told, seen = await asked(HEAD + b"\r\nhello", method="POST")
    assert told == RawAnswer(200, "text/plain", b"hello")
    assert b"Content-Type: text/plain\r\n" in seen
    assert seen.endswith(b"\r\n\r\noff")


async def test_an_answer_is_taken_as_it_was_sent() -> None:
    packed = gzip.compress(b"hello")
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    assert (await asked(head + packed))[0] == RawAnswer(200, "text/plain", packed)
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    assert (await asked(redirect))[0] == RawAnswer(302, "", b"")


@pytest.mark.parametrize(
    ("answer", "cause", "remedy"),
    [
        (b"", "the connection ended without an answer", "restarts"),
        (HEAD, "the connection ended without an answer", "restarts"),
        (HEAD + b"Content-Length: 9\r\n\r\nhel", "the answer broke off", "restarts"),
        (b"SSH-2.0-OpenSSH_9\r\n", "what answers does not speak HTTP: ", "check the port"),
        (HEAD + b"\r\n" + bytes(2 << 20), "the answer is larger than 1 MiB", "reduce"),
    ],
)
async def test_a_bad_answer(answer: bytes, cause: str, remedy: str) -> None:
    told, _ = await asked(answer)
    assert isinstance(told, ScrapeError)
    assert told.cause.startswith(cause)
    assert remedy in told.remedy
    assert str(told).isprintable()


async def test_a_server_that_never_answers() -> None:
    told, _ = await asked(b"", stays=True, limits=Limits(seconds=0.1))
    assert isinstance(told, ScrapeError)
    assert told.cause == "no answer within 0.1 s"


async def test_no_connection() -> None:
    with pytest.raises(ScrapeError) as caught:
        await UrlEndpoint("http://127.0.0.1:1/").fetch("GET", "/", limits=LIMITS)
    assert caught.value.cause.startswith("no connection: Connect call failed")
    assert "check the URL" in caught.value.remedy
