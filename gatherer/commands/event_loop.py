"""The event loop of a command, which ends without waiting for threads that wait for something.

A call of the API that is answered late, or never, runs in a thread that cannot be cancelled. What
has to be done to the end is awaited where it is begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")


class _Loop(asyncio.SelectorEventLoop):
    """A loop that leaves its threads when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self.set_default_executor(self._threads)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Begins nothing more in threads, and waits for none; see `gatherer.__main__`.

        Args:
            timeout: without effect.
        """
        self._threads.shutdown(wait=False, cancel_futures=True)


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Runs a command to its end and returns what it returns.

    Args:
        coroutine: the command.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed and not handled by the command.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:  # type: ignore[attr-defined]
        result: Result = runner.run(coroutine)
        return result
