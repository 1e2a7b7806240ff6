"""Commands run in a container by an exec, their output collected.

Nothing here knows where the exec comes from: an `OpenExec` starts a command in the container.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gatherer.errors import ExecError
from gatherer.kube.exec.channels import (
    STDOUT,
    ExecEvent,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from gatherer.text import one_line

_MAX_STDOUT = 8 << 20  # bytes kept: a thousand processes and as many mounts are 1 MB
_MAX_STDERR = 8 * 1024  # bytes kept


class ExecStreams(Protocol):
    """A command that runs in the container, as `gatherer.kube.exec.session` gives it."""

    @property
    def can_close_stdin(self) -> bool:
        """Whether `close_stdin` works."""
        ...

    async def receive(self) -> ExecEvent:
        """Returns the next event, an `ExecEnd` last."""
        ...

    async def send_stdin(self, data: bytes) -> None:
        """Writes to its stdin."""
        ...

    async def close_stdin(self) -> None:
        """Half-closes its stdin."""
        ...

    async def aclose(self) -> None:
        """Drops it."""
        ...


OpenExec = Callable[[Sequence[str], bool], Awaitable[ExecStreams]]
"""Starts a command in the container; the second argument says whether it gets a stdin."""


class StderrTail:
    """The last lines of a stderr, made safe to print."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Takes more of it; the oldest bytes beyond 8 KiB are dropped."""
        self._data += data
        del self._data[:-_MAX_STDERR]

    def remove(self, line: bytes) -> bool:
        """Takes a line out, once. Returns whether it was there."""
        start = self._data.find(line)
        if start >= 0:
            del self._data[start : start + len(line)]
        return start >= 0

    @property
    def text(self) -> str:
        """Its lines without control characters."""
        lines = self._data.decode("utf-8", "replace").splitlines()
        return "\n".join(filter(None, map(one_line, lines)))


@dataclass(frozen=True)
class CommandResult:
    """A command that has ended, or could not be run.

    Attributes:
        end: exit code, or the status of the failure.
        stdout: of it the first 8 MiB.
        stderr: its last lines.
    """

    end: ExecExited | ExecFailed
    stdout: bytes
    stderr: str


async def run_command(open_exec: OpenExec, command: Sequence[str]) -> CommandResult:
    """Runs a command without a stdin to its end.

    Args:
        open_exec: starts commands in the container.
        command: program and arguments.

    Raises:
        ExecError: the channel broke.
        ApiError: the API server refused the exec.
    """
    return await finish(await open_exec(command, False))


async def finish(streams: ExecStreams, stdin: bytes | None = None) -> CommandResult:
    """Returns how a command ends, and drops its streams.

    Args:
        streams: of the command, just started.
        stdin: for it, None for none.

    Raises:
        ExecError: the channel broke.
    """
    stdout, stderr = bytearray(), StderrTail()
    sending = asyncio.ensure_future(_feed(streams, stdin))
    try:
        while True:
            event = await streams.receive()
            if isinstance(event, StreamData):
                if event.channel != STDOUT:
                    stderr.add(event.data)
                elif len(stdout) < _MAX_STDOUT:
                    stdout += event.data
            elif isinstance(event, ExecInterrupted):
                raise interrupted(event)
            elif isinstance(event, (ExecExited, ExecFailed)):
                return CommandResult(event, bytes(stdout), stderr.text)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await streams.aclose()


async def _feed(streams: ExecStreams, data: bytes | None) -> None:
    if data is not None:
        await streams.send_stdin(data)
        if streams.can_close_stdin:
            await streams.close_stdin()


def interrupted(end: ExecInterrupted) -> ExecError:
    """Returns the error for a channel that ended without a status."""
    return ExecError(
        f"the exec channel ended without a status: {end.reason}",
        "check the network and whether the container still runs, and try again",
    )
