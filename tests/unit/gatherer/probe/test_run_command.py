"""Commands in a container, over a scripted exec."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import ExecError
from gatherer.kube.exec.channels import (
    STDERR,
    STDOUT,
    ExecEvent,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from gatherer.kube.objects.models import Status
from gatherer.probe.run_command import CommandResult, StderrTail, finish, run_command

SAID = [StreamData(STDOUT, b"out"), StreamData(STDERR, b"err\n"), StreamData(STDOUT, b"put")]
FAILED = ExecFailed(Status(success=False, message="no such file"))


class Streams:
    """Events that are told one by one; what is sent is kept."""

    def __init__(self, events: Sequence[ExecEvent], can_close_stdin: bool = True) -> None:
        self._events = list(events)
        self.can_close_stdin = can_close_stdin
        self.sent = b""
        self.closed: list[str] = []

    async def receive(self) -> ExecEvent:
        await asyncio.sleep(0)
        return self._events.pop(0)

    async def send_stdin(self, data: bytes) -> None:
        self.sent += data

    async def close_stdin(self) -> None:
        self.closed.append("stdin")

    async def aclose(self) -> None:
        self.closed.append("exec")


@pytest.mark.parametrize("end", [ExecExited(0), ExecExited(3), FAILED])
async def test_output_and_end(end: ExecExited | ExecFailed) -> None:
    streams = Streams([*SAID, end])
    asked = []

    async def open_exec(command: Sequence[str], stdin: bool) -> Streams:
        asked.append((command, stdin))
        return streams

    done = await run_command(open_exec, ("cat", "file"))
    assert done == CommandResult(end, b"output", "err")
    assert (asked, streams.sent, streams.closed) == ([(("cat", "file"), False)], b"", ["exec"])


@pytest.mark.parametrize(("can_close", "closed"), [(True, ["stdin", "exec"]), (False, ["exec"])])
async def test_stdin_is_closed_where_it_can_be(can_close: bool, closed: list[str]) -> None:
    streams = Streams([*SAID, ExecExited(0)], can_close)
    await finish(streams, b"data")
    assert (streams.sent, streams.closed) == (b"data", closed)


async def test_a_channel_that_breaks_is_no_end() -> None:
    streams = Streams([*SAID, ExecInterrupted("the connection broke")])
    with pytest.raises(ExecError, match="ended without a status: the connection broke"):
        await finish(streams)
    assert streams.closed == ["exec"]


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_stderr_is_kept_bounded_and_printable(parts: list[bytes]) -> None:
    tail = StderrTail()
    for part in parts:
        tail.add(part)
    assert len(tail.text) <= 8 * 1024
    assert all(line.isprintable() for line in tail.text.split("\n"))
