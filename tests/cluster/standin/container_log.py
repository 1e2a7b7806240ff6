"""Logs of containers in the format of the CRI: one file, every line with time and stream."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tests.cluster.standin import pipes

MAX_BYTES = 10 * 1024 * 1024
_FOLLOW_SECONDS = 0.05


class ContainerLog:
    """Collects what one container writes until both streams end."""

    def __init__(
        self, path: Path, heard: Callable[[str, bytes], Awaitable[None]] | None = None
    ) -> None:
        """Makes an empty log.

        Args:
            path: of the file.
            heard: gets what is read as well, b"" at the end of a stream.
        """
        self.path = path
        self._heard = heard
        self.ended = False
        self._file = path.open("wb")
        self._size = 0
        self._open_streams = 0

    def collect(self, fd: int, stream: str) -> asyncio.Task[None]:
        """Starts to read a stream; the descriptor is closed at its end."""
        self._open_streams += 1
        return asyncio.get_running_loop().create_task(self._collect(fd, stream))

    async def _collect(self, fd: int, stream: str) -> None:
        rest = b""
        try:
            while data := await pipes.read(fd):
                if self._heard is not None:
                    await self._heard(stream, data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._append(stream, "F", line)
                if len(rest) >= 16 * 1024:
                    self._append(stream, "P", rest)
                    rest = b""
            if rest:
                self._append(stream, "P", rest)
        finally:
            os.close(fd)
            if self._heard is not None:
                await self._heard(stream, b"")
            self._open_streams -= 1
            if self._open_streams == 0:
                self.ended = True
                self._file.close()

    def _append(self, stream: str, tag: str, line: bytes) -> None:
        if self._size > MAX_BYTES:
            return
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
        entry = f"{now} {stream} {tag} ".encode() + line + b"\n"
        self._size += len(entry)
        self._file.write(entry)
        self._file.flush()

    async def read(self, tail: int | None, timestamps: bool, follow: bool) -> AsyncIterator[bytes]:
        """Yields the log as ``kubectl logs`` shows it."""
        lines = self.path.read_bytes().splitlines(keepends=True)
        position = sum(map(len, lines))
        for line in lines[-tail:] if tail else ([] if tail == 0 else lines):
            yield _shown(line, timestamps)
        while follow:
            # Asked before the read: what was written before the end is not missed.
            ended = self.ended
            with self.path.open("rb") as file:
                file.seek(position)
                for line in file.read().splitlines(keepends=True):
                    position += len(line)
                    yield _shown(line, timestamps)
            if ended:
                return
            await asyncio.sleep(_FOLLOW_SECONDS)


def _shown(entry: bytes, timestamps: bool) -> bytes:
    time, _, tag, line = entry.split(b" ", 3)
    if tag == b"P":
        line = line.removesuffix(b"\n")
    return time + b" " + line if timestamps else line
