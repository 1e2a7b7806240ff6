"""The states of a stream, and what leads from one to another. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class State(Enum):
    """The state of a stream."""

    CONNECTING = auto()
    """Hunter was started; it has not said Hello."""
    OPEN = auto()
    """Frames come over a channel."""
    LOST = auto()
    """There is no channel, and hunter may still trace."""
    REJOINING = auto()
    """An attempt to reach it over another channel runs."""
    CLOSED = auto()
    """Nothing more comes; `StreamProtocol.exit` says why."""


class Trigger(Enum):
    """An event that changes the state."""

    HELLO = auto()
    CHANNEL_LOST = auto()
    ATTEMPT = auto()
    ATTEMPT_FAILED = auto()
    JOINED = auto()
    END = auto()


TRANSITIONS: Mapping[State, Mapping[Trigger, State]] = {
    State.CONNECTING: {Trigger.HELLO: State.OPEN, Trigger.END: State.CLOSED},
    State.OPEN: {Trigger.CHANNEL_LOST: State.LOST, Trigger.END: State.CLOSED},
    State.LOST: {Trigger.ATTEMPT: State.REJOINING, Trigger.END: State.CLOSED},
    State.REJOINING: {
        Trigger.JOINED: State.OPEN,
        Trigger.ATTEMPT_FAILED: State.LOST,
        Trigger.END: State.CLOSED,
    },
    State.CLOSED: {},
}
CONNECTED = (State.CONNECTING, State.OPEN)
DISCONNECTED = (State.LOST, State.REJOINING)
