"""Where hunter runs: in a container behind the Kubernetes API, or on this machine.

A runtime finds the target, brings hunter to it and starts it; from then on there is a byte stream
each way, and nothing above this package knows which runtime it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gatherer.text import printable

SILENT = 101
"""Exit code for a hunter that did not say how it ended: as `gatherer.bootstrap` has it."""


@dataclass(frozen=True)
class Target:
    """What is captured, as session.json names it.

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


@dataclass(frozen=True)
class TargetEnd:
    """How an instance of the target ended, as its runtime tells it.

    Attributes:
        reason: in a word: `OOMKilled`, `Error`, `Completed`, `Evicted`, `Deleted`, `NodeLost`, …
        message: the runtime's own words, may be empty.
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

    def words(self) -> str:
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
    """How hunter's process ended.

    Attributes:
        code: exit code, 128 + signal for a signal; None when the channel broke before it was told.
        message: the runtime's own words about the end, empty when it ended well.
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


class HunterChannel(Protocol):
    """A running hunter: its standard streams and its end."""

    inject: str
    """How it got in, see `gatherer.ways`; `none` where the runtime starts it in place."""
    explanation: str
    """Why that way, in one line."""
    container: str
    """Container in which it runs, empty without one."""
    python: str
    """Path of the interpreter that runs it."""

    async def receive(self) -> bytes:
        """Returns the next bytes of stdout, cut anywhere; b"" once, after the last."""
        ...

    async def send(self, data: bytes) -> None:
        """Writes to hunter's stdin.

        Raises:
            ExecError: the channel is broken.
        """
        ...

    async def close_stdin(self) -> None:
        """Half-closes stdin, as far as the channel can."""
        ...

    async def wait(self) -> Exit:
        """Waits for the end; may be called once `receive` has returned b""."""
        ...

    async def aclose(self) -> None:
        """Drops the channel at once; hunter sees the end of its stdin."""
        ...


class Runtime(Protocol):
    """Finds the target and starts hunter on it."""

    async def resolve(self) -> Target:
        """Finds the target and checks that it runs.

        Raises:
            TargetNotRunning: it does not run yet, and may later; may be called again then.
            TargetNotFound: it does not exist, or never will run.
            GathererError: it cannot be asked about.
        """
        ...

    async def changed(self, seconds: float) -> None:
        """Returns when there may be news about a target that does not run.

        Args:
            seconds: how long that takes at most.
        """
        ...

    async def ended(self) -> TargetEnd | None:
        """Asks how the instance that was found last ended; None while it runs.

        Raises:
            GathererError: nobody can tell.
        """
        ...

    async def restarted(self) -> Target:
        """Asks for the instance after the one that was found last, and goes over to it.

        Raises:
            TargetNotRunning: it does not run yet.
            TargetGone: it will not run again.
            GathererError: nobody can tell now.
        """
        ...

    async def start(self, hunter: HunterImage, arguments: Sequence[str]) -> HunterChannel:
        """Brings hunter in and starts it.

        Args:
            hunter: the zipapp.
            arguments: its command line, without the program.

        Raises:
            DeployError: no interpreter, nothing writable, or the digest does not fit.
        """
        ...

    async def rejoin(self, session: str) -> HunterChannel:
        """Opens another channel to a hunter that was started here and lost; may be called again.

        What goes over it first is the handshake of `stream.rejoin`. Its end says nothing about
        the end of hunter: the code of its `Exit` is None.

        Args:
            session: name of hunter's socket, see `hg_shared.messages.Rendezvous`.

        Raises:
            HunterGone: hunter does not run any more; also raised by the channel's `receive`.
            GathererError: it did not work this time, which says nothing about hunter: its node may
                be on its way up.
        """
        ...

    async def aclose(self) -> None:
        """Releases connections; a hunter that still runs sees the end of its stdin."""
        ...
