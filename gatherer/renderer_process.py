"""The renderer as a process of its own: rendering never takes the interpreter from the stream.

It is started as a new program in a session of its own, so that Ctrl-C in a terminal reaches
gatherer alone. It hears how far the spool is written, and reports how far it is; when it dies the
capture ends with an error, and the spool stays.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import gatherer
import hg_shared
from gatherer.errors import GathererError
from gatherer.patience import within
from gatherer.progress import Progress, ReportedProgress
from gatherer.text import printable

CLOSE_SECONDS = 3.0
"""How long it may take to finish the chunk it is at when it is told to stop."""
MAX_REPORT = 64 << 20
_PROGRAM = (
    "import sys; sys.path += [p for p in sys.argv[1:3] if p not in sys.path]\n"
    "from gatherer.renderer_main import main; sys.exit(main())"
)


class RendererProcess:
    """Renders a growing spool in another process; see `gatherer.renderer.Renderer`.

    Args:
        spool: the spool; it must exist.
        directory: the capture directory.
        string_size: bytes of a string that are shown.
        max_log_size: bytes of lines that one log may hold.

    Attributes:
        done: finished when everything was rendered, or with the error that stopped it.
    """

    def __init__(self, spool: Path, directory: Path, string_size: int, max_log_size: int) -> None:
        self._spool = spool
        self._arguments = [str(spool), str(directory), str(string_size), str(max_log_size)]
        self._reported = ReportedProgress()
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None] | None = None
        self._closing = False
        self.done: asyncio.Future[None]

    @property
    def offset(self) -> int:
        """Bytes of the spool that are rendered."""
        return self._reported.offset

    async def start(self) -> None:
        """Starts the process.

        Raises:
            GathererError: it cannot be started.
        """
        self.done = asyncio.get_running_loop().create_future()
        roots = [str(Path(package.__path__[0]).parent) for package in (gatherer, hg_shared)]
        try:
            self._process = await asyncio.create_subprocess_exec(
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
        self._reading = asyncio.ensure_future(self._read())

    def notify(self, available: int) -> None:
        """Says how many bytes of the spool are written, whole frames all of them."""
        self._say(f"{available}\n")

    def finish(self) -> None:
        """Says that the spool does not grow any more."""
        self._say("end\n")

    def progress(self) -> Progress:
        """Returns how far it is by its latest report, and takes the losses."""
        return self._reported.progress()

    async def aclose(self) -> None:
        """Stops it where it is, and waits for its end."""
        if self._reading is None:
            return
        self._closing = True
        stdin = self._process.stdin
        assert stdin is not None
        stdin.close()
        try:
            async with within(CLOSE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
        await self._reading

    def _say(self, text: str) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        if not stdin.is_closing():
            stdin.write(text.encode("ascii"))

    async def _read(self) -> None:
        """Takes the reports, and after the last one says how it ended."""
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None
        assert stderr is not None
        said = asyncio.ensure_future(_tail(stderr))
        failure: GathererError | None = None
        try:
            while line := await stdout.readline():
                if line.endswith(b"\n"):
                    self._reported.take(line)
        except GathererError as error:
            failure = error
        code = await self._process.wait()
        last = await said
        if failure is None and not self._reported.done and not self._closing:
            failure = GathererError(
                f"the renderer ended early: {_end_words(code, last)}",
                f"see whether memory is short; what was received is in {self._spool}",
            )
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


def _end_words(code: int, last: str) -> str:
    words = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{words}, {printable(last, 200)}" if last else words
