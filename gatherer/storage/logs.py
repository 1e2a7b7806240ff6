"""The per-process logs: names that nothing hostile can bend, appends that are seen at once.

A log is opened for each append. So any number of processes can be traced without running out of
descriptors, and a directory that is removed under the capture is noticed with the next line.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from gatherer.errors import LogWriteError, StreamError
from gatherer.text import safe_command

ProcessKey = tuple[int, int]
MAX_PROCESSES = 100_000
"""Processes one hunter may declare; more is no container but a hostile stream."""
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

_REMEDIES = {
    errno.ENOSPC: "free some space, or give another directory with -o; what was received is kept",
    errno.EDQUOT: "free some quota, or give another directory with -o; what was received is kept",
    errno.ENOENT: "the directory was removed under the capture; leave it in place until the end",
    errno.EROFS: "give a directory that can be written with -o",
    errno.EACCES: "give a directory that can be written with -o",
}


def write_error(path: str | Path, error: OSError) -> LogWriteError:
    """Returns the error line for a failed write.

    Args:
        path: what was written to.
        error: what the system said.
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    remedy = _REMEDIES.get(error.errno or 0, "check the file system of the capture directory")
    return LogWriteError(f"cannot write {path}: {reason}", remedy)


def too_many_processes(limit: int) -> StreamError:
    """Returns the error for a hunter that declares more processes than there can be."""
    return StreamError(
        f"hunter declares more than {limit} processes",
        "check what runs as hunter in the container",
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of the data; write(2) may take less than it was given.

    Raises:
        OSError: the write failed; a part may be written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def append_whole(
    descriptor: int, data: bytes, write: Callable[[int, bytes], None] = write_all
) -> None:
    """Appends all of the data, or nothing: a file of lines shall not end in a part of one.

    Args:
        descriptor: of a file that is open for appending.
        data: whole lines.
        write: writes all of it.

    Raises:
        OSError: the write failed.
    """
    size = os.fstat(descriptor).st_size
    try:
        write(descriptor, data)
    except OSError:
        with contextlib.suppress(OSError):  # The first error says more.
            os.ftruncate(descriptor, size)
        raise


class LogNames:
    """Gives every process its log name; the same processes in the same order get the same names.

    A name is `<command>-<pid>.log` with the command of the first time it was seen. Another process
    with the same command and pid (the pid was used again) gets `<command>-<pid>.2.log` and so on;
    those of a container that was restarted `<command>-<pid>.restart1.log` and so on.

    Args:
        restart: which restart of the target the processes belong to, 0 for none.
    """

    def __init__(self, restart: int = 0) -> None:
        self._infix = f".restart{restart}" if restart else ""
        self._names: dict[ProcessKey, str] = {}
        self._taken: set[str] = set()

    def assign(self, pid: int, start_time: int, command: str) -> str:
        """Returns the log name of a process.

        Args:
            pid: process id.
            start_time: its start in clock ticks since boot, which tells users of one pid apart.
            command: its name, unchecked.

        Raises:
            StreamError: there are more processes than there can be.
        """
        key = (pid, start_time)
        name = self._names.get(key)
        if name is not None:
            return name
        if len(self._names) >= MAX_PROCESSES:
            raise too_many_processes(MAX_PROCESSES)
        stem = f"{safe_command(command)}-{pid}{self._infix}"
        name, count = f"{stem}.log", 1
        while name in self._taken:
            count += 1
            name = f"{stem}.{count}.log"
        self._taken.add(name)
        self._names[key] = name
        return name


class LogDirectory:
    """Appends to the logs of one capture directory.

    Attributes:
        path: the directory.
        written: bytes appended to all logs.
    """

    def __init__(self, path: Path, write: Callable[[int, bytes], None] = write_all) -> None:
        self.path = path
        self.written = 0
        self._write = write

    def append(self, name: str, data: bytes) -> None:
        """Appends whole lines to a log, creating it with mode 0600.

        Args:
            name: a name from `LogNames`.
            data: rendered lines; nothing is written when it is empty, but the log exists then.

        Raises:
            LogWriteError: the log cannot be opened or written.
        """
        path = self.path / name
        try:
            descriptor = os.open(path, _APPEND, 0o600)
            try:
                if data:
                    append_whole(descriptor, data, self._write)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise write_error(path, error) from error
        self.written += len(data)


class ResumedLogs(LogDirectory):
    """Appends to logs that another process has begun, and leaves out what is in them already.

    The lines of a stream are the same each time it is rendered, so that the bytes of a log say how
    far it is, wherever the other process was ended.
    """

    def __init__(self, path: Path, write: Callable[[int, bytes], None] = write_all) -> None:
        super().__init__(path, write)
        self._known: dict[str, int] = {}

    def append(self, name: str, data: bytes) -> None:
        """Appends those of the lines that are not there yet; see `LogDirectory.append`."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._size(name)
        there = min(known, len(data))
        self._known[name] = known - there
        self.written += there
        super().append(name, data[there:])

    def _size(self, name: str) -> int:
        try:
            return os.lstat(self.path / name).st_size
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise write_error(self.path / name, error) from error
