"""Deployment against a scripted exec; tests/cluster runs it in real containers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from urllib.parse import quote

import pytest

from gatherer.errors import DeployError, ExecError
from gatherer.guest import receive_hunter, receive_python
from gatherer.inject.exec_start import (
    StartedHunter,
    bootstrap_text,
    program_text,
    start_error,
    start_hunter,
)
from gatherer.kube.exec.channels import (
    STDERR,
    STDOUT,
    ExecEvent,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
)
from gatherer.kube.objects.models import Status
from gatherer.probe.interpreters import (
    CANDIDATES,
    Interpreter,
    find_python,
    locate_python,
)
from gatherer.probe.run_command import ExecStreams
from gatherer.target import values
from hg_shared import mark

HUNTER = b"PK-zipapp" * 100
DIGEST = hashlib.sha256(HUNTER).hexdigest()
PYTHON = Interpreter("/usr/bin/python3", (3, 11, 2))
MISSING = ExecFailed(
    Status(success=False, message='exec: "x": executable file not found in $PATH: unknown')
)
NOT_EXECUTABLE = ExecFailed(Status(success=False, message='exec: "x": permission denied: unknown'))
RECEIVED = StreamData(STDERR, receive_hunter.RECEIVED)


class Script:
    """Plays the events of each command; keeps what was asked for and sent."""

    def __init__(self, answer: Callable[[Sequence[str]], Sequence[ExecEvent]]) -> None:
        self._answer = answer
        self.commands: list[tuple[str, ...]] = []
        self.sent = bytearray()
        self.open = 0

    async def __call__(self, command: Sequence[str], stdin: bool) -> ExecStreams:
        self.commands.append(tuple(command))
        self.open += 1
        return ScriptedStreams(self, list(self._answer(command)))


class ScriptedStreams:
    can_close_stdin = True

    def __init__(self, script: Script, events: list[ExecEvent]) -> None:
        self._script = script
        self._events = events

    async def receive(self) -> ExecEvent:
        await asyncio.sleep(0)
        return self._events.pop(0)

    async def send_stdin(self, data: bytes) -> None:
        self._script.sent += data

    async def close_stdin(self) -> None:
        raise AssertionError("stdin is hunter's lifeline")

    async def aclose(self) -> None:
        self._script.open -= 1


def out(text: str) -> StreamData:
    return StreamData(STDOUT, text.encode())


def with_python(*events: ExecEvent) -> Script:
    """A container with a shell and a Python whose bootstrap gives these events."""

    def answer(command: Sequence[str]) -> Sequence[ExecEvent]:
        if command[0] == "sh":
            return [out("3.11.2 ctypes /usr/bin/python3\n"), ExecExited(0)]
        return events

    return Script(answer)


async def deploy(script: Script) -> StartedHunter:
    python = await find_python(script, "container 'c'")
    arguments = ["--frequency", "5"]
    return await start_hunter(script, "container 'c'", python, HUNTER, DIGEST, arguments, "memory")


def run(script: Script) -> StartedHunter:
    return asyncio.run(deploy(script))


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ([out("/usr/bin/python3\n"), ExecExited(0)], "/usr/bin/python3"),
        ([ExecExited(0)], ""),
        ([out("python3\n"), ExecExited(0)], ""),
        ([NOT_EXECUTABLE], "/usr/bin/python3"),
    ],
)
def test_a_python_is_located_without_being_run_where_there_is_a_shell(
    first: list[ExecEvent], found: str
) -> None:
    def answer(command: Sequence[str]) -> Sequence[ExecEvent]:
        if command[0] == "sh":
            return first
        if command[0] != "python3":
            return [MISSING]
        return [out("3.11.2 ctypes /usr/bin/python3\n"), ExecExited(0)]

    script = Script(answer)
    assert asyncio.run(locate_python(script)) == found
    assert script.open == 0
    run_without_shell = any(command[0] == "python3" for command in script.commands)
    assert run_without_shell == (first == [NOT_EXECUTABLE])


def refusal(script: Script) -> str:
    with pytest.raises((DeployError, ExecError)) as caught:
        run(script)
    assert caught.value.remedy
    assert str(caught.value).isprintable()
    assert script.open == 0
    return str(caught.value)


def test_hunter_is_sent_and_started() -> None:
    script = with_python(RECEIVED, out("frames"))
    started = run(script)
    assert started.interpreter == PYTHON
    assert bytes(script.sent) == HUNTER
    assert started.stdout == b""
    assert started.stderr.text == ""
    assert script.open == 1
    command = script.commands[-1]
    assert command[:5] == ("/usr/bin/python3", "-I", "-B", "-S", "-c")
    assert command[6:] == ("memory", str(len(HUNTER)), DIGEST, "--frequency", "5")


def test_stdout_that_overtakes_the_announcement_is_kept() -> None:
    assert run(with_python(out("HELLO"), RECEIVED)).stdout == b"HELLO"


def test_an_announcement_in_pieces_among_other_words() -> None:
    script = with_python(
        StreamData(STDERR, b"warning\nhunter: rec"), StreamData(STDERR, b"eived\nmore\n")
    )
    assert run(script).stderr.text == "warning\nmore"


@pytest.mark.parametrize(
    ("code", "stderr", "words"),
    [
        (receive_hunter.STDIN_ENDED, "stdin ended after 3 of 900 bytes", "did not arrive whole"),
        (
            receive_hunter.DIGEST_DIFFERS,
            "sha256 aa expected, bb received",
            "was damaged on its way",
        ),
        (receive_hunter.NOTHING_WRITABLE, "/tmp: Read-only file system", "nothing is writable in"),
        (receive_hunter.NOT_EXECUTED, "/proc/self/fd/3 with x: No such file", "/proc is mounted"),
        (137, "", "perhaps for want of memory"),
        (1, "Fatal Python error: init_fs_encoding\n", "exit code 1: Fatal Python error"),
    ],
)
def test_a_bootstrap_that_fails_says_why(code: int, stderr: str, words: str) -> None:
    events = [StreamData(STDERR, stderr.encode())] if stderr else []
    told = refusal(with_python(*events, ExecExited(code)))
    assert words in told
    assert stderr.strip() in told


def test_a_channel_that_breaks_while_hunter_is_sent() -> None:
    assert "without a status: close code 1006" in refusal(
        with_python(ExecInterrupted("close code 1006"))
    )


@pytest.mark.parametrize(
    ("patched", "words"),
    [
        (
            "gatherer.inject.exec_start._START_TIMEOUT",
            "hunter did not start in container 'c' within",
        ),
        (
            "gatherer.probe.interpreters._PROBE_TIMEOUT",
            "looking for Python in container 'c' took more",
        ),
    ],
)
def test_a_container_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, patched: str, words: str
) -> None:
    async def silence(self: ScriptedStreams) -> ExecEvent:
        if self._events:
            return self._events.pop(0)
        return await asyncio.Future()

    monkeypatch.setattr(ScriptedStreams, "receive", silence)
    monkeypatch.setattr(patched, 0.01)
    silent = with_python() if "exec_start" in patched else Script(lambda command: [])
    assert words in refusal(silent)


def test_the_target_cannot_write_control_characters_into_the_message() -> None:
    told = refusal(with_python(StreamData(STDERR, b"\x1b[2Jboo\x07\n\xff"), ExecExited(1)))
    assert "boo" in told


def test_a_container_without_a_shell_is_asked_directly() -> None:
    def answer(command: Sequence[str]) -> Sequence[ExecEvent]:
        if command[0] == "/usr/local/bin/python3":
            return [out("3.12.1 ctypes /usr/local/bin/python3.12\n"), ExecExited(0)]
        return [MISSING if command[0] != "python3" else NOT_EXECUTABLE]

    script = Script(answer)
    found = asyncio.run(find_python(script, "c"))
    assert found == Interpreter("/usr/local/bin/python3.12", (3, 12, 1))
    assert script.commands[3][0] == "python3"
    assert script.open == 0


def test_a_container_without_shell_and_python() -> None:
    script = Script(lambda command: [MISSING])
    told = refusal(script)
    assert "container 'c' has no Python: tried python3, python3.14" in told
    assert {command[0] for command in script.commands} >= set(CANDIDATES)


def test_a_shell_that_finds_no_python() -> None:
    assert "has no Python" in refusal(Script(lambda command: [ExecExited(0)]))


def test_a_runtime_that_fails_otherwise_is_not_taken_for_a_missing_shell() -> None:
    failed = ExecFailed(Status(success=False, message="container not running"))
    assert "container not running" in refusal(Script(lambda command: [failed]))


def test_a_failed_start_of_the_interpreter_itself() -> None:
    assert isinstance(start_error(MISSING, "", "c", PYTHON), ExecError)


def test_the_bootstrap_is_short_and_says_nothing_of_itself() -> None:
    text = bootstrap_text()
    compile(text, "<bootstrap>", "exec")
    assert len(quote(text)) < 6500, "a request line may have 8 KiB, with path and arguments"
    assert '"""' not in text
    assert "__future__" not in text
    assert "->" not in text


@pytest.mark.parametrize("module", ["receive_hunter", "receive_python", "pause", "rejoin_relay"])
def test_programs_in_the_container_carry_the_mark_before_they_load_anything(module: str) -> None:
    text = program_text(module)
    assert text.startswith(mark.PYTHON)
    compile(text, module, "exec")


def test_what_a_hunter_without_last_words_is_told_by() -> None:
    assert receive_hunter.SILENT == receive_python.SILENT == values.SILENT
