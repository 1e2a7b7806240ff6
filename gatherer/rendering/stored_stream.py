"""A record stream on disk: where it is, what the capture it belongs to says, and its frames."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatherer.config import DEFAULT_MAX_LOG_SIZE, LinesConfig
from gatherer.errors import ConfigError, StreamError
from gatherer.rendering.accounting import Accounts
from gatherer.rendering.pipeline import CHUNK, Rendering
from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.storage.earlier_capture import SESSION, target_directories
from gatherer.storage.spool import RAW_NAME, SpoolReader, restart_of
from gatherer.stream.receiver import Arrival, Receiver
from hg_shared.errors import UnsupportedVersion

MAX_SESSION = 64 << 20
MAX_COUNTED = 16 << 20
"""Bytes of a spool that are counted when it cannot be rendered: some seconds."""


@dataclass(frozen=True)
class StoredStream:
    """One record stream.

    Attributes:
        path: its file.
        session: what the session.json beside it says; empty when there is none that can be read.
    """

    path: Path
    session: dict[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The capture's options."""
        options = self.session.get("options")
        return options if isinstance(options, dict) else {}

    @property
    def lines(self) -> LinesConfig:
        """The form of the capture's own logs."""
        default = LinesConfig()
        size, stamps = self._option("string_size", int), self._option("timestamps", str)
        described = bool(self._option("decode_fds", bool))
        hidden = self._option("trace", str) if described else None
        return LinesConfig(
            default.string_size if size is None else size,
            stamps or default.timestamps,
            hidden or "",
            described,
        )

    @property
    def max_log_size(self) -> int:
        """The capture's own size limit, bytes."""
        size: int | None = self._option("max_log_size_bytes", int)
        return DEFAULT_MAX_LOG_SIZE if size is None else size

    def _option(self, name: str, kind: type[Any]) -> Any:
        value = self.options.get(name)
        return value if type(value) is kind else None

    def chunks(self) -> Iterator[bytes]:
        """Yields the file's bytes.

        Raises:
            LogWriteError: it cannot be read.
        """
        with SpoolReader(self.path) as reader:
            while data := reader.read(CHUNK):
                yield data

    def arrivals(self, receiver: Receiver) -> Iterator[Arrival]:
        """Yields the frames.

        Args:
            receiver: what counts damage on the way.

        Raises:
            LogWriteError: the file cannot be read.
            StreamError: it is of another version, or no record stream at all.
        """
        try:
            for data in self.chunks():
                yield from receiver.receive_data(data)
            yield from receiver.receive_eof()
        except UnsupportedVersion as error:
            raise StreamError(
                f"{self.path}: {error}", "use the gatherer that captured it"
            ) from error
        if receiver.hello is None:
            raise StreamError(
                f"{self.path} is no record stream",
                f"give a {RAW_NAME} that gatherer capture --raw kept",
            )


class _Unwritten:
    """Takes lines, and keeps none."""

    table: DescriptorTable | None = None
    waits = False
    undecoded = 0
    written = 0

    def append(self, name: str, data: bytes) -> None:
        """Does nothing."""

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Returns no lines."""
        return b""

    def note(self, time_ns: int, text: str) -> bytes:
        """Returns no line."""
        return b""

    def finish(self) -> bytes:
        """Returns no lines."""
        return b""


def received(path: Path) -> Accounts | None:
    """Returns what a spool holds, whether or not it was rendered; None of one that is large.

    Args:
        path: the spool.

    Raises:
        GathererError: it cannot be read.
    """
    nothing = _Unwritten()
    rendering = Rendering(nothing, lambda _hello, _process: nothing, 1)
    stream = StoredStream(path, {})
    try:
        if path.stat().st_size > MAX_COUNTED:
            return None
    except OSError:
        return None
    for data in stream.chunks():
        rendering.receive_data(data)
    return rendering.accounts


def find(path: Path) -> StoredStream:
    """Returns the stream that a file or a capture directory holds.

    Args:
        path: the file, or a directory with `records.hgs.partial` or `records.hgs`.

    Raises:
        ConfigError: there is none.
    """
    if path.is_dir():
        directory = path
        found = _streams(path)
        if not found:
            raise ConfigError(
                f"there is no record stream in {path}", "it is kept by gatherer capture --raw"
            )
        path = found[0]
    elif path.exists():
        directory = path.parent
    else:
        raise ConfigError(
            f"there is no {path}", f"give a {RAW_NAME}, or a capture directory that holds one"
        )
    return StoredStream(path, _session(directory / SESSION))


def unfinished_targets(path: Path) -> list[Path]:
    """Returns the targets of a capture of many that were not rendered to their end.

    Args:
        path: anything; only the directory of such a capture has any.
    """
    return [
        directory
        for directory in target_directories(path)
        if any(stream.suffix == ".partial" for stream in _streams(directory))
    ]


def _streams(directory: Path) -> list[Path]:
    """Returns the streams in a directory: unfinished ones first, earlier instances first."""
    try:
        names = [path for path in directory.iterdir() if restart_of(path.name) is not None]
    except OSError as error:
        raise ConfigError(
            f"cannot read {directory}: {error.strerror}", "give a capture directory of your own"
        ) from error
    return sorted(names, key=lambda path: (path.suffix != ".partial", restart_of(path.name) or 0))


def _session(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_SESSION))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
