"""The start of hunter by an exec: the zipapp goes over stdin to a program that becomes it."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from gatherer.errors import DeployError, ExecError
from gatherer.guest import receive_hunter
from gatherer.kube.answers import exec_error
from gatherer.kube.exec.channels import (
    STDERR,
    STDOUT,
    ExecEnd,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from gatherer.probe.interpreters import Interpreter
from gatherer.probe.run_command import ExecStreams, OpenExec, StderrTail, interrupted
from gatherer.text import one_line
from gatherer.timeouts import within
from hg_shared import mark

_START_TIMEOUT = 120.0  # seconds, for 0.1 to 1 MB over a slow link


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


async def start_hunter(
    open_exec: OpenExec,
    container: str,
    interpreter: Interpreter,
    data: bytes,
    sha256: str,
    arguments: Sequence[str],
    where: str = "copy",
) -> StartedHunter:
    """Sends hunter over stdin and waits until it has been received, checked and started.

    Args:
        open_exec: starts commands in the container.
        container: what messages call it.
        interpreter: a Python there.
        data: the zipapp.
        sha256: its hexadecimal digest, checked inside.
        arguments: hunter's command line; it is in the cluster's audit log, so no secret.
        where: `copy` for a file on a file system, `memory` for one in memory.

    Raises:
        DeployError: it was not; the bootstrap's own words tell why.
        ExecError: the channel broke.
    """
    command = (
        *(interpreter.path, "-I", "-B", "-S", "-c", bootstrap_text()),
        *(where, str(len(data)), sha256),
    )
    streams = await open_exec((*command, *arguments), True)
    try:
        async with within(_START_TIMEOUT):
            stdout, stderr = await send_and_watch(streams, data, container, interpreter)
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


async def send_and_watch(
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
                    if not stderr.remove(receive_hunter.RECEIVED):
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
    message = one_line(stderr)
    if isinstance(end, ExecInterrupted):
        return interrupted(end)
    if isinstance(end, ExecFailed):
        return exec_error(end.status, interpreter.path)
    if end.code == receive_hunter.STDIN_ENDED:
        return DeployError(
            f"hunter did not arrive whole in {container}: {message}",
            "check the network and try again",
        )
    if end.code == receive_hunter.DIGEST_DIFFERS:
        return DeployError(
            f"hunter was damaged on its way into {container}: {message}",
            "look for a proxy that alters websockets, and try again",
        )
    if end.code == receive_hunter.NOTHING_WRITABLE:
        return DeployError(
            f"nothing is writable in {container}: {message}",
            "use --inject memory or ephemeral, or mount an emptyDir at /tmp",
        )
    if end.code == receive_hunter.NOT_EXECUTED:
        return DeployError(
            f"{interpreter.path} could not be run again in {container}: {message}",
            "check that /proc is mounted in the container",
        )
    killed = "it was killed, perhaps for want of memory" if end.code == 137 else ""
    return DeployError(
        f"hunter did not start in {container}: {interpreter} ended with exit code {end.code}"
        + (f": {message or killed}" if message or killed else ""),
        "see the container's memory with `kubectl top pod`"
        if end.code == 137
        else "run the interpreter by hand with `kubectl exec`",
    )


async def start_relay(open_exec: OpenExec, interpreter: Interpreter, name: str) -> StartedHunter:
    """Starts what joins a running hunter; the streams are then those of its socket.

    Args:
        open_exec: starts commands in the container.
        interpreter: as hunter was started with.
        name: of the socket; it is in the cluster's audit log.

    Raises:
        ExecError: the channel could not be opened.
    """
    command = (interpreter.path, "-I", "-B", "-S", "-c", program_text("rejoin_relay"), name)
    return StartedHunter(await open_exec(command, True), interpreter, b"", StderrTail())


def bootstrap_text() -> str:
    """Returns the program that takes hunter from stdin."""
    return program_text("receive_hunter")


@cache
def program_text(module: str) -> str:
    """Returns the source of a guest without comments, docstrings and annotations.

    The mark of our processes stands in front of it. It travels in the request line of the exec,
    which some proxies limit to 8 KiB.

    Args:
        module: one of gatherer.guest.
    """
    source = resources.files("gatherer.guest").joinpath(f"{module}.py").read_text("utf-8")
    tree = ast.parse(source)
    for node in list(ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.FunctionDef)):
            node.body = [statement for statement in node.body if not _says_nothing(statement)]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
    # One space for four: in a request line each of them takes three bytes.
    return mark.PYTHON + re.sub(
        r"^(?: {4})+", lambda indent: " " * (len(indent[0]) // 4), ast.unparse(tree), flags=re.M
    )


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
