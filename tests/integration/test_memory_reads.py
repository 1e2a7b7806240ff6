"""Memory of a tracee where /proc/PID/mem cannot be opened, though ptrace(2) is allowed."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.records import Abi, Kind, Record
from hg_shared.syscalls import lookup
from tests.captures import decode_captures
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee

PROGRAM = """
import os, time
print("ready", flush=True)
while True:
    fd = os.open("/etc/hostname", os.O_RDONLY)
    os.read(fd, 16)
    os.close(fd)
    time.sleep(0.01)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace")


def captured(session: HunterSession, name: str) -> list[bytes]:
    """Returns what was read of the memory of each call of that name."""

    def is_it(record: Record) -> bool:
        return record.kind == Kind.SYSCALL and lookup(Abi(record.abi), record.nr).name == name

    return [
        capture.data
        for record in session.records()
        if is_it(record)
        for capture in decode_captures(record.captures)
    ]


def test_it_is_read_word_by_word(
    hunt: Callable[..., HunterSession], start: Callable[..., Tracee], tmp_path: Path
) -> None:
    target = start(sys.executable, "-c", PROGRAM)
    # open(2) of a socket fails, whoever asks: ENXIO.
    closed = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(closed))
        script = f'mount --bind {closed} /proc/{target.pid}/mem && exec "$@"'
        session = hunt(
            *("--only-pids", "--pid", target.pid, "--frequency", "0.2"),
            *("--engine", "ptrace-python", "--placement", "off"),
            prefix=("unshare", "--mount", "sh", "-c", script, "sh"),
        )
        session.wait_attached(target.pid)
        wait_until(lambda: len(captured(session, "read")) > 3, "some reads")
        session.stop()
    hostname = Path("/etc/hostname").read_bytes()[:16]
    assert set(captured(session, "openat")) == {b"/etc/hostname"}
    assert set(captured(session, "read")) == {hostname}
