"""The spool: every sequenced frame as it came, whole frames only, so that it is itself a stream.

What is in the spool is safe from a crash of gatherer, so hunter is told that it may forget it.
Rendering reads the spool and nothing else; when everything is rendered the spool goes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType

from gatherer.errors import LogWriteError
from gatherer.storage.logs import write_all, write_error

SPOOL_NAME = "records.hgs.partial"
RAW_NAME = "records.hgs"
"""The spool's name once all of it is rendered, where it is kept."""

_RESTART_SPOOL = re.compile(r"records\.restart(\d{1,9})\.hgs(\.partial)?", re.ASCII)


def spool_name(restart: int) -> str:
    """Returns the name of the spool of one instance of the target.

    Args:
        restart: which restart, 0 for the first instance.
    """
    return f"records.restart{restart}.hgs.partial" if restart else SPOOL_NAME


def restart_of(name: str) -> int | None:
    """Returns which restart of the target a spool is of, None for other names.

    Args:
        name: of a file in a capture directory.
    """
    if name in (SPOOL_NAME, RAW_NAME):
        return 0
    match = _RESTART_SPOOL.fullmatch(name)
    return int(match[1]) if match else None


class SpoolWriter:
    """Appends frames to the spool.

    Attributes:
        path: the spool file.
        size: bytes in it.
    """

    def __init__(self, path: Path) -> None:
        """Creates the file; it must not exist.

        Raises:
            LogWriteError: it cannot be created.
        """
        self.path = path
        self.size = 0
        try:
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise write_error(path, error) from error

    def append(self, frames: bytes) -> None:
        """Writes whole frames; when it returns they survive the end of this process.

        Args:
            frames: the wire bytes of one or more frames.

        Raises:
            LogWriteError: not everything could be written; the file is cut back to whole frames.
        """
        try:
            write_all(self._descriptor, frames)
        except OSError as error:
            try:
                os.ftruncate(self._descriptor, self.size)
                os.lseek(self._descriptor, self.size, os.SEEK_SET)
            except OSError:
                pass  # The first error says more.
            raise write_error(self.path, error) from error
        self.size += len(frames)

    def sync(self) -> None:
        """Has the system bring the spool to the disk.

        Raises:
            LogWriteError: it failed.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise write_error(self.path, error) from error

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def keep(self) -> Path:
        """Closes the spool and gives it its final name, which is returned.

        Raises:
            LogWriteError: it cannot be renamed.
        """
        self.close()
        final = self.path.with_name(self.path.name.removesuffix(".partial"))
        try:
            os.replace(self.path, final)
        except OSError as error:
            raise write_error(final, error) from error
        return final

    def remove(self) -> None:
        """Closes and deletes the spool, once everything in it is rendered."""
        self.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise LogWriteError(f"cannot remove {self.path}: {reason}") from error


class SpoolReader:
    """Reads a spool from the start, as far as it is said to be written.

    Attributes:
        offset: bytes read so far.
    """

    def __init__(self, path: Path) -> None:
        """Opens the spool.

        Raises:
            LogWriteError: it cannot be opened.
        """
        self._path = path
        self.offset = 0
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise self._unreadable(error) from error

    def read(self, size: int) -> bytes:
        """Returns the next bytes, at most `size`; b"" at the end of what is written.

        Raises:
            LogWriteError: the spool cannot be read.
        """
        try:
            data = os.pread(self._descriptor, size, self.offset)
        except OSError as error:
            raise self._unreadable(error) from error
        self.offset += len(data)
        return data

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> SpoolReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unreadable(self, error: OSError) -> LogWriteError:
        return LogWriteError(
            f"cannot read {self._path}: {os.strerror(error.errno or 0)}",
            "leave the capture directory in place until the end",
        )
