"""The exec protocol inside the websocket: bytes in, events out.

Every binary message is one channel byte and a payload. v5 (KEP-4006, "Transition from SPDY to
WebSockets") adds a message that half-closes a channel: byte 255 and the channel's number. The end
is a metav1.Status on channel 3; a connection that closes without one says nothing about the remote
process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from gatherer.errors import ExecError
from gatherer.kube.objects.models import Status

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
SUBPROTOCOLS = (V5, V4)
"""In the order in which they are offered."""

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
_CLOSE = 255

STDIN_MESSAGE_SIZE = 32 * 1024
"""Bytes of stdin per message: what kubectl sends, so what every server in between has seen."""

_MAX_EXIT_CODE = 0xFFFFFFFF  # Windows containers have 32-bit exit codes


@dataclass(frozen=True)
class StreamData:
    """Bytes of the remote process.

    Attributes:
        channel: `STDOUT` or `STDERR`.
        data: never empty.
    """

    channel: int
    data: bytes


@dataclass(frozen=True)
class ChannelClosed:
    """The server half-closed a channel (v5).

    Attributes:
        channel: its number.
    """

    channel: int


@dataclass(frozen=True)
class ExecExited:
    """The remote process ran and ended.

    Attributes:
        code: exit code, 128 + signal for a signal.
    """

    code: int


@dataclass(frozen=True)
class ExecFailed:
    """The remote process could not be started, or the runtime lost it.

    Attributes:
        status: what the server says.
    """

    status: Status


@dataclass(frozen=True)
class ExecInterrupted:
    """The connection ended without a Status: what became of the process is not known.

    Attributes:
        reason: how the connection ended.
    """

    reason: str


ExecEnd = Union[ExecExited, ExecFailed, ExecInterrupted]
ExecEvent = Union[StreamData, ChannelClosed, ExecExited, ExecFailed, ExecInterrupted]


class ExecChannels:
    """One exec's channels, from the client's side.

    Args:
        subprotocol: the one the server chose.

    Raises:
        ExecError: the server chose none, or one that was not offered.
    """

    def __init__(self, subprotocol: str | None) -> None:
        if subprotocol not in SUBPROTOCOLS:
            raise ExecError(
                f"the server chose the exec subprotocol {subprotocol!r}, not {V5} or {V4}",
                "look for a proxy between here and the API server that alters websockets",
            )
        self._half_close = subprotocol == V5
        self._end: ExecExited | ExecFailed | None = None

    @property
    def end(self) -> ExecExited | ExecFailed | None:
        """The end of the process, None while no Status has come."""
        return self._end

    @property
    def can_close_stdin(self) -> bool:
        """Whether stdin can be closed while stdout stays open: v5 only."""
        return self._half_close

    def receive_message(self, message: bytes) -> ExecEvent | None:
        """Takes one binary message.

        Returns:
            Its event; None for the empty message with which the server announces a channel, which
            is not its end.

        Raises:
            ExecError: the message belongs to no channel that a server may send on, or the Status
                is unreadable or the second one.
        """
        if not message:
            raise ExecError("the server sent an exec message without a channel")
        channel = message[0]
        if channel in (STDOUT, STDERR):
            return StreamData(channel, message[1:]) if len(message) > 1 else None
        if channel == ERROR:
            return self._receive_status(message[1:])
        if channel == _CLOSE and self._half_close and len(message) == 2 and message[1] <= RESIZE:
            return ChannelClosed(message[1])
        raise ExecError(f"the server sent an exec message that starts with {message[:2].hex(' ')}")

    def receive_eof(self, reason: str) -> ExecEnd:
        """Takes the end of the connection.

        Args:
            reason: how it ended, for `ExecInterrupted`.

        Returns:
            The end that was told, or `ExecInterrupted`.
        """
        return self._end if self._end is not None else ExecInterrupted(reason)

    def send_stdin(self, data: bytes) -> Iterator[bytes]:
        """Yields the messages that carry these bytes to stdin."""
        view = memoryview(data)
        for start in range(0, len(view), STDIN_MESSAGE_SIZE):
            yield b"\x00" + view[start : start + STDIN_MESSAGE_SIZE]

    def close_stdin(self) -> bytes:
        """Returns the message that half-closes stdin.

        Raises:
            ExecError: the subprotocol is v4, which has no such message.
        """
        if not self._half_close:
            raise ExecError(f"{V4} cannot close stdin while the other streams stay open")
        return bytes((_CLOSE, STDIN))

    def _receive_status(self, payload: bytes) -> ExecEvent | None:
        if not payload:
            return None
        if self._end is not None:
            raise ExecError("the server sent a second exec status")
        try:
            document = json.loads(payload)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or "status" not in document:
            raise ExecError("the exec status of the server is unreadable")
        self._end = read_status(Status.from_json(document))
        return self._end


def read_status(status: Status) -> ExecExited | ExecFailed:
    """Tells an exit code from a failure to run.

    Args:
        status: of channel 3.

    Returns:
        `ExecExited` for `Success`, and for `NonZeroExitCode` with a cause `ExitCode` that is a
        positive number; `ExecFailed` for everything else.
    """
    if status.success:
        return ExecExited(0)
    if status.reason == "NonZeroExitCode":
        for cause in status.causes:
            text = cause.message
            if cause.reason == "ExitCode" and text.isascii() and text.isdigit() and len(text) <= 10:
                code = int(text)
                if 0 < code <= _MAX_EXIT_CODE:
                    return ExecExited(code)
    return ExecFailed(status)
