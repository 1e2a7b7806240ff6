"""The renderer as a process of its own: rendering never takes the interpreter from the stream.

It is started as a new program in a session of its own, so that Ctrl-C in a terminal reaches
gatherer alone. It hears how far each spool is written, and reports how far it is; when it dies
another one takes its place and renders the spools again, of which all that is in the logs already
is left out. After a few of them the captures end with an error, and the spools stay. One process
renders any number of spools in turn: an interpreter for each of many targets would be more memory
than everything else together.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import gatherer
import hg_shared
from gatherer.config import LinesConfig
from gatherer.errors import GathererError
from gatherer.rendering.progress import Progress, ReportedProgress
from gatherer.text import printable
from gatherer.timeouts import within
from hg_shared import mark

CLOSE_SECONDS = 3.0
"""How long it may take to finish the chunk it is at when it is told to stop."""
MAX_BACKLOG = 4 << 30
"""Bytes of all spools that may wait to be rendered; then their streams are not read on."""
FAIR_BACKLOG = 64 << 20
"""Bytes of one spool that may wait whatever those of others do."""
MAX_REPORT = 64 << 20
MAX_STARTS = 5
"""How often the process is started for the spools it has; what ends it may well be in a spool."""
_PROGRAM = mark.PYTHON + (
    "import sys; sys.path += [p for p in sys.argv[1:3] if p not in sys.path]\n"
    "from gatherer.rendering.worker import main; sys.exit(main())"
)


class RendererProcess:
    """A process that renders spools; it runs while there are any.

    Args:
        lines: how lines look, and which there are.
        max_log_size: bytes of lines that one log may hold.
        note: shows a sentence.
    """

    def __init__(
        self, lines: LinesConfig, max_log_size: int, note: Callable[[str], None] | None = None
    ) -> None:
        self._arguments = [json.dumps(asdict(lines)), str(max_log_size)]
        self._note = note
        self._count = 0
        self._starts = 0
        self._opened = False
        self._spools: dict[int, SpoolRenderer] = {}
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def backlog(self) -> int:
        """Bytes of all spools that wait to be rendered."""
        return sum(renderer.backlog for renderer in self._spools.values())

    def renderer(self, spool: Path) -> SpoolRenderer:
        """Returns the renderer of a spool; its logs are written beside it.

        Args:
            spool: the spool; it must exist when the renderer is opened.
        """
        self._count += 1
        return SpoolRenderer(self, self._count, spool)

    async def join(self, renderer: SpoolRenderer) -> None:
        """Takes a spool, and starts the process for the first one.

        Raises:
            GathererError: it cannot be started.
        """
        async with self._starting:
            if self._process is None:
                self._process = await self._start()
                self._starts, self._opened = 1, False
                self._reading = asyncio.ensure_future(self._serve(self._process))
            self._spools[renderer.number] = renderer

    def say(self, order: str) -> None:
        """Gives an order, see gatherer.rendering.worker."""
        stdin = self._process.stdin if self._process is not None else None
        if stdin is not None and not stdin.is_closing():
            stdin.write(order.encode("ascii"))

    async def close(self, renderer: SpoolRenderer) -> None:
        """Forgets a spool, and after the last one waits for the end of the process."""
        if self._spools.pop(renderer.number, None) is None or self._spools:
            return
        async with self._starting:
            process, reading = self._process, self._reading
            if self._spools or process is None or reading is None:
                return
            self._process = None
            stdin = process.stdin
            assert stdin is not None
            stdin.close()
            if not self._opened:
                # Perhaps it has not even loaded yet; there is nothing that it could leave behind.
                process.kill()
            try:
                async with within(CLOSE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
            await reading

    def open(self, renderer: SpoolRenderer) -> None:
        """Begins to render a spool."""
        self._opened = True
        self.say(f"open {renderer.number} {json.dumps(str(renderer.spool))}\n")

    def kill_unless_shared(self, renderer: SpoolRenderer) -> None:
        """Ends the process when it does not react, unless it serves others too."""
        if self._process is not None and set(self._spools) <= {renderer.number}:
            self._process.kill()

    async def _start(self) -> asyncio.subprocess.Process:
        roots = [str(Path(package.__path__[0]).parent) for package in (gatherer, hg_shared)]
        try:
            return await asyncio.create_subprocess_exec(
                # Without -P a module in the current directory could take the place of another.
                *(sys.executable, "-P", "-c", _PROGRAM, *roots, *self._arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                limit=MAX_REPORT,
            )
        except OSError as error:
            raise GathererError(
                f"cannot start the renderer: {error.strerror}", "free some memory or processes"
            ) from error

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        """Takes the reports, of one process after the other where they end before their time."""
        while True:
            how = await self._read(process)
            if self._process is not process:
                return
            self._process = None
            if not any(renderer.waits for renderer in self._spools.values()):
                return
            if self._starts >= MAX_STARTS:
                failure = f"{how}, the last of {MAX_STARTS}"
                break
            if self._note is not None:
                self._note(f"the renderer ended early: {how}; another one renders on")
            try:
                async with self._starting:
                    process = self._process = await self._start()
            except GathererError as error:
                failure = f"{how}; {error.cause}"
                break
            self._starts += 1
            for renderer in self._spools.values():
                renderer.resume()
        for renderer in self._spools.values():
            renderer.died(failure)

    async def _read(self, process: asyncio.subprocess.Process) -> str:
        """Takes the reports, and after the last one returns how the process ended."""
        stdout, stderr = process.stdout, process.stderr
        assert stdout is not None
        assert stderr is not None
        said = asyncio.ensure_future(_tail(stderr))
        while line := await stdout.readline():
            if line.endswith(b"\n"):
                report = json.loads(line)
                renderer = self._spools.get(report["spool"])
                if renderer is not None:
                    renderer.apply(report)
        return _end_text(await process.wait(), await said)


class SpoolRenderer:
    """Renders one growing spool in another process; see `gatherer.rendering.renderer.Renderer`.

    Args:
        process: the other process.
        number: of the spool in it.
        spool: the spool.

    Attributes:
        number: as given.
        spool: as given.
        done: finished when everything was rendered, or with the error that stopped it.
    """

    def __init__(self, process: RendererProcess, number: int, spool: Path) -> None:
        self.number = number
        self.spool = spool
        self._process = process
        self._reported = ReportedProgress()
        self._available = 0
        self._closed = asyncio.Event()
        self._joined = False
        self._opened = False
        self._finishing = False
        self._leaving = False
        self.done: asyncio.Future[None]

    @property
    def offset(self) -> int:
        """Bytes of the spool that are rendered."""
        return self._reported.offset

    @property
    def backlog(self) -> int:
        """Bytes of the spool that wait to be rendered."""
        return self._available - self.offset

    @property
    def waits(self) -> bool:
        """Whether anybody wants more of it rendered."""
        return not (self._closed.is_set() or self._leaving)

    @property
    def full(self) -> bool:
        """Whether more has to be rendered before the spool may grow on."""
        return self.backlog > FAIR_BACKLOG and self._process.backlog > MAX_BACKLOG

    async def start(self) -> None:
        """Gets ready to render.

        Raises:
            GathererError: the process cannot be started.
        """
        self.done = asyncio.get_running_loop().create_future()
        await self._process.join(self)
        self._joined = True

    def open(self) -> None:
        """Begins to render; the spool is there."""
        self._opened = True
        self._process.open(self)

    def resume(self) -> None:
        """Goes on in a new process, behind what the former one reported."""
        if not (self._opened and self.waits):
            return
        self._process.say(
            f"resume {self.number} {self.offset} {json.dumps(str(self.spool))}\n"
            f"to {self.number} {self._available}\n"
        )
        if self._finishing:
            self.finish()

    def notify(self, available: int) -> None:
        """Says how many bytes of the spool are written, whole frames all of them."""
        self._available = available
        self._process.say(f"to {self.number} {available}\n")

    def finish(self) -> None:
        """Says that the spool does not grow any more."""
        self._finishing = True
        self._process.say(f"end {self.number}\n")

    def progress(self) -> Progress:
        """Returns how far it is by its latest report, and takes the losses."""
        return self._reported.progress()

    async def aclose(self) -> None:
        """Stops it where it is, and waits until it has stopped."""
        if not self._joined:
            return
        self._leaving = True
        if not self._opened:
            self._closed.set()
        if not self._closed.is_set():
            self._process.say(f"close {self.number}\n")
            try:
                async with within(CLOSE_SECONDS):
                    await self._closed.wait()
            except TimeoutError:
                self._process.kill_unless_shared(self)
        await self._process.close(self)
        self._end(None)

    def apply(self, report: dict[str, object]) -> None:
        """Takes a report of the process."""
        failure: GathererError | None = None
        try:
            self._reported.apply(report)
        except GathererError as error:
            failure = error
        if self._reported.closed:
            self._end(failure)

    def died(self, how: str) -> None:
        """Learns that the process has ended before its time.

        Args:
            how: by a signal or an exit code.
        """
        self._end(
            GathererError(
                f"the renderer ended early: {how}",
                f"see whether memory is short; what was received is in {self.spool}",
            )
        )

    def _end(self, failure: GathererError | None) -> None:
        self._closed.set()
        if self.done.done():
            return
        if failure is not None:
            self.done.set_exception(failure)
        else:
            self.done.set_result(None)


async def _tail(stream: asyncio.StreamReader) -> str:
    """Reads a stream to its end and returns its last line."""
    data = b""
    while more := await stream.read(1 << 16):
        data = (data + more)[-2000:]
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _end_text(code: int, last: str) -> str:
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{how}, {printable(last, 200)}" if last else how
