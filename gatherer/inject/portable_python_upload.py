"""The upload of a portable Python to a container that has a shell and none, and hunter's start.

Nothing is asked of the container but `cat`, `mkdir`, `chmod` and `rm`. Each file is the stdin of an
exec of its own. Beside them one exec holds a shell that removes everything when its own stdin ends,
so that a gatherer that is killed in between leaves nothing; once that Python has loaded what
it needs, it removes its files itself.

containerd ends the stdin of an exec as soon as no process of it holds its stdout, or its stderr. A
shell runs the last command of `-c` in its own place, so `cat >FILE` would be cut after what the
pipes hold, with exit code 0. So a command follows each one that reads, and what has arrived is
compared with what was sent before anything of it is run: by sha256sum where the container has one,
else it is read back.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from gatherer.errors import DeployError
from gatherer.guest.receive_python import JOIN
from gatherer.inject.exec_start import StartedHunter, program_text, send_and_watch
from gatherer.inject.portable_python import LOADER, PROGRAM, PortablePython
from gatherer.kube.answers import exec_error
from gatherer.kube.exec.channels import (
    STDERR,
    STDOUT,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from gatherer.probe.interpreters import Interpreter
from gatherer.probe.run_command import ExecStreams, OpenExec, StderrTail, finish, interrupted
from gatherer.text import one_line
from gatherer.timeouts import within
from hg_shared import mark

TOOLS = ("cat", "mkdir", "chmod", "rm")
OPTIONAL = ("gzip", "sha256sum")
"""Used where they are there: to send less, and not to have to read back what was sent."""
AT_ONCE = 4
"""Files on their way at the same time, each over an exec of its own."""

_READY = b"hunter: ready"
_SECONDS = 180.0  # for 5 to 12 MB over a slow link


class PortablePythonUploader:
    """Carries a bundle into one place of one container, and starts programs on it.

    Args:
        open_exec: starts commands in the container.
        container: what messages call it.
        shell: of the container.
        place: directory there that can be written to and executed from.
        bundle: for the machine.
    """

    def __init__(
        self, open_exec: OpenExec, container: str, shell: str, place: str, bundle: PortablePython
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
        program = program_text("rejoin_relay").encode()
        digest = hashlib.sha256(program).hexdigest()
        return await self._run(program, (str(len(program)), digest, JOIN, name))

    async def _run(self, data: bytes, arguments: Sequence[str]) -> StartedHunter:
        directory = str(PurePosixPath(self._place) / f".hunter-{os.urandom(6).hex()}")
        around = (self._open_exec, self._container, self._shell, directory, self._bundle)
        try:
            async with within(_SECONDS):
                pause, tools = await _make_room(*around)
                try:
                    await _send_files(*around, tools)
                    return await self._start(directory, data, arguments)
                finally:
                    # Its shell removes what is still there.
                    await pause.aclose()
        except TimeoutError as error:
            raise DeployError(
                f"bringing a Python of {self._bundle.size >> 20} MiB into {self._container} took"
                f" more than {_SECONDS:.0f} s",
                "use --inject ephemeral, or a faster link to the API server",
            ) from error

    async def _start(self, directory: str, data: bytes, arguments: Sequence[str]) -> StartedHunter:
        major, minor, micro = (int(part) for part in self._bundle.version.split("."))
        interpreter = Interpreter(f"{directory}/{PROGRAM}", (major, minor, micro))
        command = (
            *(f"{directory}/{LOADER}", "--library-path", f"{directory}/lib"),
            *(f"{directory}/{PROGRAM}", "-I", "-B", "-S", "-c", program_text("receive_python")),
            *(directory, self._bundle.digest, *arguments),
        )
        streams = await self._open_exec(command, True)
        try:
            stdout, stderr = await send_and_watch(streams, data, self._container, interpreter)
        except BaseException:
            await streams.aclose()
            raise
        return StartedHunter(streams, interpreter, stdout, stderr)


async def _make_room(
    open_exec: OpenExec, container: str, shell: str, directory: str, bundle: PortablePython
) -> tuple[ExecStreams, frozenset[str]]:
    """Makes the directories; returns the exec that will remove them, and the optional tools."""
    quoted = shlex.quote(directory)
    folders = sorted({str(PurePosixPath(path).parent) for path in bundle.files})
    made = " ".join(f"{quoted}/{shlex.quote(folder)}" for folder in folders)
    script = (
        f'for t in {" ".join(TOOLS)};do command -v $t >/dev/null||m="$m $t";done\n'
        '[ -z "$m" ]||{ echo "missing$m";exit 1; }\n'
        f"trap 'rm -rf {quoted}' EXIT HUP INT TERM\n"
        f"umask 077\nmkdir -p {made}||exit 1\n"
        f"o=;for t in {' '.join(OPTIONAL)};do "
        'command -v $t >/dev/null&&o="$o $t";done\n'
        f'echo "{_READY.decode()}$o"\n'
        f"while read -r l;do :;done\nrm -rf {quoted}\n"
    )
    streams = await open_exec(_in_shell(shell, script), True)
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
            message = one_line(line.decode("utf-8", "replace")) or said.text or "its shell failed"
            raise DeployError(
                f"no Python can be brought into {container}: {message}", "use --inject ephemeral"
            )
    except BaseException:
        await streams.aclose()
        raise
    return streams, frozenset(line[len(_READY) :].decode("utf-8", "replace").split())


async def _send_files(
    open_exec: OpenExec,
    container: str,
    shell: str,
    directory: str,
    bundle: PortablePython,
    tools: frozenset[str],
) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def send(path: str, content: bytes) -> None:
        async with turns:
            sending = _Sending(open_exec, container, shell, f"{directory}/{path}", tools)
            await sending.send(content)

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
    await _run(open_exec, container, shell, f"chmod 700 {programs};exit $?")


class _Sending:
    """The transfer of one file.

    Args:
        open_exec: starts commands in the container.
        container: what messages call it.
        shell: of the container.
        path: of the file there.
        tools: those of `OPTIONAL` that the container has.
    """

    def __init__(
        self,
        open_exec: OpenExec,
        container: str,
        shell: str,
        path: str,
        tools: frozenset[str],
    ) -> None:
        self._open_exec = open_exec
        self._container = container
        self._shell = shell
        self._path = path
        self._tools = tools

    async def send(self, content: bytes) -> None:
        """Writes the file and compares size and digest of what is there with what was sent.

        Raises:
            DeployError: it could not be written, or is not what was sent.
        """
        quoted = shlex.quote(self._path)
        packed = "gzip" in self._tools
        data = content
        if packed:
            # In a thread: it takes seconds on a busy machine, and the channels must be served.
            data = await asyncio.to_thread(gzip.compress, content, 6, mtime=0)
        script = f"umask 077;{'gzip -dc' if packed else 'cat'} >{quoted}||exit 1;"
        if "sha256sum" in self._tools:
            # Without wc the message of a failure lacks a number, no more.
            script += f"sha256sum <{quoted}||exit 1;wc -c <{quoted} 2>/dev/null;exit 0"
            sha256 = await asyncio.to_thread(hashlib.sha256, content)
            digest, *rest = (await self._shell_runs(script, data)).split() or [b""]
            same = digest == sha256.hexdigest().encode()
            there = int(rest[-1]) if rest and rest[-1].isdigit() else None
        else:
            await self._shell_runs(f"{script}exit 0", data)
            got = await self._shell_runs(f"cat <{quoted};exit $?")
            same, there = got == content, len(got)
        if not same:
            name = self._path.rpartition("/.hunter-")[2].partition("/")[2]
            short = there is not None and there < len(content)
            how = f"{there} of {len(content)} bytes are there" if short else "its digest differs"
            raise DeployError(
                f"{name} of the bundled Python did not arrive whole in {self._container}: {how}",
                "see whether the node's disk is full and try again, or use --inject ephemeral",
            )

    async def _shell_runs(self, script: str, data: bytes | None = None) -> bytes:
        return await _run(self._open_exec, self._container, self._shell, script, data)


def _in_shell(shell: str, script: str) -> tuple[str, ...]:
    """Returns the command for a script.

    The programs of an image that is made for nothing else are often beside its shell alone.

    Args:
        shell: of the container.
        script: that does not end with what reads stdin.
    """
    folder = str(PurePosixPath(shell).parent)
    beside = f'PATH="$PATH:{folder}"\n' if folder != "." else ""
    return shell, "-c", f"{mark.SHELL}{beside}{script}"


async def _run(
    open_exec: OpenExec, container: str, shell: str, script: str, data: bytes | None = None
) -> bytes:
    """Runs a script, waits for its success and returns what it wrote to stdout.

    Where stdin cannot be closed (v4), `head` reads as much as there is and no more.

    Args:
        open_exec: starts commands in the container.
        container: what messages call it.
        shell: of the container.
        script: that does not end with what reads stdin.
        data: for stdin; None for none.
    """
    streams = await open_exec(_in_shell(shell, script), data is not None)
    if data is not None and not streams.can_close_stdin:
        await streams.aclose()
        script = f"head -c {len(data)}|{{ {script}\n}};exit $?"
        streams = await open_exec(_in_shell(shell, script), True)
    done = await finish(streams, data)
    if isinstance(done.end, ExecFailed):
        raise exec_error(done.end.status, shell)
    if done.end.code == 0:
        return done.stdout
    reason = one_line(done.stderr) or f"exit code {done.end.code}"
    raise DeployError(
        f"a Python could not be brought into {container}: {reason}",
        "use --inject ephemeral, or mount an emptyDir with room for 20 MiB at /tmp",
    )
