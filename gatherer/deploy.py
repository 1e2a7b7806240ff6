"""Brings hunter into a container: finds a Python there, sends the zipapp over stdin, starts it.

Nothing here knows where the exec comes from: an `OpenExec` starts a command in the container.
"""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

from gatherer import bootstrap
from gatherer.errors import DeployError, ExecError
from gatherer.kube.answers import exec_error, is_missing_program, is_not_executable, one_line
from gatherer.kube.channels import (
    STDERR,
    STDOUT,
    ExecEnd,
    ExecEvent,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)

MINIMUM_VERSION = (3, 8)

SHELLS = ("sh", "/bin/sh", "/busybox/sh")
CANDIDATES = (
    "python3",
    *(f"python3.{minor}" for minor in range(14, 7, -1)),
    "python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
    "/opt/venv/bin/python3",
    "/opt/bitnami/python/bin/python3",
    "/opt/conda/bin/python3",
    "/usr/libexec/platform-python",
)
"""Interpreters that are tried, in this order; a name is looked up in the container's PATH."""

_GLOBS = (
    "/opt/*/bin/python3",
    "/usr/local/*/bin/python3",
    "/venv/bin/python3",
    "/app/.venv/bin/python3",
)

_PROBE_TIMEOUT = 60.0  # seconds
_START_TIMEOUT = 120.0  # seconds, for 0.1 to 1 MB over a slow link
_MAX_PROBE_OUTPUT = 64 * 1024  # bytes
_MAX_STDERR = 8 * 1024  # bytes kept

# Runs on Python 2 too, so that an old one can be named. Exit code 0: hunter can run on it.
_PROBE = (
    "import sys\n"
    "try:\n"
    "    import ctypes\n"
    '    has = "ctypes"\n'
    "except ImportError:\n"
    '    has = "-"\n'
    'sys.stdout.write("%d.%d.%d " % sys.version_info[:3]'
    ' + has + " " + (sys.executable or sys.argv[1]) + "\\n")\n'
    f'sys.exit(not (sys.version_info >= {MINIMUM_VERSION} and has == "ctypes"))'
)
_PROBE_SCRIPT = (
    f"for python in {' '.join((*CANDIDATES, *_GLOBS))}; do\n"
    'command -v "$python" >/dev/null 2>&1 || continue\n'
    f'"$python" -E -S -c \'{_PROBE}\' "$python" </dev/null 2>/dev/null && break\n'
    "done\n"
    ":"
)


class ExecStreams(Protocol):
    """A command that runs in the container, as `gatherer.kube.exec_session` gives it."""

    @property
    def can_close_stdin(self) -> bool:
        """Whether `close_stdin` works."""
        ...

    async def receive(self) -> ExecEvent:
        """Returns the next event, an `ExecEnd` last."""
        ...

    async def send_stdin(self, data: bytes) -> None:
        """Writes to its stdin."""
        ...

    async def close_stdin(self) -> None:
        """Half-closes its stdin."""
        ...

    async def aclose(self) -> None:
        """Drops it."""
        ...


OpenExec = Callable[[Sequence[str], bool], Awaitable[ExecStreams]]
"""Starts a command in the container; the second argument says whether it gets a stdin."""


@dataclass(frozen=True)
class Interpreter:
    """A Python in the container.

    Attributes:
        path: of its program.
        version: such as (3, 11, 2).
        has_ctypes: whether it can call ptrace(2).
    """

    path: str
    version: tuple[int, int, int]
    has_ctypes: bool = True

    @property
    def usable(self) -> bool:
        """Whether hunter can run on it."""
        return self.version >= MINIMUM_VERSION and self.has_ctypes

    def __str__(self) -> str:
        return f"{self.path} {'.'.join(map(str, self.version))}"


class StderrTail:
    """The last lines of a stderr, made safe to print."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Takes more of it; the oldest bytes beyond 8 KiB are dropped."""
        self._data += data
        del self._data[:-_MAX_STDERR]

    def remove(self, line: bytes) -> bool:
        """Takes a line out, once. Returns whether it was there."""
        start = self._data.find(line)
        if start >= 0:
            del self._data[start : start + len(line)]
        return start >= 0

    @property
    def text(self) -> str:
        """Its lines without control characters."""
        lines = self._data.decode("utf-8", "replace").splitlines()
        return "\n".join(filter(None, map(one_line, lines)))


@dataclass(frozen=True)
class StartedHunter:
    """Hunter, running: what follows on the streams is its own.

    Attributes:
        streams: its standard streams; stdin is its lifeline.
        interpreter: that runs it.
        stdout: what it has already written.
        stderr: collects what it writes to stderr.
    """

    streams: ExecStreams
    interpreter: Interpreter
    stdout: bytes
    stderr: StderrTail


async def deploy(
    open_exec: OpenExec, container: str, data: bytes, sha256: str, arguments: Sequence[str]
) -> StartedHunter:
    """Brings hunter in and starts it.

    Args:
        open_exec: starts commands in the container.
        container: what messages call it.
        data: the zipapp.
        sha256: its hexadecimal digest, checked inside.
        arguments: hunter's command line; it is in the cluster's audit log, so no secret.

    Raises:
        DeployError: no interpreter, nothing writable, the digest differs, or hunter ended at once.
        ExecError: a channel broke.
    """
    interpreter = await find_python(open_exec, container)
    return await start_hunter(open_exec, container, interpreter, data, sha256, arguments)


async def find_python(open_exec: OpenExec, container: str) -> Interpreter:
    """Returns a Python of the container that hunter can run on.

    Raises:
        DeployError: there is none; the message tells what was found.
    """
    try:
        found = await asyncio.wait_for(_probe(open_exec), _PROBE_TIMEOUT)
    except TimeoutError as error:
        raise DeployError(
            f"looking for Python in {container} took more than {_PROBE_TIMEOUT:.0f} s",
            "see whether the container is out of CPU: `kubectl top pod`",
        ) from error
    return choose_interpreter(found, container)


async def _probe(open_exec: OpenExec) -> list[Interpreter]:
    found = await _probe_with_shell(open_exec)
    return found if found is not None else await _probe_directly(open_exec)


async def _probe_with_shell(open_exec: OpenExec) -> list[Interpreter] | None:
    """Asks a shell of the container; None when it has none that can be run."""
    for shell in SHELLS:
        end, output = await _run(open_exec, (shell, "-c", _PROBE_SCRIPT))
        if isinstance(end, ExecFailed):
            if is_missing_program(end.status) or is_not_executable(end.status):
                continue
            raise exec_error(end.status, shell)
        return parse_interpreters(output)
    return None


async def _probe_directly(open_exec: OpenExec) -> list[Interpreter]:
    found: list[Interpreter] = []
    for candidate in CANDIDATES:
        end, output = await _run(open_exec, (candidate, "-E", "-S", "-c", _PROBE, candidate))
        if isinstance(end, ExecExited):
            found += parse_interpreters(output)
            if any(interpreter.usable for interpreter in found):
                break
        elif not (is_missing_program(end.status) or is_not_executable(end.status)):
            raise exec_error(end.status, candidate)
    return found


async def _run(
    open_exec: OpenExec, command: Sequence[str]
) -> tuple[ExecExited | ExecFailed, bytes]:
    """Runs a short command to its end."""
    streams = await open_exec(command, False)
    output = bytearray()
    try:
        while True:
            event = await streams.receive()
            if isinstance(event, StreamData):
                if event.channel == STDOUT and len(output) < _MAX_PROBE_OUTPUT:
                    output += event.data
            elif isinstance(event, ExecInterrupted):
                raise _interrupted(event)
            elif isinstance(event, (ExecExited, ExecFailed)):
                return event, bytes(output)
    finally:
        await streams.aclose()


def parse_interpreters(output: bytes) -> list[Interpreter]:
    """Reads the lines of the probe; anything else a container may print is passed over."""
    found = []
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3}) (ctypes|-) (\S.{0,4095})", line)
        if match is not None:
            major, minor, micro = (int(match[group]) for group in (1, 2, 3))
            found.append(Interpreter(match[5], (major, minor, micro), match[4] == "ctypes"))
    return found


def choose_interpreter(found: Sequence[Interpreter], container: str) -> Interpreter:
    """Returns the first interpreter hunter can run on.

    Args:
        found: in the order in which they were tried.
        container: what the message calls it.

    Raises:
        DeployError: there is none.
    """
    for interpreter in found:
        if interpreter.usable:
            return interpreter
    wanted = ".".join(map(str, MINIMUM_VERSION))
    if not found:
        raise DeployError(
            f"{container} has no Python: tried {', '.join(CANDIDATES)}",
            f"hunter needs CPython {wanted} or later in the container's image",
        )
    listed = one_line(", ".join(dict.fromkeys(map(str, found))))
    if any(interpreter.version >= MINIMUM_VERSION for interpreter in found):
        raise DeployError(
            f"the Python of {container} has no ctypes module: {listed}",
            "add it to the image (Debian: libpython3-stdlib)",
        )
    raise DeployError(
        f"the Python of {container} is too old: {listed}",
        f"hunter needs CPython {wanted} or later in the container's image",
    )


async def start_hunter(
    open_exec: OpenExec,
    container: str,
    interpreter: Interpreter,
    data: bytes,
    sha256: str,
    arguments: Sequence[str],
) -> StartedHunter:
    """Sends hunter over stdin and waits until it has been received, checked and started.

    Raises:
        DeployError: it was not; the bootstrap's own words tell why.
        ExecError: the channel broke.
    """
    command = (interpreter.path, "-I", "-S", "-c", bootstrap_text(), str(len(data)), sha256)
    streams = await open_exec((*command, *arguments), True)
    try:
        stdout, stderr = await asyncio.wait_for(
            _send_and_watch(streams, data, container, interpreter), _START_TIMEOUT
        )
    except TimeoutError as error:
        await streams.aclose()
        raise DeployError(
            f"hunter did not start in {container} within {_START_TIMEOUT:.0f} s",
            "see whether the container is out of CPU or the network is slow",
        ) from error
    except BaseException:
        await streams.aclose()
        raise
    return StartedHunter(streams, interpreter, stdout, stderr)


async def _send_and_watch(
    streams: ExecStreams, data: bytes, container: str, interpreter: Interpreter
) -> tuple[bytes, StderrTail]:
    """Sends while it listens: a bootstrap that has failed does not read to the end."""
    stderr = StderrTail()
    sending = asyncio.ensure_future(streams.send_stdin(data))
    try:
        while True:
            event = await streams.receive()
            if isinstance(event, StreamData):
                if event.channel == STDERR:
                    stderr.add(event.data)
                    if not stderr.remove(bootstrap.RECEIVED):
                        continue
                # Streams overtake each other: hunter's first bytes of stdout tell the same.
                await sending
                return (event.data if event.channel == STDOUT else b""), stderr
            if isinstance(event, (ExecExited, ExecFailed, ExecInterrupted)):
                raise start_error(event, stderr.text, container, interpreter)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


def start_error(
    end: ExecEnd, stderr: str, container: str, interpreter: Interpreter
) -> DeployError | ExecError:
    """Returns the error for a bootstrap that ended before it became hunter.

    Args:
        end: how it ended.
        stderr: what it wrote.
        container: what the message calls it.
        interpreter: that ran it.
    """
    words = one_line(stderr)
    if isinstance(end, ExecInterrupted):
        return _interrupted(end)
    if isinstance(end, ExecFailed):
        return exec_error(end.status, interpreter.path)
    if end.code == bootstrap.STDIN_ENDED:
        return DeployError(
            f"hunter did not arrive whole in {container}: {words}",
            "check the network and try again",
        )
    if end.code == bootstrap.DIGEST_DIFFERS:
        return DeployError(
            f"hunter was damaged on its way into {container}: {words}",
            "look for a proxy that alters websockets, and try again",
        )
    if end.code == bootstrap.NOTHING_WRITABLE:
        return DeployError(
            f"nothing is writable in {container}: {words}",
            "mount an emptyDir at /tmp, or drop readOnlyRootFilesystem",
        )
    if end.code == bootstrap.NOT_EXECUTED:
        return DeployError(
            f"{interpreter.path} could not be run again in {container}: {words}",
            "check that /proc is mounted in the container",
        )
    killed = "it was killed, perhaps for want of memory" if end.code == 137 else ""
    return DeployError(
        f"hunter did not start in {container}: {interpreter} ended with exit code {end.code}"
        + (f": {words or killed}" if words or killed else ""),
        "see the container's memory with `kubectl top pod`"
        if end.code == 137
        else "run the interpreter by hand with `kubectl exec`",
    )


def _interrupted(end: ExecInterrupted) -> ExecError:
    return ExecError(
        f"the exec channel ended without a status: {end.reason}",
        "check the network and whether the container still runs, and try again",
    )


@cache
def bootstrap_text() -> str:
    """Returns the source of `gatherer.bootstrap` without comments, docstrings and annotations.

    It travels in the request line of the exec, which some proxies limit to 8 KiB.
    """
    source = resources.files("gatherer").joinpath("bootstrap.py").read_text("utf-8")
    tree = ast.parse(source)
    for node in list(ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.FunctionDef)):
            node.body = [statement for statement in node.body if not _says_nothing(statement)]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
    return ast.unparse(tree)


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
