"""The relay on every CPython there is here: bytes both ways, and an end on every occasion."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator

import pytest

from gatherer.guest.rejoin_relay import NOBODY
from gatherer.inject.exec_start import program_text
from tests.cluster.test_kube_bootstrap import interpreters

PIECE = os.urandom(1 << 16)


class Hunter:
    """A socket as hunter's, and a relay to it."""

    def __init__(self, python: str) -> None:
        name = f"hunter-test-{secrets.token_hex(8)}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("\0" + name)
            listener.listen(1)
            self.relay = subprocess.Popen(
                [python, "-I", "-S", "-c", program_text("rejoin_relay"), name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
            listener.settimeout(20)
            self.socket, _ = listener.accept()
        self.socket.settimeout(20)
        assert self.relay.stdin is not None
        assert self.relay.stdout is not None
        self.stdin, self.stdout = self.relay.stdin, self.relay.stdout

    def close(self) -> None:
        self.socket.close()
        if self.relay.poll() is None:
            self.relay.kill()
        self.relay.wait(20)
        for stream in (self.relay.stdin, self.relay.stdout, self.relay.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture(params=interpreters())
def hunter(request: pytest.FixtureRequest) -> Iterator[Hunter]:
    started = Hunter(request.param)
    yield started
    started.close()


def test_bytes_pass_both_ways_at_once(hunter: Hunter) -> None:
    up = down = b""
    for _ in range(20):
        hunter.stdin.write(PIECE[:3000])
        hunter.socket.sendall(PIECE)
        while len(down) < len(PIECE):
            down += hunter.stdout.read(1 << 16)
        while len(up) < 3000:
            up += hunter.socket.recv(1 << 16)
        assert (up, down) == (PIECE[:3000], PIECE)
        up = down = b""


def test_the_end_of_stdin_ends_it(hunter: Hunter) -> None:
    hunter.stdin.close()
    assert hunter.socket.recv(1) == b""
    assert hunter.relay.wait(20) == 0


def test_what_hunter_said_last_gets_through(hunter: Hunter) -> None:
    hunter.socket.sendall(PIECE)
    hunter.socket.close()
    down = b""
    while data := hunter.stdout.read(1000):
        down += data
    assert down == PIECE
    assert hunter.relay.wait(20) == 0


@pytest.mark.parametrize("hunter", interpreters()[:1], indirect=True)
def test_a_stdout_that_nobody_reads_does_not_keep_it(hunter: Hunter) -> None:
    hunter.socket.setblocking(False)
    try:
        while True:
            hunter.socket.send(PIECE)
    except BlockingIOError:
        pass
    hunter.socket.close()
    assert hunter.relay.wait(20) == 0


def test_a_closed_stdout_ends_it(hunter: Hunter) -> None:
    hunter.stdout.close()
    assert hunter.relay.wait(20) == 0
    assert hunter.socket.recv(1) == b""


@pytest.mark.parametrize("python", interpreters()[:1])
def test_without_a_hunter_it_says_so(python: str) -> None:
    command = [python, "-I", "-S", "-c", program_text("rejoin_relay"), "hunter-nobody"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (NOBODY, b"", b"")
