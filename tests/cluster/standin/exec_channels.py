"""The messages of v4.channel.k8s.io and v5.channel.k8s.io: one channel byte, then data. Pure."""

from __future__ import annotations

from dataclasses import dataclass

V4 = "v4.channel.k8s.io"
V5 = "v5.channel.k8s.io"

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255


@dataclass(frozen=True)
class Data:
    """Data of one channel, never empty."""

    channel: int
    payload: bytes


@dataclass(frozen=True)
class HalfClose:
    """No more data will come on a channel (v5 only, KEP-4006)."""

    channel: int


def encode(channel: int, payload: bytes) -> bytes:
    """Returns a message of the server."""
    return bytes((channel,)) + payload


def decode(message: bytes, subprotocol: str) -> Data | HalfClose | None:
    """Returns what a message of the client says; None when it says nothing.

    Args:
        message: one whole binary message.
        subprotocol: the one that was agreed on.
    """
    if len(message) < 2:
        return None
    if message[0] == CLOSE:
        return HalfClose(message[1]) if subprotocol == V5 else None
    return Data(message[0], message[1:])


def choose(offered: list[str]) -> str | None:
    """Returns the subprotocol the server takes of those the client offers, in its order."""
    return next((name for name in offered if name in (V4, V5)), None)
