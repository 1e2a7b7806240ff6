"""A credential plugin as a process: started, bounded in time and output, ended with all it started.

A plugin may be any program of the user's, and some of them talk to the user, start helpers or never
end. Its stderr is passed on line by line: a device code is of use only while the plugin waits.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from hg_shared import mark

if TYPE_CHECKING:
    import psutil

EXEC_INFO = "KUBERNETES_EXEC_INFO"
"""The variable that tells a plugin what it is asked; whatever it starts has it too."""

QUIET_SECONDS = 2.0
"""Time after which it is said that a plugin is waited for."""

MAX_STDOUT = 1 << 20  # bytes
_MAX_PASSED_ON = 64 << 10  # bytes of stderr that are shown
_MAX_STDERR = 16 << 20  # bytes of stderr that are read at all
_MAX_LINE = 1000  # characters
_AFTER_EXIT = 1.0  # seconds for what is left in its pipes, which a daemon of its may hold open
_ENDING_SECONDS = 2.0
_SUBREAPER_SET, _SUBREAPER_GET = 36, 37  # prctl(2)


class PluginTooLoud(Exception):
    """A plugin printed more than it may. The text names the stream and the bound."""


class PluginTooSlow(Exception):
    """A plugin did not end in time."""


@dataclass(frozen=True)
class Printed:
    """The result of a plugin that has ended.

    Attributes:
        code: exit code, negative for the signal that ended it.
        stdout: bytes.
        last_line: of stderr, empty when it was not read.
    """

    code: int
    stdout: bytes
    last_line: str


async def run(
    command: Sequence[str], environment: Mapping[str, str], *, interactive: bool, seconds: float
) -> Printed:
    """Runs a plugin to its end.

    Args:
        command: the program and its arguments.
        environment: all of its variables, EXEC_INFO among them.
        interactive: whether it may talk to the user on the terminal that is stdin and stderr.
        seconds: how long it may take.

    Raises:
        OSError: it cannot be started.
        ValueError: it cannot be started: a NUL in its arguments.
        PluginTooLoud: it printed too much.
        PluginTooSlow: it took too long.
    """
    with _adopting():
        # A group of its own is easy to end. On a terminal, a plugin in another group than
        # gatherer's could neither read from it nor be ended with Ctrl-C.
        own_group = not _on_terminal()
        process: subprocess.Popen[bytes] | None = None
        waiting: asyncio.Future[None] | None = None
        by_itself = False
        try:
            with _uninterrupted():
                process = _start(command, environment, interactive, own_group)
            waiting = asyncio.ensure_future(_say_that_it_is_waited_for(command[0]))
            printed = await asyncio.wait_for(_finish(process), seconds)
            # Ctrl-C ends a shell, but not what it has started in the background.
            by_itself = printed.code != -signal.SIGINT
            return printed
        except TimeoutError:
            raise PluginTooSlow from None
        finally:
            if waiting is not None:
                waiting.cancel()
            if process is not None:
                if not by_itself:
                    await _end(process, environment[EXEC_INFO], own_group)
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Puts Ctrl-C off until what is being done is done.

    The second one raises KeyboardInterrupt anywhere: also where a process has been started that
    nobody knows yet.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    put_off: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: put_off.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for number, frame in put_off:
            before(number, frame)


def _start(
    command: Sequence[str], environment: Mapping[str, str], interactive: bool, own_group: bool
) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {"process_group": 0} if own_group else {}
    with mark.lifted():
        return subprocess.Popen(
            command,
            env=dict(environment),
            # With a terminal the plugin talks to the user itself: device codes, passwords.
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if interactive else subprocess.PIPE,
            **options,
        )


async def _finish(process: subprocess.Popen[bytes]) -> Printed:
    """Reads what a plugin prints until it ends.

    Raises:
        PluginTooLoud: it printed too much.
    """
    assert process.stdout is not None
    stdout, stderr = _Stdout(), _Stderr()
    reading = [asyncio.ensure_future(_read(process.stdout, stdout))]
    if process.stderr is not None:
        reading.append(asyncio.ensure_future(_read(process.stderr, stderr)))
    # A thread waits: no event loop has a way to wait for a process on every system.
    ended = asyncio.ensure_future(asyncio.to_thread(process.wait))
    try:
        open_pipes = set(reading)
        while not ended.done():
            await asyncio.wait({ended, *open_pipes}, return_when=asyncio.FIRST_COMPLETED)
            for task in [each for each in open_pipes if each.done()]:
                open_pipes.discard(task)
                task.result()
        if open_pipes:
            done, _ = await asyncio.wait(open_pipes, timeout=_AFTER_EXIT)
            for task in done:
                task.result()
        return Printed(ended.result(), bytes(stdout.data), stderr.last_line())
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _read(pipe: IO[bytes], sink: _Stdout | _Stderr) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    # The transport closes the pipe; the process object keeps its own.
    copy = os.fdopen(os.dup(pipe.fileno()), "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), copy)
    try:
        while data := await reader.read(1 << 16):
            sink.receive(data)
    finally:
        transport.close()


class _Stdout:
    def __init__(self) -> None:
        self.data = bytearray()

    def receive(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > MAX_STDOUT:
            raise PluginTooLoud(f"more than {MAX_STDOUT >> 20} MiB to stdout")


class _Stderr:
    """Passes lines on, at most as many as somebody may read."""

    def __init__(self) -> None:
        self._taken = 0
        self._passed_on = 0
        self._line = bytearray()
        self._last = ""

    def receive(self, data: bytes) -> None:
        self._taken += len(data)
        if self._taken > _MAX_STDERR:
            raise PluginTooLoud(f"more than {_MAX_STDERR >> 20} MiB to stderr")
        *lines, rest = data.split(b"\n")
        if self._passed_on > _MAX_PASSED_ON:
            lines = lines[-2:]  # nobody sees the others
        for line in lines:
            self._line += line[: 4 * _MAX_LINE]
            self._pass_on()
        self._line += rest
        del self._line[4 * _MAX_LINE :]

    def last_line(self) -> str:
        """Returns the last line that says something, after passing on what has no line end."""
        if self._line:
            self._pass_on()
        return self._last

    def _pass_on(self) -> None:
        line = self._line.decode("utf-8", "replace").rstrip()
        text = "".join(c if c.isprintable() or c == "\t" else " " for c in line)[:_MAX_LINE]
        self._line.clear()
        self._last = text.strip() or self._last
        if self._passed_on <= _MAX_PASSED_ON:
            self._passed_on += len(text) + 1
            say(text if self._passed_on <= _MAX_PASSED_ON else "…")


def say(text: str) -> None:
    """Writes a line to stderr, if there is one.

    Args:
        text: printable.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):
        pass  # closed or full: nobody reads it


async def _say_that_it_is_waited_for(command: str) -> None:
    await asyncio.sleep(QUIET_SECONDS)
    say(f"gatherer: waiting for the credential plugin {command!r}")


def _on_terminal() -> bool:
    """Returns whether this process has a terminal, wherever its standard descriptors lead."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextmanager
def _adopting() -> Iterator[None]:
    """Has orphans of what is started become children of this process, so that they are found."""
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int(0)
    libc.prctl(_SUBREAPER_GET, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_SUBREAPER_SET, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SUBREAPER_SET, before.value, 0, 0, 0)


async def _end(process: subprocess.Popen[bytes], exec_info: str, own_group: bool) -> None:
    """Kills a plugin and all that it has started, and waits until they are gone."""
    # Whatever happens to the caller meanwhile, such as a second Ctrl-C, nothing is left behind.
    with _uninterrupted():
        _kill(process, exec_info, own_group)
    deadline = asyncio.get_running_loop().time() + _ENDING_SECONDS
    while _kill(process, exec_info, own_group):
        if asyncio.get_running_loop().time() > deadline:
            return  # It is in the kernel, which lets it end later.
        await asyncio.sleep(0.01)


def _kill(process: subprocess.Popen[bytes], exec_info: str, own_group: bool) -> bool:
    """Kills what is there of a plugin; returns whether there was anything."""
    import psutil

    found = _started_by(process, exec_info)
    if own_group and process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    for each in found:
        try:
            each.kill()
            if each.pid != process.pid and each.ppid() == os.getpid():
                os.waitpid(each.pid, os.WNOHANG)  # adopted: nobody else waits for it
        except (psutil.Error, ChildProcessError, PermissionError):
            continue
    return process.poll() is None or bool(found)


def _started_by(process: subprocess.Popen[bytes], exec_info: str) -> list[psutil.Process]:
    """Returns a plugin and its descendants, also those whose parents have ended."""
    import psutil

    found = {}
    for each in psutil.Process().children(recursive=True):
        try:
            own = each.pid == process.pid or process.pid in (up.pid for up in each.parents())
            told = own or each.environ().get(EXEC_INFO) == exec_info != os.environ.get(EXEC_INFO)
            if told and (each.pid != process.pid or process.poll() is None):
                found[each.pid] = each
        except psutil.Error:
            continue
    return list(found.values())
