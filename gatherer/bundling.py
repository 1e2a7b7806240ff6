"""Brings a bundled Python into a container that has a shell and none of its own, and starts hunter.

Nothing is asked of the container but `cat`, `mkdir`, `chmod` and `rm`: no tar, no sha256sum. Each
file is the stdin of an exec of its own. Beside them one exec holds a shell that removes everything
when its own stdin ends, so that a gatherer that is killed in between leaves nothing; once the
bundled Python has loaded what it needs, it removes its files itself.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from gatherer.bundle import LOADER, PROGRAM, Bundle
from gatherer.bundle_bootstrap import JOIN
from gatherer.deploy import StartedHunter, StderrTail, program_text, send_and_watch
from gatherer.errors import DeployError
from gatherer.interpreters import ExecStreams, Interpreter, OpenExec, interrupted
from gatherer.kube.answers import exec_error, one_line
from gatherer.kube.channels import (
    STDERR,
    STDOUT,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from gatherer.patience import within
from hg_shared import mark

TOOLS = ("cat", "mkdir", "chmod", "rm")
AT_ONCE = 4
"""Files on their way at the same time, each over an exec of its own."""

_READY = b"hunter: ready"
_SECONDS = 180.0  # for 5 to 12 MB over a slow link


class Porter:
    """Carries a bundle into one place of one container, and starts programs on it.

    Args:
        open_exec: starts commands in the container.
        container: what messages call it.
        shell: of the container.
        place: directory there that can be written to and executed from.
        bundle: for the machine.
    """

    def __init__(
        self, open_exec: OpenExec, container: str, shell: str, place: str, bundle: Bundle
    ) -> None:
        self._open_exec = open_exec
        self._container = container
        self._shell = shell
        self._place = place
        self._bundle = bundle

    async def start(self, data: bytes, sha256: str, arguments: Sequence[str]) -> StartedHunter:
        """Brings the bundle and hunter in and starts hunter.

        Args:
            data: hunter's zipapp.
            sha256: its digest.
            arguments: hunter's command line.

        Raises:
            DeployError: the container lacks a tool, the place has no room, or the Python does not
                run.
            ExecError: a channel broke.
        """
        return await self._run(data, (str(len(data)), sha256, *arguments))

    async def join(self, name: str) -> StartedHunter:
        """Brings the bundle in once more, to run what joins a hunter that was lost.

        The first one has left nothing that could be run.

        Args:
            name: of hunter's socket.

        Raises:
            DeployError: as `start` does.
            ExecError: a channel broke.
        """
        program = program_text("relay").encode()
        digest = hashlib.sha256(program).hexdigest()
        return await self._run(program, (str(len(program)), digest, JOIN, name))

    async def _run(self, data: bytes, words: Sequence[str]) -> StartedHunter:
        directory = str(PurePosixPath(self._place) / f".hunter-{os.urandom(6).hex()}")
        around = (self._open_exec, self._container, self._shell, directory, self._bundle)
        try:
            async with within(_SECONDS):
                keeper, packed = await _make_room(*around)
                try:
                    await _send_files(*around, packed)
                    return await self._start(directory, data, words)
                finally:
                    # Its shell removes what is still there.
                    await keeper.aclose()
        except TimeoutError as error:
            raise DeployError(
                f"bringing a Python of {self._bundle.size >> 20} MiB into {self._container} took"
                f" more than {_SECONDS:.0f} s",
                "use --inject ephemeral, or a faster link to the API server",
            ) from error

    async def _start(self, directory: str, data: bytes, words: Sequence[str]) -> StartedHunter:
        major, minor, micro = (int(part) for part in self._bundle.version.split("."))
        interpreter = Interpreter(f"{directory}/{PROGRAM}", (major, minor, micro))
        command = (
            *(f"{directory}/{LOADER}", "--library-path", f"{directory}/lib"),
            *(f"{directory}/{PROGRAM}", "-I", "-B", "-S", "-c", program_text("bundle_bootstrap")),
            *(directory, self._bundle.digest, *words),
        )
        streams = await self._open_exec(command, True)
        try:
            stdout, stderr = await send_and_watch(streams, data, self._container, interpreter)
        except BaseException:
            await streams.aclose()
            raise
        return StartedHunter(streams, interpreter, stdout, stderr)


async def _make_room(
    open_exec: OpenExec, container: str, shell: str, directory: str, bundle: Bundle
) -> tuple[ExecStreams, bool]:
    """Makes the directories; returns the exec that will remove them, and whether gzip is there."""
    quoted = shlex.quote(directory)
    folders = sorted({str(PurePosixPath(path).parent) for path in bundle.files})
    made = " ".join(f"{quoted}/{shlex.quote(folder)}" for folder in folders)
    script = (
        f'{mark.SHELL}for t in {" ".join(TOOLS)};do command -v $t >/dev/null||m="$m $t";done\n'
        '[ -z "$m" ]||{ echo "missing$m";exit 1; }\n'
        f"trap 'rm -rf {quoted}' EXIT HUP INT TERM\n"
        f"umask 077\nmkdir -p {made}||exit 1\n"
        f'g=;command -v gzip >/dev/null&&g=" gzip"\necho "{_READY.decode()}$g"\n'
        f"while read -r l;do :;done\nrm -rf {quoted}\n"
    )
    streams = await open_exec((shell, "-c", script), True)
    told, said = bytearray(), StderrTail()
    try:
        while b"\n" not in told:
            event = await streams.receive()
            if isinstance(event, StreamData):
                if event.channel == STDOUT:
                    told += event.data
                elif event.channel == STDERR:
                    said.add(event.data)
            elif isinstance(event, ExecInterrupted):
                raise interrupted(event)
            elif isinstance(event, ExecFailed):
                raise exec_error(event.status, shell)
            elif isinstance(event, ExecExited):
                break
        line = bytes(told).split(b"\n")[0]
        if not line.startswith(_READY):
            words = one_line(line.decode("utf-8", "replace")) or said.text or "its shell failed"
            raise DeployError(
                f"no Python can be brought into {container}: {words}", "use --inject ephemeral"
            )
    except BaseException:
        await streams.aclose()
        raise
    return streams, line.endswith(b" gzip")


async def _send_files(
    open_exec: OpenExec,
    container: str,
    shell: str,
    directory: str,
    bundle: Bundle,
    packed: bool,
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def send(path: str, content: bytes) -> None:
        async with turns:
            await _send_file(open_exec, container, shell, f"{directory}/{path}", content, packed)

    # The largest first: the others go beside them.
    largest = sorted(bundle.files.items(), key=lambda item: -len(item[1]))
    tasks = [asyncio.ensure_future(send(path, content)) for path, content in largest]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    programs = " ".join(shlex.quote(f"{directory}/{path}") for path in bundle.EXECUTABLE)
    script = f"{mark.SHELL}chmod 700 {programs}"
    await _run(open_exec, container, (shell, "-c", script), b"")


async def _send_file(
    open_exec: OpenExec, container: str, shell: str, path: str, content: bytes, packed: bool
) -> None:
    data = gzip.compress(content, 6, mtime=0) if packed else content
    reader = "gzip -dc" if packed else "cat"
    script = f"{mark.SHELL}umask 077;{reader} >{shlex.quote(path)}"
    await _run(open_exec, container, (shell, "-c", script), data)


async def _run(open_exec: OpenExec, container: str, command: Sequence[str], data: bytes) -> None:
    """Runs a command with a stdin and waits for its success.

    Where stdin cannot be closed (v4), `head` reads as much as there is and no more.
    """
    streams = await open_exec(command, True)
    if not streams.can_close_stdin:
        await streams.aclose()
        shell, flag, script = command
        command = (shell, flag, f"head -c {len(data)}|{{ {script}; }}")
        streams = await open_exec(command, True)
    said = StderrTail()
    sending = asyncio.ensure_future(_feed(streams, data))
    try:
        while True:
            event = await streams.receive()
            if isinstance(event, StreamData):
                said.add(event.data)
            elif isinstance(event, ExecInterrupted):
                raise interrupted(event)
            elif isinstance(event, ExecFailed):
                raise exec_error(event.status, command[0])
            elif isinstance(event, ExecExited):
                if event.code == 0:
                    return
                words = one_line(said.text) or f"exit code {event.code}"
                raise DeployError(
                    f"a Python could not be brought into {container}: {words}",
                    "use --inject ephemeral, or mount an emptyDir with room for 20 MiB at /tmp",
                )
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await streams.aclose()


async def _feed(streams: ExecStreams, data: bytes) -> None:
    await streams.send_stdin(data)
    if streams.can_close_stdin:
        await streams.close_stdin()
