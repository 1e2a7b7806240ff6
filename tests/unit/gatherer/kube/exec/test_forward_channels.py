"""Port-forward messages: the port first, then data one way and errors the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import PortForwardError
from gatherer.kube.exec.forward_channels import (
    MESSAGE_SIZE,
    SUBPROTOCOL,
    ForwardChannels,
    Received,
    Refused,
)

PORT = 8080
ANNOUNCED = [b"\x00\x90\x1f", b"\x01\x90\x1f"]


def announced() -> ForwardChannels:
    channels = ForwardChannels(SUBPROTOCOL, PORT)
    for message in ANNOUNCED:
        assert channels.receive_message(message) is None
    return channels


def test_data_and_errors_follow_the_announcement() -> None:
    channels = announced()
    assert channels.receive_message(b"\x00HTTP/1.1 200") == Received(b"HTTP/1.1 200")
    assert channels.receive_message(b"\x00") is None
    assert channels.receive_message(b"\x01no \xff luck") == Refused("no \ufffd luck")


def test_data_in_the_message_of_the_announcement_is_kept() -> None:
    channels = ForwardChannels(SUBPROTOCOL, PORT)
    assert channels.receive_message(b"\x00\x90\x1fabc") == Received(b"abc")


@pytest.mark.parametrize(
    "message", [b"", b"\x02abc", b"\xff\x00", b"\x00\x90\x20", b"\x00\x90", b"\x01"]
)
def test_what_is_no_port_forward_is_refused(message: bytes) -> None:
    with pytest.raises(PortForwardError):
        ForwardChannels(SUBPROTOCOL, PORT).receive_message(message)


@pytest.mark.parametrize("subprotocol", [None, "v5.channel.k8s.io", "portforward.k8s.io"])
def test_another_subprotocol_is_refused(subprotocol: str | None) -> None:
    with pytest.raises(PortForwardError) as caught:
        ForwardChannels(subprotocol, PORT)
    assert caught.value.remedy


def test_a_long_refusal_is_cut() -> None:
    event = announced().receive_message(b"\x01" + b"x" * 100_000)
    assert isinstance(event, Refused)
    assert len(event.message) == 4096


@given(st.binary(max_size=3 * MESSAGE_SIZE + 1))
def test_what_is_sent_is_whole(data: bytes) -> None:
    messages = [bytes(message) for message in announced().send_data(data)]
    assert all(message[0] == 0 and 1 < len(message) <= MESSAGE_SIZE + 1 for message in messages)
    assert b"".join(message[1:] for message in messages) == data


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_messages_give_events_or_one_kind_of_error(messages: list[bytes]) -> None:
    channels = ForwardChannels(SUBPROTOCOL, PORT)
    try:
        for message in messages:
            event = channels.receive_message(message)
            assert event is None or event.data if isinstance(event, Received) else True
    except PortForwardError:
        pass
