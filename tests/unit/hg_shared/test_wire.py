"""Contents of the stream to frames and back."""

from __future__ import annotations

import pytest

from hg_shared import wire
from hg_shared.batch import Batch
from hg_shared.errors import BadPayload
from hg_shared.framing import FLAG_ZLIB, Frame, FrameDecoder, FrameType
from hg_shared.messages import (
    Ack,
    Event,
    Heartbeat,
    Ping,
    RejoinHello,
    RejoinResponse,
    SessionKey,
    Stop,
)


def through(data: bytes) -> Frame:
    decoder = FrameDecoder()
    decoder.receive_data(data)
    (frame,) = decoder.frames_received()
    return frame


@pytest.mark.parametrize("level", [0, 1, 9])
def test_contents_come_back(level: int) -> None:
    batch = Batch(0, 0, 5, bytes(88 * 30), b"")
    for seq, content in enumerate([batch, Event(1, "scan"), Ack(4), Ping(3), Stop("x" * 500)]):
        frame = through(wire.encode(content, seq, level))
        assert frame.seq == seq
        assert wire.decode(frame) == content
        big = isinstance(content, (Batch, Stop))
        assert bool(frame.flags & FLAG_ZLIB) == (big and level > 0)


def test_every_frame_type_but_records_has_one_message() -> None:
    assert set(wire.MESSAGE_TYPES) == set(FrameType) - {FrameType.RECORDS}
    assert len(wire.FRAME_TYPES) == len(wire.MESSAGE_TYPES)
    assert Heartbeat in wire.OUTSIDE_SEQUENCE
    for cls, number in wire.FRAME_TYPES.items():
        from_gatherer = cls in (Ack, RejoinResponse, RejoinHello, Ping, SessionKey, Stop)
        assert (number >= 32) == from_gatherer


@pytest.mark.parametrize("number", [0, 8, 15, 19, 38, 255])
def test_unknown_frame_types_are_nothing(number: int) -> None:
    assert wire.decode(Frame(number, 1, b"whatever")) is None


def test_payloads_that_do_not_fit_their_type_are_refused() -> None:
    for number in FrameType:
        with pytest.raises(BadPayload):
            wire.decode(Frame(number, 1, b"!"))
        with pytest.raises(BadPayload):
            wire.decode(Frame(number, 1, b"no zlib stream", FLAG_ZLIB))
