"""What runs beside a capture and reports at its end: node agents. Seen from the session.

A companion can neither end a capture nor hold it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gatherer.capture_dir import CaptureDirectory
from gatherer.runtimes import Target
from gatherer.session_document import AgentAccount, SessionDocument
from gatherer.view import View


class Companion(Protocol):
    """Runs beside one capture; none of its methods raises."""

    def start(self) -> None:
        """Begins."""
        ...

    def greeted(self) -> None:
        """Hunter runs: the capture's clock is known."""
        ...

    def stop(self) -> None:
        """Says that the capture's stream has ended: it looks once more."""
        ...

    async def finish(self) -> Sequence[AgentAccount]:
        """Ends, within seconds, and returns what there is to say."""
        ...

    async def cancel(self) -> None:
        """Ends at once; after `finish` it does nothing."""
        ...


CompanionFactory = Callable[[Target, CaptureDirectory, View, SessionDocument], Companion]
"""Makes the companion of a capture."""
