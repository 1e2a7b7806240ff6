"""The files of an earlier capture in a directory, told apart from everything else there.

A capture that is recognised has a session.json, or a targets.json, as gatherer writes it. Its files
are those with the fixed names, and the logs of the processes that it lists. Nobody else's file is
ever touched: one that has such a name is an error that names it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatherer.clock import compact_utc
from gatherer.errors import OutputUnusable
from gatherer.storage.spool import restart_of

SESSION = "session.json"
EVENTS = "events.jsonl"
MEMORY = "memory.jsonl"
METRICS = "metrics.jsonl"
AGENTS = "agents"
TARGETS = "targets.json"
MAX_DOCUMENT = 64 << 20
"""Bytes of a document, or of events, that are read."""
_FILES = (SESSION, EVENTS, MEMORY, METRICS, TARGETS)
_SESSION_PARTS = {"options": dict, "gatherer": dict, "hunter": dict, "processes": list}
_TARGETS_PARTS = {"options": dict, "targets": list, "records": dict}
_LOG = re.compile(r"[A-Za-z0-9._-]{1,64}-(\d+)(\.restart\d+)?(\.\d+)?\.log", re.ASCII)
# Names in Kubernetes have no underscore.
_TARGET = re.compile(r"[a-z0-9-]+_[a-z0-9.-]+_[a-z0-9-]+", re.ASCII)
_STARTED = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?Z", re.ASCII)


@dataclass(frozen=True)
class EarlierCapture:
    """The files that an earlier capture left.

    Attributes:
        path: the directory it is in.
        names: of its files and directories there, sorted.
        targets: what it left in the directories of its targets, by name.
        started: when it started, as a name for a directory: `20261121T104501Z`.
    """

    path: Path
    names: tuple[str, ...]
    targets: tuple[EarlierCapture, ...]
    started: str

    def move(self, place: Path) -> None:
        """Moves all of it.

        Args:
            place: an empty directory on the same file system.

        Raises:
            OSError: something could not be moved; the rest stays where it is.
        """
        for target in self.targets:
            moved = place / target.path.name
            moved.mkdir(mode=0o700)
            target.move(moved)
            try:
                target.path.rmdir()
            except OSError:
                pass  # Somebody keeps other files there.
        for name in self.names:
            os.rename(self.path / name, place / name)


def earlier_capture(path: Path) -> EarlierCapture | None:
    """Returns what an earlier capture left in a directory, None when there was none.

    Args:
        path: the directory.

    Raises:
        OutputUnusable: a name that a capture would use belongs to somebody else's file.
        OSError: the directory cannot be read.
    """
    entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    names = {entry.name for entry in entries}
    session = _document(path / SESSION, _SESSION_PARTS) if SESSION in names else None
    listed = _document(path / TARGETS, _TARGETS_PARTS) if TARGETS in names else None
    known = {SESSION: session is not None, TARGETS: listed is not None}
    any_known = session is not None or listed is not None
    logs = _Logs(path, session)
    ours, targets = [], []
    for entry in entries:
        name = entry.name
        log = _LOG.fullmatch(name)
        if log is not None:
            mine = entry.is_file(follow_symlinks=False) and logs.has(name, int(log[1]))
        elif name == AGENTS:
            mine = any_known and entry.is_dir(follow_symlinks=False)
        elif name.removesuffix(".partial") in _FILES or restart_of(name) is not None:
            mine = known.get(name, any_known) and entry.is_file(follow_symlinks=False)
        else:
            if listed is not None and _is_target(entry):
                below = earlier_capture(path / name)
                targets += [below] if below is not None else []
            continue
        if not mine:
            raise OutputUnusable(
                f"{path / name} is not of a capture, which would use its name",
                "give another directory with -o, or move it away",
            )
        ours.append(name)
    if not ours and not targets:
        return None
    started = _started(session) or _started(listed)
    return EarlierCapture(path, tuple(ours), tuple(targets), started or _oldest(path, ours))


def target_directories(path: Path) -> list[Path]:
    """Returns the capture directories of many targets that are in a directory, by name.

    Args:
        path: anything; what cannot be read has none.
    """
    try:
        return sorted(path / entry.name for entry in os.scandir(path) if _is_target(entry))
    except OSError:
        return []


class _Logs:
    """The logs that an earlier capture wrote.

    Args:
        path: its directory.
        session: its session.json, None when there is none.
    """

    def __init__(self, path: Path, session: dict[str, Any] | None) -> None:
        self._path = path
        processes = session["processes"] if session is not None else []
        listed = [one.get("log") for one in processes if isinstance(one, dict)]
        self._names = {name for name in listed if isinstance(name, str)}
        # What was ended before it could write that down has logs that no document lists.
        self._cut = session is not None and session.get("exit_code") is None
        self._pids: set[int] | None = None

    def has(self, name: str, pid: int) -> bool:
        """Whether a log is one of them.

        Args:
            name: of the file.
            pid: the process that it names.
        """
        if name in self._names:
            return True
        if self._cut and self._pids is None:
            self._pids = set(_attached(self._path / EVENTS))
        return self._cut and pid in (self._pids or ())


def _attached(path: Path) -> Iterator[int]:
    """Yields the pids of the processes that were attached, as events.jsonl says."""
    for line in _content(path).splitlines():
        if b'"event":"attach"' in line:
            try:
                yield int(json.loads(line)["pid"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue


def _document(path: Path, parts: Mapping[str, type[Any]]) -> dict[str, Any] | None:
    """Returns a JSON document when it is one of gatherer's, else None."""
    try:
        value = json.loads(_content(path))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or type(value.get("schema")) is not int:
        return None
    return value if all(isinstance(value.get(name), kind) for name, kind in parts.items()) else None


def _content(path: Path) -> bytes:
    """Returns the first bytes of a regular file, b"" for anything else."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(path, flags), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return file.read(MAX_DOCUMENT) if regular else b""
    except OSError:
        return b""


def _is_target(entry: os.DirEntry[str]) -> bool:
    return bool(_TARGET.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False)


def _started(document: dict[str, Any] | None) -> str:
    started = document.get("started") if document is not None else None
    match = _STARTED.fullmatch(started) if isinstance(started, str) else None
    return "{}{}{}T{}{}{}Z".format(*match.groups()[:6]) if match else ""


def _oldest(path: Path, names: list[str]) -> str:
    times = [os.lstat(path / name).st_mtime_ns for name in names]
    return compact_utc(min(times, default=os.lstat(path).st_mtime_ns))
