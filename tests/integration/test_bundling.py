"""Bringing a bundle to real shells, whose stdin ends as containerd ends that of an exec."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gatherer.errors import DeployError
from gatherer.guest.receive_hunter import RECEIVED
from gatherer.inject.portable_python import LOADER, PROGRAM, PortablePython
from gatherer.inject.portable_python_upload import PortablePythonUploader
from gatherer.kube.exec.channels import STDERR, STDOUT, ExecEvent, ExecExited, StreamData
from tests.cluster.standin import pipes

NEEDED = ("cat", "mkdir", "chmod", "rm")
BIG = 900_000
# Stands for the loader, and so for hunter: it tells what it was given and waits for its end.
RUNS = """#!/bin/sh
echo "hunter: received" >&2
read -r line
echo "$line"
read -r line
"""


class LocalExec:
    """One command as containerd runs it (internal/cri/io, ExecIO.Attach).

    Args:
        process: the command.
        stdin: writing end of its stdin.
        half_close: whether the client can close stdin: v5, not v4.
    """

    def __init__(self, process: asyncio.subprocess.Process, stdin: int, half_close: bool) -> None:
        self.can_close_stdin = half_close
        self._process = process
        self._stdin: int | None = stdin
        self._writing: asyncio.Future[None] | None = None
        self._events: asyncio.Queue[ExecEvent] = asyncio.Queue()
        self._running = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(self._pump(process.stdout, STDOUT), self._pump(process.stderr, STDERR))
        await self._events.put(ExecExited(await process.wait()))

    async def _pump(self, stream: asyncio.StreamReader, channel: int) -> None:
        while data := await stream.read(32768):
            await self._events.put(StreamData(channel, data))
        await self.close_stdin()

    async def receive(self) -> ExecEvent:
        return await self._events.get()

    async def send_stdin(self, data: bytes) -> None:
        if self._stdin is not None:
            self._writing = asyncio.ensure_future(pipes.write(self._stdin, data))
            await asyncio.wait({self._writing})

    async def close_stdin(self) -> None:
        """What still waits for room in the pipe is dropped when it is not the client who closes."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        if self._stdin is not None:
            os.close(self._stdin)
            self._stdin = None

    async def aclose(self) -> None:
        await self.close_stdin()
        await self._running


class Container:
    """A container of nothing but a few programs.

    Args:
        directory: for its programs.
        programs: that are in its PATH.
        half_close: whether the server speaks v5.
    """

    def __init__(self, directory: Path, programs: Sequence[str], half_close: bool = True) -> None:
        self._bin = directory / "bin"
        self._bin.mkdir()
        for name in programs:
            found = shutil.which(name)
            assert found is not None
            (self._bin / name).symlink_to(found)
        self.commands: list[tuple[str, ...]] = []
        self._half_close = half_close

    async def open_exec(self, command: Sequence[str], stdin: bool) -> LocalExec:
        self.commands.append(tuple(command))
        ours, theirs = pipes.pipe_to_process()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": str(self._bin)},
        )
        os.close(theirs)
        streams = LocalExec(process, ours, self._half_close)
        if not stdin:
            await streams.close_stdin()
        return streams


def bundle() -> PortablePython:
    big = random.Random(7).randbytes(BIG)
    files = {LOADER: RUNS.encode(), PROGRAM: b"", "lib/libbig.so.1": big, "lib/empty.py": b""}
    return PortablePython("x86_64", "3.11.2", files)


def shell_in(directory: Path, name: str) -> str:
    """Returns the path of a shell that has no other programs beside it."""
    found = shutil.which(name)
    assert found is not None, f"install {name}"
    link = directory / "shell" / "sh"
    link.parent.mkdir()
    link.symlink_to(found)
    return str(link)


@pytest.fixture(params=["dash", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A shell; the latter two run the last command in their own place."""
    return shell_in(tmp_path, request.param)


async def carried(container: Container, shell: str, place: Path) -> AsyncIterator[bytes]:
    """Yields what the program that was brought says, and what it says to what it is told."""
    carrier = PortablePythonUploader(
        container.open_exec, "container 'c'", shell, str(place), bundle()
    )
    hunter = b"zipapp\n"
    started = await carrier.start(hunter, hashlib.sha256(hunter).hexdigest(), ["--frequency", "5"])
    try:
        yield started.stdout
        event = await started.streams.receive()
        while isinstance(event, StreamData) and event.data in (b"", RECEIVED):
            event = await started.streams.receive()
        assert isinstance(event, StreamData)
        yield event.data
    finally:
        await started.streams.aclose()


@pytest.mark.parametrize("tools", [(), ("gzip",), ("sha256sum",), ("gzip", "sha256sum", "wc")])
@pytest.mark.parametrize("half_close", [True, False])
async def test_every_file_arrives_whole(
    tmp_path: Path, shell: str, tools: tuple[str, ...], half_close: bool
) -> None:
    programs = (*NEEDED, *tools, *(() if half_close else ("head",)))
    container = Container(tmp_path, programs, half_close)
    place = tmp_path / "place"
    place.mkdir()
    told = [said async for said in carried(container, shell, place)]
    assert told[-1] == b"zipapp\n"
    assert list(place.iterdir()) == [], "the shell that watches over the directory removes it"


@pytest.mark.parametrize("tools", [(), ("sha256sum",), ("sha256sum", "wc")])
async def test_a_file_that_is_cut_is_not_run(tmp_path: Path, tools: tuple[str, ...]) -> None:
    """As it is on a disk that is full and does not say so, or behind a proxy that loses data."""
    container = Container(tmp_path, (*NEEDED, *tools))
    cut = tmp_path / "bin" / "cat"
    cut.unlink()
    cut.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "sys.stdout.buffer.write(sys.stdin.buffer.read()[:196608])\n"
    )
    cut.chmod(0o755)
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(DeployError) as caught:
        [said async for said in carried(container, shell_in(tmp_path, "dash"), place)]
    how = "its digest differs" if tools == ("sha256sum",) else f"196608 of {BIG} bytes are there"
    assert str(caught.value) == (
        "lib/libbig.so.1 of the bundled Python did not arrive whole in container 'c': "
        f"{how}; see whether the node's disk is full and try again, or use --inject ephemeral"
    )
    assert list(place.iterdir()) == []
    assert not any(LOADER in command[0] for command in container.commands)


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    container = Container(tmp_path, ("cat", "rm"))
    with pytest.raises(DeployError, match=r"missing mkdir chmod"):
        [said async for said in carried(container, shell_in(tmp_path, "dash"), tmp_path)]
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "shell"}
