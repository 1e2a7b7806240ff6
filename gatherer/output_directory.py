"""An output directory: who may write to it, and what becomes of what an earlier capture left."""

from __future__ import annotations

import fcntl
import hashlib
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
METRICS = "metrics.jsonl"
AGENTS = "agents"
TARGETS = "targets.json"
PREVIOUS = "previous"
MAX_DEPTH = 16
NAME_MAX = 255  # bytes, of Linux and macOS
_CAPTURE_FILES = (
    SESSION, EVENTS, MEMORY, TARGETS, SPOOL_NAME,
    METRICS, AGENTS, "records.hgs", "report.html",
)  # fmt: skip
_LOG = re.compile(r"[A-Za-z0-9._-]{1,64}-\d+(\.restart\d+)?(\.\d+)?\.log", re.ASCII)
# Names in Kubernetes have no underscore.
_TARGET = re.compile(r"[a-z0-9-]+_[a-z0-9.-]+_[a-z0-9-]+", re.ASCII)
_STARTED = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?Z", re.ASCII)


def target_directory(namespace: str, pod: str, container: str) -> str:
    """Returns the name of the capture directory of one of many targets.

    Args:
        namespace: of the pod.
        pod: its name; one that is too long for a file name is cut, and its digest added.
        container: its name.
    """
    room = NAME_MAX - len(namespace) - len(container) - 2
    if len(pod) > room:
        digest = hashlib.sha256(pod.encode()).hexdigest()[:8]
        pod = f"{pod[: room - 9]}-{digest}"
    return f"{namespace}_{pod}_{container}"


def target_directories(path: Path) -> list[Path]:
    """Returns the capture directories of many targets that are in a directory, by name.

    Args:
        path: anything; what cannot be read has none.
    """
    try:
        return sorted(one for one in path.iterdir() if _TARGET.fullmatch(one.name) and one.is_dir())
    except OSError:
        return []


class OutputDirectory:
    """A directory that one capture has for itself while it is open.

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
            self._prepare()
        except BlockingIOError as error:
            self.close()
            raise _in_use(path) from error
        except OutputUnusable:
            self.close()
            raise
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

    def close(self) -> None:
        """Unlocks the directory; a second call does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _prepare(self) -> None:
        """Makes the files that are there from the start.

        Raises:
            LogWriteError: it cannot be done.
        """

    def _move_earlier(self) -> None:
        found = sorted(name for name in os.listdir(self.path) if self._is_capture(name))
        if not found:
            return
        for name in found:
            if _TARGET.fullmatch(name):
                self._check_unused(self.path / name)
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

    @staticmethod
    def _check_unused(path: Path) -> None:
        """Makes sure that nobody captures into the directory of a target.

        Raises:
            OutputUnusable: somebody does.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _in_use(path) from error
        finally:
            os.close(descriptor)

    def _is_capture(self, name: str) -> bool:
        """Whether a name is that of a file or directory that a capture leaves."""
        if name in _CAPTURE_FILES or _LOG.fullmatch(name):
            return True
        if restart_of(name.removesuffix(".partial")) is not None:
            return True
        left = (SESSION, EVENTS, SPOOL_NAME)
        return bool(_TARGET.fullmatch(name)) and any(
            (self.path / name / one).is_file() for one in left
        )

    def _started(self, found: list[str]) -> str:
        """Returns when the earlier capture started: as it says, else as its oldest file says."""
        for name in (SESSION, TARGETS):
            try:
                text = (self.path / name).read_bytes()[: 64 << 20]
                match = _STARTED.fullmatch(json.loads(text)["started"])
                if match:
                    return "{}{}{}T{}{}{}Z".format(*match.groups()[:6])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                pass  # A capture that was cut short may have left none that can be read.
        oldest = min(os.lstat(self.path / name).st_mtime_ns for name in found)
        return compact_utc(oldest)


def replace_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replaces a JSON file; a reader sees the old or the new one, never a part.

    Args:
        path: the file.
        document: the whole document.

    Raises:
        LogWriteError: it could not be written; the former one stays.
    """
    data = json.dumps(_plain(document), indent=2, allow_nan=False).encode("ascii") + b"\n"
    partial = path.with_name(path.name + ".partial")
    try:
        descriptor = os.open(
            partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            write_all(descriptor, data)
        finally:
            os.close(descriptor)
        os.replace(partial, path)
    except OSError as error:
        try:
            partial.unlink()
        except OSError:
            pass  # The first error says more.
        raise write_error(path, error) from error


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


def _in_use(path: Path) -> OutputUnusable:
    return OutputUnusable(f"another capture is writing to {path}", "give another directory with -o")


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
