"""The capture directory of one target: session.json, events.jsonl, memory.jsonl."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiofiles

from gatherer.storage.earlier_capture import AGENTS, EVENTS, MEMORY, METRICS, SESSION
from gatherer.storage.logs import append_whole, write_error
from gatherer.storage.output_directory import OutputDirectory, replace_json
from gatherer.text import json_line


class CaptureDirectory(OutputDirectory):
    """One capture's files, locked against a second capture while it is open."""

    def __init__(self, path: Path) -> None:
        self._agent_files: dict[str, bytes] = {}
        super().__init__(path)

    def prepare(self) -> None:
        """Makes the files that are there from the start, once session.json says whose they are.

        Raises:
            LogWriteError: it cannot be done.
        """
        for name in (EVENTS, MEMORY):
            self._append(name, b"")
        early, self._agent_files = self._agent_files, {}
        for name, data in early.items():
            with _writes(path := self._agent_path(name)), open(path, "wb", opener=_private) as file:
                file.write(data)

    def write_session(self, document: Mapping[str, Any]) -> None:
        """Replaces session.json; a reader sees the old or the new one, never a part.

        Args:
            document: the whole document.

        Raises:
            LogWriteError: it could not be written; the former one stays.
        """
        replace_session(self.path, document)

    def append_event(
        self, time: str, event: str, pid: int | None, fields: Mapping[str, Any]
    ) -> None:
        """Appends one object to events.jsonl.

        Args:
            time: RFC 3339 on the capture clock.
            event: the event's name.
            pid: the process concerned, None for none.
            fields: the event's own fields; they cannot replace the ones above.

        Raises:
            LogWriteError: it could not be written.
        """
        head: dict[str, Any] = {"time": time, "event": event}
        if pid is not None:
            head["pid"] = pid
        self._append_json(EVENTS, head, fields)

    def append_memory(self, time: str, pid: int | None, values: Mapping[str, Any]) -> None:
        """Appends one sample to memory.jsonl.

        Args:
            time: RFC 3339 on the capture clock.
            pid: the process, None for the container.
            values: byte counts and counters by name.

        Raises:
            LogWriteError: it could not be written.
        """
        if pid is None:
            self._append_json(MEMORY, {"time": time, "container": values}, {})
        else:
            self._append_json(MEMORY, {"time": time, "pid": pid}, values)

    def append_own_memory(self, time: str, values: Mapping[str, Any]) -> None:
        """Appends what hunter itself uses to memory.jsonl.

        Args:
            time: RFC 3339 on the capture clock.
            values: byte counts and CPU seconds by name.

        Raises:
            LogWriteError: it could not be written.
        """
        self._append_json(MEMORY, {"time": time, "hunter": values}, {})

    def append_metrics(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Appends objects to metrics.jsonl; nothing is created for none.

        Args:
            lines: one object a line, `time` first.

        Raises:
            LogWriteError: they could not be written.
        """
        if lines:
            text = "".join(json_line(line) + "\n" for line in lines)
            self._append(METRICS, text.encode("ascii"))

    async def write_agent_file(self, name: str, data: bytes) -> None:
        """Writes a file in agents/, which is made when it is not there.

        Args:
            name: of gatherer's own making, never an agent's.
            data: all of it; a former file is replaced. Before the capture has begun it is kept.

        Raises:
            LogWriteError: it could not be written.
        """
        if not self.begun:
            self._agent_files[name] = data
            return
        with _writes(path := self._agent_path(name)):
            async with aiofiles.open(path, "wb", opener=_private) as file:
                await file.write(data)

    def _agent_path(self, name: str) -> Path:
        directory = self.path / AGENTS
        with _writes(directory):
            directory.mkdir(mode=0o700, exist_ok=True)
        return directory / name

    def _append_json(self, name: str, head: dict[str, Any], rest: Mapping[str, Any]) -> None:
        value = head | {key: rest[key] for key in rest if key not in head}
        self._append(name, json_line(value).encode("ascii") + b"\n")

    def _append(self, name: str, data: bytes) -> None:
        path = self.path / name
        with _writes(path):
            descriptor = _private(str(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                append_whole(descriptor, data)
            finally:
                os.close(descriptor)


class TargetDirectory(CaptureDirectory):
    """The capture directory of one of many targets, which is not there before its capture begins.

    Args:
        path: the directory.
        above: holds those of all targets; it begins with the first of them.
    """

    def __init__(self, path: Path, above: OutputDirectory) -> None:
        self._above = above
        self._opened = False
        super().__init__(path)

    def begin(self) -> None:
        """Begins, as `OutputDirectory.begin`; the directory is made and locked first.

        Raises:
            OutputUnusable: it cannot be used; see `OutputDirectory`.
        """
        self._above.begin()
        if not self._opened:
            super()._open()
            self._opened = True
        super().begin()

    def _open(self) -> None:
        """Does nothing: what an earlier capture of all targets left is still in the way."""


def replace_session(path: Path, document: Mapping[str, Any]) -> None:
    """Replaces session.json; a reader sees the old or the new one, never a part.

    Args:
        path: the capture directory.
        document: the whole document.

    Raises:
        LogWriteError: it could not be written; the former one stays.
    """
    replace_json(path / SESSION, document)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


@contextmanager
def _writes(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error
