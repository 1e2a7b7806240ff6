"""The capture directory: who may use it, what an earlier capture left, and its JSON files."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatherer.clock import compact_utc
from gatherer.errors import LogWriteError, OutputUnusable
from gatherer.logs import write_all, write_error
from gatherer.spool import SPOOL_NAME, restart_of

SESSION = "session.json"
EVENTS = "events.jsonl"
MEMORY = "memory.jsonl"
PREVIOUS = "previous"
MAX_DEPTH = 16
_CAPTURE_FILES = (
    SESSION, EVENTS, MEMORY, SPOOL_NAME,
    "metrics.jsonl", "agents", "records.hgs", "report.html",
)  # fmt: skip
_LOG = re.compile(r"[A-Za-z0-9._-]{1,64}-\d+(\.restart\d+)?(\.\d+)?\.log", re.ASCII)
_STARTED = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?Z", re.ASCII)


class CaptureDirectory:
    """One capture's files, locked against a second capture while it is open.

    Attributes:
        path: the directory.
        moved_to: where an earlier capture was moved, None when there was none.
    """

    def __init__(self, path: Path) -> None:
        """Creates the directory, locks it and moves what an earlier capture left.

        Args:
            path: the directory; missing parents are created too.

        Raises:
            OutputUnusable: it cannot be created, written or locked.
        """
        self.path = path
        self.moved_to: Path | None = None
        self._lock = -1
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._move_earlier()
            for name in (EVENTS, MEMORY):
                self._append(name, b"")
        except BlockingIOError as error:
            self.close()
            raise OutputUnusable(
                f"another capture is writing to {path}", "give another directory with -o"
            ) from error
        except LogWriteError as error:
            self.close()
            raise OutputUnusable(error.cause, "give a directory that can be written with -o") from (
                error
            )
        except OSError as error:
            self.close()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OutputUnusable(
                f"cannot use {path} as the capture directory: {reason}",
                "give a directory that can be written with -o",
            ) from error

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

    def close(self) -> None:
        """Unlocks the directory; a second call does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _append_json(self, name: str, head: dict[str, Any], rest: Mapping[str, Any]) -> None:
        value = head | {key: rest[key] for key in rest if key not in head}
        self._append(name, json_line(value).encode("ascii") + b"\n")

    def _append(self, name: str, data: bytes) -> None:
        path = self.path / name
        try:
            descriptor = os.open(
                path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise write_error(path, error) from error

    def _move_earlier(self) -> None:
        found = sorted(
            name
            for name in os.listdir(self.path)
            if name in _CAPTURE_FILES
            or _LOG.fullmatch(name)
            or restart_of(name.removesuffix(".partial")) is not None
        )
        if not found:
            return
        previous = self.path / PREVIOUS
        previous.mkdir(mode=0o700, exist_ok=True)
        stem = self._started(found)
        place, count = previous / stem, 1
        while True:
            try:
                place.mkdir(mode=0o700)
                break
            except FileExistsError:
                count += 1
                place = previous / f"{stem}.{count}"
        for name in found:
            os.rename(self.path / name, place / name)
        self.moved_to = place

    def _started(self, found: list[str]) -> str:
        """Returns when the earlier capture started: as it says, else as its oldest file says."""
        try:
            text = (self.path / SESSION).read_bytes()[: 64 << 20]
            started = json.loads(text)["started"]
            match = _STARTED.fullmatch(started)
            if match:
                return "{}{}{}T{}{}{}Z".format(*match.groups()[:6])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass  # A capture that was cut short may have no readable session.json.
        oldest = min(os.lstat(self.path / name).st_mtime_ns for name in found)
        return compact_utc(oldest)


def replace_session(path: Path, document: Mapping[str, Any]) -> None:
    """Replaces session.json; a reader sees the old or the new one, never a part.

    Args:
        path: the capture directory.
        document: the whole document.

    Raises:
        LogWriteError: it could not be written; the former one stays.
    """
    data = json.dumps(_plain(document), indent=2, allow_nan=False).encode("ascii") + b"\n"
    final = path / SESSION
    partial = path / (SESSION + ".partial")
    try:
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        os.replace(partial, final)
    except OSError as error:
        try:
            partial.unlink()
        except OSError:
            pass  # The first error says more.
        raise write_error(final, error) from error


def lock_directory(path: Path) -> int:
    """Locks a capture directory that is not to be captured into; returns what holds the lock.

    Args:
        path: the directory, which exists.

    Raises:
        OutputUnusable: a capture is writing to it, or it cannot be opened.
    """
    lock = -1
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if lock < 0:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OutputUnusable(
                f"cannot open {path}: {reason}", "give a capture directory of yours"
            ) from error
        os.close(lock)
        raise OutputUnusable(
            f"a capture is writing to {path}", "end it first; it renders what it captured"
        ) from error
    return lock


def json_line(value: Mapping[str, Any]) -> str:
    """Returns an object as one line of ASCII, without its line break.

    Args:
        value: anything json.loads can give, and tuples.
    """
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns the value as JSON can say it: no NaN, no infinity, no depth that a reader refuses."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if depth == MAX_DEPTH:
            return None
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return None if depth == MAX_DEPTH else [_plain(item, depth + 1) for item in value]
    return value
