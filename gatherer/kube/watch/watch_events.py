"""The body of a watch: JSON objects, one a line, that may be cut anywhere. Bytes in, events out."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gatherer.errors import ServerError
from gatherer.kube.objects.models import Pod, Status

MAX_LINE = 16 << 20  # bytes; an object in etcd has 1.5 MiB at most
GONE = 410


@dataclass(frozen=True)
class PodList:
    """Pods at one moment.

    Attributes:
        pods: all that the selector takes.
        version: the resource version from which a watch goes on.
    """

    pods: tuple[Pod, ...]
    version: str


@dataclass(frozen=True)
class WatchEvent:
    """One event of a watch of pods.

    Attributes:
        kind: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
        pod: after the change; None for the last two kinds.
        version: resource version after it, empty for `ERROR`.
        status: what went wrong, None but for `ERROR`.
    """

    kind: str
    pod: Pod | None = None
    version: str = ""
    status: Status | None = None


class WatchDecoder:
    """Cuts the body of a watch into events."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def receive_data(self, data: bytes) -> list[WatchEvent]:
        """Takes the next bytes and returns the events that they complete.

        Raises:
            ServerError: what comes is no watch.
        """
        self._rest += data
        if b"\n" not in data:
            self._check(len(self._rest))
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        self._check(len(rest))
        return [_event(line) for line in lines if line.strip()]

    @staticmethod
    def _check(size: int) -> None:
        if size > MAX_LINE:
            raise _no_watch(f"a line of more than {MAX_LINE >> 20} MiB")


def _event(line: bytes) -> WatchEvent:
    try:
        document = json.loads(line)
        kind, value = document["type"], document["object"]
        version = value.get("metadata", {}).get("resourceVersion", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _no_watch("a line that is no event") from None
    if kind == "ERROR":
        return WatchEvent(kind, status=Status.from_json(value))
    if kind == "BOOKMARK":
        return WatchEvent(kind, version=str(version))
    return WatchEvent(str(kind), Pod.from_json(value), str(version))


def _no_watch(what: str) -> ServerError:
    return ServerError(
        f"the API server answered a watch with {what}",
        "look for a proxy between here and the API server that does not pass watches on",
    )
