"""The programs of the node that can be ended and started again: its kubelet and its containerd.

What an exec meets meanwhile is what was seen on a real node (v1.36, containerd 2.3):

- while the kubelet is down, connections to it are refused; one that has just started knows no pods
  yet; execs break without a Status, whichever signal ended it;
- an exec whose kubelet goes is sent SIGKILL by containerd, or is not: the context of the request
  that carries the signal has been cancelled by then;
- when containerd goes, execs end with a Status that says Success; their processes run on.

Nothing of a pod is reported, and no container starts, until both are there again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

KUBELET, CONTAINERD = "kubelet", "containerd"
KILL, STOP, START = "kill", "stop", "start"
_SOCKET = "/run/containerd/containerd.sock"


class NodeParts:
    """Both programs.

    Attributes:
        kills_execs: whether containerd's SIGKILL gets through to the processes of execs.
    """

    def __init__(self) -> None:
        self.kills_execs = False
        self._gone: dict[str, str] = {}
        self._boot_ends = 0.0
        self._ended = {KUBELET: asyncio.Event(), CONTAINERD: asyncio.Event()}
        self._up = asyncio.Event()
        self._up.set()
        self._on_start: list[Callable[[], None]] = []

    def when_up(self, call: Callable[[], None]) -> None:
        """Has something called each time both are there again."""
        self._on_start.append(call)

    def end(self, part: str, how: str, kills_execs: bool) -> None:
        """Ends a program.

        Args:
            part: `kubelet` or `containerd`.
            how: `kill` or `stop`: SIGKILL or SIGTERM.
            kills_execs: whether the processes of execs over a kubelet that goes are killed.
        """
        self.kills_execs = kills_execs
        self._gone[part] = how
        self._up.clear()
        # Who waits for it now is told; who comes later waits for the next time.
        self._ended[part].set()
        self._ended[part] = asyncio.Event()

    def start(self, part: str, boot_seconds: float) -> None:
        """Starts a program again.

        Args:
            part: `kubelet` or `containerd`.
            boot_seconds: how long a kubelet does not know its pods.
        """
        self._gone.pop(part, None)
        loop = asyncio.get_running_loop()
        if part == KUBELET:
            self._boot_ends = loop.time() + boot_seconds
        if not self._gone:
            loop.call_at(self._boot_ends, self._arrive)

    def _arrive(self) -> None:
        if not self._gone and not self.booting:
            self._up.set()
            for call in self._on_start:
                call()

    @property
    def up(self) -> bool:
        """Whether both are there and know their pods."""
        return self._up.is_set()

    @property
    def booting(self) -> bool:
        """Whether the kubelet has just started."""
        return asyncio.get_running_loop().time() < self._boot_ends

    async def wait_up(self) -> None:
        """Waits until both are there and know their pods."""
        await self._up.wait()

    async def wait_end(self) -> str:
        """Waits until one of them goes; returns which."""
        waiting = {part: asyncio.ensure_future(event.wait()) for part, event in self._ended.items()}
        try:
            await asyncio.wait(waiting.values(), return_when=asyncio.FIRST_COMPLETED)
            return next(part for part, task in waiting.items() if task.done())
        finally:
            for task in waiting.values():
                task.cancel()
            await asyncio.gather(*waiting.values(), return_exceptions=True)

    def refusal(self, address: str) -> tuple[int, str] | None:
        """Returns code and words with which a request for a container is refused, None if not.

        Args:
            address: of the node.
        """
        if KUBELET in self._gone:
            words = f"dial tcp {address}:10250: connect: connection refused"
            return 500, f"error dialing backend: {words}"
        if self.booting:
            return 404, "pod does not exist"
        if CONTAINERD in self._gone:
            # SIGTERM lets it remove its socket.
            errno = {KILL: "connection refused", STOP: "no such file or directory"}
            return 500, (
                'rpc error: code = Unavailable desc = connection error: desc = "transport: Error'
                f' while dialing: dial unix {_SOCKET}: connect: {errno[self._gone[CONTAINERD]]}"'
            )
        return None
