"""The stream's contents: frames to values and back.

Frame types that this version does not know are skipped and counted, so that a newer peer may send
more; the version in Hello decides whether the two sides understand each other at all.
"""

from __future__ import annotations

from typing import Dict, Optional, Type, Union

from hg_shared.batch import SLOT_COLUMNS, SLOTS, Batch, SlotBatch
from hg_shared.framing import Frame, FrameType, compressed
from hg_shared.message_codec import decode_message, encode_message
from hg_shared.messages import (
    Ack,
    Event,
    FdTable,
    Goodbye,
    Heartbeat,
    Hello,
    Joined,
    Message,
    Ping,
    RejoinChallenge,
    RejoinHello,
    RejoinResponse,
    Sample,
    SessionKey,
    Stop,
    TracedProcess,
)

MESSAGE_TYPES: Dict[int, Type[Message]] = {
    FrameType.HELLO: Hello,
    FrameType.EVENT: Event,
    FrameType.SAMPLE: Sample,
    FrameType.PROCESS: TracedProcess,
    FrameType.FD_TABLE: FdTable,
    FrameType.GOODBYE: Goodbye,
    FrameType.HEARTBEAT: Heartbeat,
    FrameType.REJOIN_CHALLENGE: RejoinChallenge,
    FrameType.JOINED: Joined,
    FrameType.ACK: Ack,
    FrameType.PING: Ping,
    FrameType.STOP: Stop,
    FrameType.SESSION_KEY: SessionKey,
    FrameType.REJOIN_HELLO: RejoinHello,
    FrameType.REJOIN_RESPONSE: RejoinResponse,
}
FRAME_TYPES = {cls: FrameType(number) for number, cls in MESSAGE_TYPES.items()}
# These are answered or outdated at once: they have no place in the sequence and are never resent.
OUTSIDE_SEQUENCE = tuple(cls for number, cls in MESSAGE_TYPES.items() if number >= 16)

Content = Union[Message, Batch]


def encode(content: Union[Content, SlotBatch], seq: int = 0, level: int = 1) -> bytes:
    """Returns the frame that carries a message or a batch.

    Args:
        content: what to send.
        seq: its sequence number, 0 for what is outside the sequence.
        level: zlib level, 0 for none.
    """
    if isinstance(content, SlotBatch):
        payload = content.encode(SLOT_COLUMNS if level else SLOTS)
        return compressed(FrameType.RECORDS, seq, payload, level).encode()
    if isinstance(content, Batch):
        return compressed(FrameType.RECORDS, seq, content.encode(), level).encode()
    return compressed(FRAME_TYPES[type(content)], seq, encode_message(content), level).encode()


def decode(frame: Frame) -> Optional[Content]:
    """Returns what a frame carries, None when its type is unknown here.

    Args:
        frame: a frame whose checksum was right.

    Raises:
        BadPayload: the payload is not what the type promises.
        PayloadTooBig: it decompresses to more than the limit.
        UnsupportedVersion: a Hello of another protocol version.
    """
    if frame.type == FrameType.RECORDS:
        return Batch.decode(frame.body())
    cls = MESSAGE_TYPES.get(frame.type)
    if cls is None:
        return None
    return decode_message(cls, frame.body())
