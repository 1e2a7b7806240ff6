"""An output directory: who may write to it, and when what an earlier capture left is moved."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatherer.errors import OutputUnusable
from gatherer.storage.earlier_capture import EarlierCapture, earlier_capture
from gatherer.storage.logs import write_all, write_error
from gatherer.text import plain_json

PREVIOUS = "previous"
_REMEDY = "give a directory that can be written with -o"


class OutputDirectory:
    """A directory that one capture has for itself while it is open.

    Until the capture begins, nothing in it is moved or made; when it never does, a directory that
    was made for it goes again.

    Attributes:
        path: the directory.
        begun: whether the capture has begun.
        moved_to: where an earlier capture was moved, None when there was none.
        warning: what speaks against the directory, empty when nothing does.
    """

    def __init__(self, path: Path) -> None:
        """Creates the directory where it is not there, and locks it.

        Args:
            path: the directory; missing parents are created too.

        Raises:
            OutputUnusable: it cannot be created, written or locked, everybody may write to it, or
                somebody else's files have names that the capture would use.
        """
        self.path = path
        self.begun = False
        self.moved_to: Path | None = None
        self.warning = ""
        self._lock = -1
        self._made: list[Path] = []
        self._open()

    def begin(self) -> None:
        """Moves what an earlier capture left, once the capture has something to write.

        A second call does nothing.

        Raises:
            OutputUnusable: it cannot be moved.
        """
        if self.begun:
            return
        try:
            earlier = earlier_capture(self.path)
            if earlier is not None:
                self._move(earlier)
        except OSError as error:
            raise _unusable(self.path, error) from error
        self.begun = True

    def close(self) -> None:
        """Unlocks the directory, and takes away what was made in vain; may be called twice."""
        if self._lock < 0:
            return
        if not self.begun:
            for path in reversed(self._made):
                try:
                    path.rmdir()
                except OSError:
                    break  # It is used by others.
        os.close(self._lock)
        self._lock = -1

    def _open(self) -> None:
        """Creates and locks the directory, and looks whether it can be used."""
        path = self.path
        try:
            self._made = [one for one in (*reversed(path.parents), path) if not one.exists()]
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.access(path, os.W_OK | os.X_OK):
                code = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
                raise OSError(code, os.strerror(code))
            self.warning = _others(path, os.fstat(self._lock))
            earlier = earlier_capture(path)
            if earlier is not None:
                _check_previous(path / PREVIOUS)
                for target in earlier.targets:
                    _check_unused(target.path)
        except BlockingIOError as error:
            self._made = []
            self.close()
            raise _in_use(path) from error
        except OutputUnusable:
            self.close()
            raise
        except FileExistsError as error:
            self.close()
            raise OutputUnusable(
                f"cannot use {path} as the capture directory: a part of it is a file, or a link to"
                " nothing",
                _REMEDY,
            ) from error
        except OSError as error:
            self.close()
            raise _unusable(path, error) from error

    def _move(self, earlier: EarlierCapture) -> None:
        """Moves an earlier capture into a directory of its own, below `previous`."""
        for target in earlier.targets:
            _check_unused(target.path)
        previous = self.path / PREVIOUS
        _check_previous(previous)
        previous.mkdir(mode=0o700, exist_ok=True)
        place, count = previous / earlier.started, 1
        while True:
            try:
                place.mkdir(mode=0o700)
                break
            except FileExistsError:
                count += 1
                place = previous / f"{earlier.started}.{count}"
        earlier.move(place)
        self.moved_to = place


def _check_previous(path: Path) -> None:
    """Makes sure that earlier captures are moved to a directory, not to where a link leads.

    Raises:
        OutputUnusable: it is something else.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        what = "a symbolic link, which is not followed" if stat.S_ISLNK(mode) else "no directory"
        raise OutputUnusable(
            f"{path} is {what}, so that an earlier capture cannot be moved there",
            "remove it, or give another directory with -o",
        )


def _check_unused(path: Path) -> None:
    """Makes sure that nobody captures into the directory of a target.

    Raises:
        OutputUnusable: somebody does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _in_use(path) from error
    finally:
        os.close(descriptor)


def _others(path: Path, status: os.stat_result) -> str:
    """Returns what speaks against a directory to which others may write.

    Raises:
        OutputUnusable: everybody may.
    """
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_mode & stat.S_IWOTH:
        raise OutputUnusable(
            f"everybody may write to {path} ({mode}), and could replace what is captured",
            f"give a directory of your own with -o, such as {path / 'strace-logs'}",
        )
    if status.st_mode & stat.S_IWGRP:
        return (
            f"others of group {status.st_gid} may write to {path} ({mode}), and could replace what"
            " is captured"
        )
    own = {str(os.geteuid()), "0", os.environ.get("SUDO_UID")}
    if str(status.st_uid) not in own:
        return f"{path} belongs to user {status.st_uid}, who could replace what is captured"
    return ""


def _unusable(path: Path, error: OSError) -> OutputUnusable:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OutputUnusable(f"cannot use {path} as the capture directory: {reason}", _REMEDY)


def replace_json(path: Path, document: Mapping[str, Any]) -> None:
    """Replaces a JSON file; a reader sees the old or the new one, never a part.

    Args:
        path: the file.
        document: the whole document.

    Raises:
        LogWriteError: it could not be written; the former one stays.
    """
    data = json.dumps(plain_json(document), indent=2, allow_nan=False).encode("ascii") + b"\n"
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
