"""The interface of a runtime: it finds the target, starts hunter on it, and carries bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gatherer.target.values import Exit, HunterImage, Target, TargetEnd


class HunterChannel(Protocol):
    """A running hunter: its standard streams and its end."""

    inject: str
    """How it got in, see `gatherer.inject.plan`; `none` where the runtime starts it in place."""
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

        What goes over it first is the handshake of `gatherer.stream.rejoin`. Its end says nothing
        about the end of hunter: the code of its `Exit` is None.

        Args:
            session: name of hunter's socket, see `hg_shared.messages.SessionKey`.

        Raises:
            HunterGone: hunter does not run any more; also raised by the channel's `receive`.
            GathererError: it did not work this time, which says nothing about hunter: its node may
                be on its way up.
        """
        ...

    async def aclose(self) -> None:
        """Releases connections; a hunter that still runs sees the end of its stdin."""
        ...
