"""Takes Collector's heap profile through a process that outlives gatherer, see `heap_main`."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import gatherer
import hg_shared
from gatherer.agents.heap_main import switch_off
from gatherer.agents.scrape.endpoints import Endpoint
from gatherer.errors import ScrapeError
from hg_shared import mark

MAX_LINE = 1 << 20
_PROGRAM = mark.PYTHON + (
    "import sys; sys.path += [p for p in sys.argv[1:3] if p not in sys.path]\n"
    "from gatherer.agents.heap_main import main; sys.exit(main())"
)


class HeapProcess:
    """One profile.

    Args:
        endpoint: the same server, for the case that the process is killed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._process: asyncio.subprocess.Process | None = None
        self._state = ""

    async def take(self, request: dict[str, Any]) -> bytes:
        """Takes a profile; `stop` ends it early.

        Cancelling it leaves the process to switch the profiler off.

        Args:
            request: kubeconfig, context, namespace, pod, port, seconds.

        Returns:
            The profile.

        Raises:
            ScrapeError: there is none.
        """
        roots = [str(Path(package.__path__[0]).parent) for package in (gatherer, hg_shared)]
        try:
            process = await asyncio.create_subprocess_exec(
                # Without -P a module in the current directory could take the place of another.
                *(sys.executable, "-P", "-c", _PROGRAM, *roots),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                limit=MAX_LINE,
            )
        except OSError as error:
            raise ScrapeError(f"cannot start a process: {error.strerror}") from error
        self._process = process
        assert process.stdin is not None
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        try:
            return await self._follow(process)
        finally:
            process.stdin.close()

    def stop(self) -> None:
        """Lets it end early."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def _follow(self, process: asyncio.subprocess.Process) -> bytes:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = json.loads(line)
            self._state = told["state"]
            if self._state == "profile":
                data = await process.stdout.readexactly(told["size"])
                await process.wait()
                return data
            if self._state == "skipped":
                raise ScrapeError(told["reason"])
            if self._state == "failed":
                raise ScrapeError(told["cause"], told["remedy"])
        await process.wait()
        if self._state == "on":
            await switch_off(self._endpoint)
        raise ScrapeError("the process that took the heap profile died", "take it again")
