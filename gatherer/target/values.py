"""The target of a capture, how it ended, and how hunter in it ended."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gatherer.text import printable

NAME_MAX = 255  # bytes, of Linux and macOS
SILENT = 101
"""Exit code for a hunter that did not say how it ended: as the guests have it."""


@dataclass(frozen=True)
class Target:
    """The container or machine that is captured, as session.json names it.

    Attributes:
        runtime: `kubernetes` or `local`.
        context: kubeconfig context, empty when there is none.
        namespace: of the pod.
        pod: pod name.
        container: container name.
        node: node name; the host name with runtime `local`.
        image: container image.
        container_id: which instance of the container, empty with runtime `local`.
        seccomp: what the pod's spec calls its seccomp profile, such as `Localhost profile.json`.
    """

    runtime: str
    context: str = ""
    namespace: str = ""
    pod: str = ""
    container: str = ""
    node: str = ""
    image: str = ""
    container_id: str = ""
    seccomp: str = ""


@dataclass(frozen=True, order=True)
class TargetName:
    """One container of one pod.

    Attributes:
        namespace: of the pod.
        pod: its name.
        container: its name.
    """

    namespace: str
    pod: str
    container: str

    @property
    def directory(self) -> str:
        """Name of its capture directory."""
        return target_directory(self.namespace, self.pod, self.container)

    def as_json(self) -> dict[str, str]:
        """Returns the name as JSON objects hold it."""
        return {"namespace": self.namespace, "pod": self.pod, "container": self.container}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}/{self.container}"


@dataclass(frozen=True)
class TargetEnd:
    """The end of an instance of the target, as its runtime tells it.

    Attributes:
        reason: in a word: `OOMKilled`, `Error`, `Completed`, `Evicted`, `Deleted`, `NodeLost`, …
        message: the runtime's own message, may be empty.
        exit_code: of the container's first process, None when it is not told.
        signal: that ended it, 0 when none is told.
        finished_at: RFC 3339 time on the node, empty when it is not told.
        restart_count: restarts of the container so far.
        restarts: whether the runtime runs it again.
        successor: the pod that takes its place, empty when there is none or nobody may tell.
        certain: that it has ended; of a node that does not report nobody knows, and it may be back.
    """

    reason: str
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    finished_at: str = ""
    restart_count: int = 0
    restarts: bool = False
    successor: str = ""
    certain: bool = True

    def text(self) -> str:
        """Returns reason and exit code for a sentence."""
        code = f", exit code {self.exit_code}" if self.exit_code is not None else ""
        return f"{printable(self.reason, 100)}{code}"


@dataclass(frozen=True)
class HunterImage:
    """The zipapp that is brought to the target.

    Attributes:
        data: its bytes.
        sha256: hexadecimal digest of the bytes.
    """

    data: bytes
    sha256: str


@dataclass(frozen=True)
class Exit:
    """The end of hunter's process.

    Attributes:
        code: exit code, 128 + signal for a signal; None when the channel broke before it was told.
        message: the runtime's own message about the end, empty when it ended well.
        stderr: the last lines hunter or its interpreter wrote to stderr.
        certain: that hunter has ended when there is a code. An exec says success when its container
            runtime is restarted, and the process in it runs on.
        silent: for how many seconds hunter had said nothing before it was gone, 0 when that was
            not noticed.
    """

    code: int | None
    message: str = ""
    stderr: str = ""
    certain: bool = True
    silent: float = 0.0


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
