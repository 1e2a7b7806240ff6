"""Credential plugins that do what they should not: flood, hang, ask, leave children behind."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gatherer.kube.auth import plugin_process
from gatherer.kube.auth.exec_credential import API_VERSIONS
from hg_shared import mark

TOKEN = json.dumps(
    {"kind": "ExecCredential", "apiVersion": API_VERSIONS[0], "status": {"token": "t0k3n"}}
)
# Notes its process and that of a child which does not mind Ctrl-C.
NOTED = "sleep 1000 & echo $$ $! >@pids; mv @pids @there; "
LIMIT = 256 << 20  # bytes that a gatherer which waits for a plugin may take


class Plugin:
    """A kubeconfig whose plugin is a line of shell; nobody listens at its server.

    Args:
        directory: where both are.
        script: of the plugin; @ stands for the directory.
        fields: more of its `exec`.
    """

    def __init__(self, directory: Path, script: str, **fields: str) -> None:
        self._there = directory / "there"
        self.config = directory / "config"
        plugin = {
            "apiVersion": API_VERSIONS[0],
            "command": "sh",
            "args": ["-c", script.replace("@", f"{directory}/")],
            "interactiveMode": "IfAvailable",
            **fields,
        }
        document = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"exec": plugin}}],
        }
        self.config.write_text(json.dumps(document))
        self.command = [
            *(sys.executable, "-m", "gatherer", "-p", "x", "--kubeconfig", str(self.config)),
            *("-o", str(directory / "logs")),
        ]

    def start(self, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def processes(self) -> list[int]:
        """Waits until the plugin has noted its processes; returns them."""
        until(self._there.exists)
        return [int(word) for word in self._there.read_text().split()]


def until(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def gone(pids: list[int]) -> bool:
    def is_gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return all(map(is_gone, pids))


def started(plugin: Plugin, **options: Any) -> tuple[int, str]:
    with plugin.start(**options) as process:
        _, said = process.communicate(timeout=60)
    return process.returncode, said.decode()


def test_a_flood_is_bounded_and_ends_with_all_that_made_it(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, NOTED + "exec yes")
    with plugin.start(start_new_session=True) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert said.decode() == (
        "gatherer: error: the credential plugin 'sh' printed more than 1 MiB to stdout; "
        "run it by hand to see what it prints: one ExecCredential is wanted\n"
    )
    until(lambda: gone(plugin.processes()))


def test_a_flood_of_words_is_passed_on_within_bounds(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, NOTED + "exec yes >&2")
    code, said = started(plugin, start_new_session=True)
    assert code == 3
    assert "printed more than 16 MiB to stderr" in said
    assert said.startswith("y\ny\n")
    assert len(said) < 1 << 17
    until(lambda: gone(plugin.processes()))


def test_the_memory_of_gatherer_does_not_grow_with_a_flood(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, "exec cat /dev/zero")
    process = plugin.start(start_new_session=True)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3
    assert usage.ru_maxrss << 10 < LIMIT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_hangs_is_said_and_ended_with_its_children(
    tmp_path: Path, number: signal.Signals
) -> None:
    plugin = Plugin(tmp_path, NOTED + "trap '' INT; wait")
    with plugin.start(start_new_session=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline().decode()
        assert first == "gatherer: waiting for the credential plugin 'sh'\n"
        process.send_signal(number)
        said = process.stderr.read().decode()
        assert process.wait(30) == 1
    assert said.startswith("gatherer: error: interrupted")
    assert len(said.splitlines()) == 1
    until(lambda: gone(plugin.processes()))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def start_on(terminal: int, plugin: Plugin) -> subprocess.Popen[bytes]:
    script = (
        "import fcntl, os, sys, termios\n"
        "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *plugin.command],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )


def shown(terminal: int, words: bytes, seconds: float = 30.0) -> bytes:
    """Reads a terminal until there are these words."""
    text = b""
    deadline = time.monotonic() + seconds
    while words not in text:
        readable, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert readable, text
        text += os.read(terminal, 4096)
    return text


def test_ctrl_c_on_a_terminal_leaves_nothing_behind(
    tmp_path: Path, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    plugin = Plugin(tmp_path, NOTED + "wait")
    with start_on(theirs, plugin) as process:
        pids = plugin.processes()
        os.write(ours, b"\x03")
        assert process.wait(30) == 1
        text = shown(ours, b"gatherer: error: interrupted")
    assert b"Traceback" not in text
    until(lambda: gone(pids))


@pytest.mark.parametrize("mode", ["IfAvailable", "Always", "Never"])
def test_a_plugin_may_ask_on_the_terminal(
    tmp_path: Path, terminal: tuple[int, int], mode: str
) -> None:
    ours, theirs = terminal
    source = "/dev/tty" if mode == "Never" else "/dev/stdin"
    script = f"printf 'one-time code: ' >&2; echo >&2; read code <{source}; test $code = 123456 && "
    plugin = Plugin(tmp_path, f"{script} echo '{TOKEN}'", interactiveMode=mode)
    with start_on(theirs, plugin) as process:
        shown(ours, b"one-time code:")
        os.write(ours, b"123456\n")
        shown(ours, b"connection")  # the API server was asked: there is a token
        assert process.wait(30) == 3


def test_what_a_plugin_says_is_passed_on_and_the_last_line_told(tmp_path: Path) -> None:
    plugin = Plugin(tmp_path, "echo open https://login.test >&2; printf '\\033[1mno' >&2; exit 7")
    code, said = started(plugin)
    assert code == 3
    assert said == (
        "open https://login.test\n [1mno\n"
        "gatherer: error: the credential plugin 'sh' failed with exit code 7: [1mno; "
        "log in again with the tool it belongs to\n"
    )


def test_a_plugin_that_is_killed(tmp_path: Path) -> None:
    code, said = started(Plugin(tmp_path, "kill -9 $$"))
    assert code == 3
    assert "the credential plugin 'sh' was ended by signal 9" in said


def run(script: str, seconds: float = 30.0) -> plugin_process.Printed:
    environment = {**os.environ, plugin_process.EXEC_INFO: "{}"}
    return asyncio.run(
        plugin_process.run(["sh", "-c", script], environment, interactive=False, seconds=seconds)
    )


def test_one_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(plugin_process.PluginTooSlow):
        run(NOTED.replace("@", f"{tmp_path}/") + "wait", 1.0)
    pids = [int(word) for word in (tmp_path / "there").read_text().split()]
    until(lambda: gone(pids))


def test_ctrl_c_twice_while_it_is_started_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.append(popen(*arguments, **options))
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # which asyncio answers with KeyboardInterrupt, here
        return begun[0]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        run("sleep 300")
    assert begun[0].poll() == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_daemon_that_keeps_stdout_open_is_not_waited_for(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! >{tmp_path}/pid; echo done"
    printed = run(script)
    daemon = psutil.Process(int((tmp_path / "pid").read_text()))
    try:
        assert (printed.code, printed.stdout) == (0, b"done\n")
        assert daemon.is_running()  # such as an agent that keeps the login
    finally:
        daemon.kill()


def test_a_plugin_starts_with_default_dispositions() -> None:
    before = {number: signal.getsignal(number) for number in range(mark.FIRST, mark.LAST + 1)}
    try:
        mark.set_mark()
        printed = run("grep -E '^Sig(Ign|Blk)' /proc/self/status")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    ignored = {line.split()[0]: int(line.split()[1], 16) for line in printed.stdout.splitlines()}
    assert not mark.is_marked(ignored[b"SigIgn:"])
    assert ignored[b"SigIgn:"] >> (mark.FIRST - 1) == 0
    assert ignored[b"SigBlk:"] == 0
