"""The parser, in a process of its own: parsing never takes the interpreter from the stream.

It is started with the first exposition, serves all captures of this gatherer one after the other,
and is replaced when it dies or takes too long. Its memory is limited, so that an exposition made
to harm ends this process alone.
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Sequence
from multiprocessing.connection import Connection

from gatherer.agents.child_process import ChildProcess
from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape.exposition import Reading, read_exposition
from gatherer.errors import ScrapeError
from gatherer.timeouts import within

SECONDS = 30.0
"""How long one exposition may take; 16 MiB take about 3 s."""
MAX_ANSWER = 256 << 20
MAX_MEMORY = 1 << 30
"""Bytes of address space."""
_NICE = 5


class Parser:
    """Parses expositions in another process."""

    def __init__(self) -> None:
        self._process: ChildProcess | None = None
        self._lock = asyncio.Lock()

    async def parse(
        self, body: bytes, content_type: str, filters: Sequence[ContainerFilter]
    ) -> Reading:
        """Parses an exposition.

        Args:
            body: of the answer.
            content_type: of the answer.
            filters: what each capture keeps.

        Raises:
            ScrapeError: it is no exposition, took too long or too much memory, or the process
                cannot be started.
        """
        async with self._lock:
            try:
                async with within(SECONDS):
                    process = self._started()
                    await asyncio.to_thread(process.send, (body, content_type, filters))
                    answer = await process.receive(MAX_ANSWER)
            except (TimeoutError, EOFError, OSError, asyncio.CancelledError) as error:
                # Whatever it still says would be taken for the answer to the next request.
                await self.aclose()
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise ScrapeError(
                    "the exposition could not be parsed: "
                    + (
                        "it took too long" if isinstance(error, TimeoutError) else "the parser died"
                    ),
                    "reduce what the agent exposes, or leave it out with --agent",
                ) from error
        if isinstance(answer, Reading):
            return answer
        assert isinstance(answer, ScrapeError)
        raise answer

    async def aclose(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            await process.aclose()

    def _started(self) -> ChildProcess:
        if self._process is None or not self._process.running:
            self._process = ChildProcess(__name__)
        return self._process


def serve(connection: Connection) -> None:
    """Answers each body, content type and filters with a `Reading`, or a `ScrapeError`.

    Args:
        connection: to gatherer.
    """
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    os.nice(_NICE)
    while True:
        try:
            body, content_type, filters = connection.recv()
        except EOFError:
            return
        answer: Reading | ScrapeError
        try:
            answer = read_exposition(body, content_type, filters)
        except ScrapeError as error:
            answer = error
        except MemoryError:
            answer = ScrapeError(
                "the exposition needs too much memory", "reduce what the agent exposes"
            )
        connection.send(answer)
