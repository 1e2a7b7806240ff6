"""HTTP/1.1 over any stream: fed whole, byte by byte, and cut everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.agents.scrape.http import HttpExchange
from gatherer.kube.answers import AnswerCutShort, AnswerTooBig, NotHttp, RawAnswer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
WITH_LENGTH = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
TO_THE_END = HEAD + b"\r\nhello"
CONTINUED = b"HTTP/1.1 100 Continue\r\n\r\n" + WITH_LENGTH
ANSWER = RawAnswer(200, "text/plain", b"hello")


def exchange(limit: int = 1000, **more: object) -> HttpExchange:
    return HttpExchange("GET", "agent:80", "/metrics", limit=limit, **more)  # type: ignore[arg-type]


def answered(pieces: Iterator[bytes] | list[bytes]) -> RawAnswer:
    made = exchange()
    for piece in [*pieces, b""]:
        answer = made.receive_data(piece)
        if answer is not None:
            return answer
    raise AssertionError("no answer at the end")


@pytest.mark.parametrize("data", [WITH_LENGTH, CHUNKED, TO_THE_END, CONTINUED])
def test_an_answer_cut_anywhere_is_the_same(data: bytes) -> None:
    assert answered([data]) == ANSWER
    assert answered([data[i : i + 1] for i in range(len(data))]) == ANSWER
    for cut in range(1, len(data)):
        assert answered([data[:cut], data[cut:]]) == ANSWER


@pytest.mark.parametrize("data", [WITH_LENGTH, CHUNKED])
def test_an_answer_that_ends_early_is_told(data: bytes) -> None:
    for cut in range(len(data)):
        with pytest.raises(AnswerCutShort):
            answered([data[:cut]] if cut else [])


def test_a_large_answer_is_refused_before_it_is_all_there() -> None:
    made = exchange(limit=10)
    made.receive_data(HEAD + b"Content-Length: 1000000\r\n\r\n")
    with pytest.raises(AnswerTooBig):
        made.receive_data(b"x" * 11)


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-OpenSSH_9\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"x" * 100_000]
)
def test_another_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(NotHttp):
        exchange().receive_data(data)


def test_the_request() -> None:
    sent = exchange(accept="text/plain").data_to_send()
    head, _, body = sent.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"GET /metrics HTTP/1.1"
    assert {b"Host: agent:80", b"Connection: close"} <= set(lines)
    assert body == b""
    posted = HttpExchange("POST", "h", "/profile/heap", body=b"off", limit=1).data_to_send()
    assert posted.endswith(b"Content-Length: 3\r\n\r\noff")


@given(st.binary(max_size=400))
def test_any_bytes_give_an_answer_or_an_error(data: bytes) -> None:
    made = exchange()
    try:
        made.receive_data(data)
    except (NotHttp, AnswerTooBig, AnswerCutShort):
        pass
