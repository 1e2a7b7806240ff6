"""The events of a stream, as its protocol tells them to whoever follows it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gatherer.stream.receiver import Arrival


@dataclass(frozen=True)
class FramesReceived:
    """Frames in order, to be kept; `StreamProtocol.durable` acknowledges them.

    Attributes:
        arrivals: the frames.
        seq: everything up to this sequence number has come.
        size: bytes on the wire.
    """

    arrivals: list[Arrival]
    seq: int
    size: int


@dataclass(frozen=True)
class Quiet:
    """Hunter has said nothing for a while, over a channel that is there.

    Attributes:
        seconds: for how long.
    """

    seconds: float


@dataclass(frozen=True)
class Heard:
    """It says something again.

    Attributes:
        seconds: how long it had said nothing.
    """

    seconds: float


@dataclass(frozen=True)
class Disconnected:
    """The channel to hunter is lost.

    Attributes:
        cause: why.
    """

    cause: str


@dataclass(frozen=True)
class Reconnected:
    """Hunter was lost and found.

    Attributes:
        cause: why it was lost.
        seconds: how long.
        attempts: how many it took.
        missing: frames that hunter had given up meanwhile.
    """

    cause: str
    seconds: float
    attempts: int
    missing: int


StreamEvent = FramesReceived | Quiet | Heard | Disconnected | Reconnected
