"""Hunter on this machine, as a child process: the same pipeline without a cluster."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from gatherer.errors import DeployError, ExecError, HunterGone, TargetGone, TargetNotFound
from gatherer.target.runtime import HunterChannel
from gatherer.target.values import Exit, HunterImage, Target, TargetEnd
from gatherer.text import printable
from hg_shared.messages import SOCKET_PREFIX

READ_SIZE = 256 << 10
MAX_STDERR = 8 << 10
MAX_LISTED = 12
"""Processes that are named where the one that was asked for does not exist."""
TERMINATE_SECONDS = 1.0
"""How long a hunter without a gatherer may take before it is told to end."""


class LocalRuntime:
    """This machine.

    Args:
        pids: the processes that are asked for; each must exist.
    """

    def __init__(self, pids: Sequence[int] = ()) -> None:
        self._pids = tuple(pids)
        self._started: list[LocalHunterChannel] = []

    async def resolve(self) -> Target:
        """Names this machine and checks that a process that is asked for exists.

        Raises:
            TargetNotFound: none of them exists.
            DeployError: this is no Linux machine.
        """
        if sys.platform != "linux":
            raise DeployError("hunter runs on Linux only", "use --runtime kubernetes")
        missing = [pid for pid in self._pids if not psutil.pid_exists(pid)]
        if missing and len(missing) == len(self._pids):
            noun = "process" if len(missing) == 1 else "processes"
            raise TargetNotFound(
                f"no {noun} {', '.join(map(str, missing))} on this machine",
                f"those with the most memory are {_largest()}",
            )
        return Target(runtime="local", node=platform.node())

    async def ended(self) -> TargetEnd | None:
        """Tells whether all processes that were asked for are gone."""
        if self._pids and not any(psutil.pid_exists(pid) for pid in self._pids):
            return TargetEnd("target ended")
        return None

    async def changed(self, seconds: float) -> None:
        """Waits: nobody tells of news here."""
        await asyncio.sleep(seconds)

    async def restarted(self) -> Target:
        """Does not come back: a process that ended is another one when it is started again.

        Raises:
            TargetGone: always.
        """
        raise TargetGone("processes of this machine are not restarted")

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> HunterChannel:
        """Starts hunter with this interpreter, in a session of its own.

        So a Ctrl-C on the terminal reaches gatherer alone, which then ends hunter in order.

        Raises:
            DeployError: no temporary file can be written, or no process started.
        """
        path = _write_temporary(hunter.data)
        try:
            channel = LocalHunterChannel(path)
            await channel.open(
                [
                    *(sys.executable, "-I", "-S", str(path), *arguments),
                    *("--sha256", hunter.sha256, "--remove-self"),
                    *("--exclude-pid", str(os.getpid())),
                ]
            )
        except OSError as error:
            path.unlink(missing_ok=True)
            raise DeployError(
                f"cannot start hunter: {error}", "check the limits of this machine"
            ) from error
        self._started.append(channel)
        return channel

    async def rejoin(self, session: str) -> HunterChannel:
        """Connects to hunter's socket.

        Raises:
            HunterGone: nobody listens.
            ExecError: too many others are being listened to.
        """
        try:
            reader, writer = await asyncio.open_unix_connection("\0" + SOCKET_PREFIX + session)
        except ConnectionRefusedError as error:
            raise HunterGone("hunter does not run any more") from error
        except OSError as error:
            raise ExecError(f"cannot connect to hunter: {error}") from error
        return SocketHunterChannel(reader, writer)

    async def aclose(self) -> None:
        """Sees to it that every hunter ends: nobody comes back to it."""
        for channel in self._started:
            await channel.end()
        self._started.clear()


class LocalHunterChannel:
    """Hunter as a child process.

    Args:
        path: the zipapp, removed with the end of hunter if it is still there.
    """

    inject = "none"
    explanation = "this machine's own Python runs it"
    container = ""

    def __init__(self, path: Path) -> None:
        self.python = sys.executable
        self._path = path
        self._heard = False
        self._process: subprocess.Popen[bytes]
        self._stdout: asyncio.StreamReader
        self._stdin: asyncio.StreamWriter
        self._transports: list[asyncio.BaseTransport] = []
        self._stderr = bytearray()
        self._stderr_done: asyncio.Task[None]
        self._exited: asyncio.Future[int]

    async def open(self, command: Sequence[str]) -> None:
        """Starts the process and connects its streams.

        Not asyncio's subprocess: that kills the child when its transport is closed, and a hunter
        that is left must be able to let its tracees go.

        Raises:
            OSError: it could not be started.
        """
        loop = asyncio.get_running_loop()
        self._process = subprocess.Popen(  # noqa: ASYNC220 (fork and exec take a millisecond)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._exited = loop.create_future()
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._reap)
        self._stdout = asyncio.StreamReader(limit=READ_SIZE)
        stderr = asyncio.StreamReader(limit=MAX_STDERR)
        for reader, pipe in ((self._stdout, self._process.stdout), (stderr, self._process.stderr)):
            transport, _ = await loop.connect_read_pipe(
                lambda reader=reader: asyncio.StreamReaderProtocol(reader),  # type: ignore[misc]
                pipe,
            )
            self._transports.append(transport)
        writing, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop=loop), self._process.stdin
        )
        self._transports.append(writing)
        self._stdin = asyncio.StreamWriter(writing, protocol, None, loop)
        self._stderr_done = asyncio.ensure_future(self._read_stderr(stderr))

    async def receive(self) -> bytes:
        """Returns the next bytes of stdout, b"" after the last."""
        data = await self._stdout.read(READ_SIZE)
        self._heard = self._heard or bool(data)
        return data

    async def send(self, data: bytes) -> None:
        """Writes to hunter's stdin.

        Raises:
            ExecError: hunter does not read any more.
        """
        try:
            self._stdin.write(data)
            await self._stdin.drain()
        except (OSError, RuntimeError) as error:
            raise ExecError(f"hunter does not listen any more: {error}") from error

    async def close_stdin(self) -> None:
        """Closes stdin."""
        self._stdin.close()

    async def wait(self) -> Exit:
        """Waits for the end of hunter."""
        status = await asyncio.shield(self._exited)
        await self._stderr_done
        text = self._stderr.decode("utf-8", "replace")
        return Exit(128 - status if status < 0 else status, "", text)

    async def aclose(self) -> None:
        """Closes the streams."""
        self._stdin.close()
        for transport in self._transports:
            transport.close()

    async def end(self) -> None:
        """Closes the streams; a hunter that is still there a second later is told to end.

        One that has said nothing yet has done nothing either, and is told at once.
        """
        await self.aclose()
        if not self._exited.done() and self._heard:
            await asyncio.wait({self._exited}, timeout=TERMINATE_SECONDS)
        if not self._exited.done():
            self._process.send_signal(signal.SIGTERM)
            await asyncio.wait({self._exited}, timeout=TERMINATE_SECONDS)
        if not self._exited.done():
            # It ends by itself; what it leaves is no zombie of ours once we are gone.
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._process.returncode = 0
        self._stderr_done.cancel()
        self._path.unlink(missing_ok=True)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exited.set_result(self._process.wait())

    async def _read_stderr(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(MAX_STDERR):
            self._stderr += data
            del self._stderr[:-MAX_STDERR]


class SocketHunterChannel:
    """A hunter that was joined again.

    Args:
        reader: of its socket.
        writer: of its socket.
    """

    inject = "none"
    explanation = "this machine's own Python runs it"
    container = ""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.python = sys.executable
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        """Returns the next bytes, b"" after the last."""
        try:
            return await self._reader.read(READ_SIZE)
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        """Writes to hunter.

        Raises:
            ExecError: hunter does not read any more.
        """
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise ExecError(f"hunter does not listen any more: {error}") from error

    async def close_stdin(self) -> None:
        """Closes hunter's reading side."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def wait(self) -> Exit:
        """Returns at once: how hunter ended is not told here."""
        return Exit(None, "hunter has closed the connection")

    async def aclose(self) -> None:
        """Closes the connection."""
        self._writer.close()


def _largest() -> str:
    """Returns the processes of this machine with the most memory."""
    found = []
    for process in psutil.process_iter(["memory_info", "name"]):
        memory = process.info["memory_info"]
        if memory is not None and memory.rss and process.pid != os.getpid():
            found.append((-memory.rss, process.pid, printable(process.info["name"] or "", 20)))
    return ", ".join(f"{pid} ({name})" for _, pid, name in sorted(found)[:MAX_LISTED])


def _write_temporary(data: bytes) -> Path:
    path: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix="hunter-", suffix=".pyz")
        path = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        if path is not None:
            path.unlink(missing_ok=True)
        raise DeployError(
            f"cannot write hunter to {tempfile.gettempdir()}: {error.strerror}",
            "set TMPDIR to a directory that can be written",
        ) from error
    return path
