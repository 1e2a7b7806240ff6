"""Node agents as a capture sees them: they run beside it and report at its end.

They can neither end a capture nor hold it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gatherer.capture.session_document import AgentAccount, SessionDocument
from gatherer.storage.capture_directory import CaptureDirectory
from gatherer.target.values import Target
from gatherer.view.base import CaptureView


class NodeAgents(Protocol):
    """The node agents of one capture; none of the methods raises."""

    def start(self) -> None:
        """Begins."""
        ...

    def on_hello(self) -> None:
        """Hunter runs: the capture's clock is known."""
        ...

    def stop(self) -> None:
        """Says that the capture's stream has ended: they are looked at once more."""
        ...

    async def finish(self) -> Sequence[AgentAccount]:
        """Ends, within seconds, and returns the reports."""
        ...

    async def cancel(self) -> None:
        """Ends at once; after `finish` it does nothing."""
        ...


NodeAgentsFactory = Callable[[Target, CaptureDirectory, CaptureView, SessionDocument], NodeAgents]
"""Makes the node agents of a capture."""
