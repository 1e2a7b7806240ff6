"""The parser as a process of its own: parsing never takes the interpreter from the stream.

It is started with the first exposition, serves all captures of this gatherer one after the other,
and is replaced when it dies or takes too long.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import gatherer
import hg_shared
from gatherer.agents.container_filter import ContainerFilter
from gatherer.errors import ScrapeError
from gatherer.timeouts import within
from hg_shared import mark

SECONDS = 30.0
"""How long one exposition may take; 16 MiB take about 3 s."""
MAX_ANSWER = 256 << 20
_PROGRAM = mark.PYTHON + (
    "import sys; sys.path += [p for p in sys.argv[1:3] if p not in sys.path]\n"
    "from gatherer.agents.scrape.parser_main import main; sys.exit(main())"
)


class ParserProcess:
    """Parses expositions in another process."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def parse(
        self, body: bytes, content_type: str, selections: Sequence[ContainerFilter]
    ) -> dict[str, object]:
        """Parses an exposition.

        Args:
            body: of the answer.
            content_type: of the answer.
            selections: what each capture keeps.

        Returns:
            What `Reading.from_json` reads.

        Raises:
            ScrapeError: it is no exposition, took too long or too much memory, or the process
                cannot be started.
        """
        header = {
            "size": len(body),
            "type": content_type,
            "selections": [selection.as_json() for selection in selections],
        }
        async with self._lock:
            try:
                async with within(SECONDS):
                    process = await self._started()
                    assert process.stdin is not None
                    assert process.stdout is not None
                    process.stdin.write(json.dumps(header).encode("ascii") + b"\n" + body)
                    await process.stdin.drain()
                    line = await process.stdout.readline()
                if not line.endswith(b"\n"):
                    raise EOFError
                answer = json.loads(line)
            except (TimeoutError, EOFError, OSError, ValueError, asyncio.CancelledError) as error:
                # Whatever it still says would be taken for the answer to the next request.
                await self._kill()
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise ScrapeError(
                    "the exposition could not be parsed: "
                    + (
                        "it took too long" if isinstance(error, TimeoutError) else "the parser died"
                    ),
                    "reduce what the agent exposes, or leave it out with --agent",
                ) from error
        if "error" in answer:
            raise ScrapeError(*answer["error"])
        reading: dict[str, object] = answer["reading"]
        return reading

    async def aclose(self) -> None:
        """Ends the process."""
        await self._kill()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            roots = [str(Path(package.__path__[0]).parent) for package in (gatherer, hg_shared)]
            self._process = await asyncio.create_subprocess_exec(
                # Without -P a module in the current directory could take the place of another.
                *(sys.executable, "-P", "-c", _PROGRAM, *roots),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                limit=MAX_ANSWER,
            )
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            try:
                process.kill()
            except ProcessLookupError:
                pass
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
