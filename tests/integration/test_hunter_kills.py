"""SIGKILL of hunter at random moments: the program it traced runs on, and its results are right.

`make test-all` kills a few, `make soak` 200.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from gatherer.stream.rejoin import RejoinHandshake, new_session_key
from hg_shared import wire
from hg_shared.messages import SOCKET_PREFIX, SessionKey, Stop
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee, tracers

SAMPLE, ALL = 10, 200
ENGINES = ("ptrace", "ptrace-python", "ebpf")
PER_TARGET = 10
KILLS = ALL if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else SAMPLE


def unsettle(hunter: HunterSession, key: SessionKey, random: Random) -> None:
    """Brings hunter into one of the states in which it may be killed."""
    state = random.choice(("traces", "traces", "alone", "joined", "lets go"))
    if state == "lets go":
        hunter.send(Stop("interrupted"))
    if state in ("alone", "joined"):
        hunter.close_stdin()
    if state == "joined":
        handshake = RejoinHandshake(key, 0)
        with socket.socket(socket.AF_UNIX) as other:
            try:
                other.connect("\0" + SOCKET_PREFIX + key.session)
                other.sendall(handshake.hello())
                other.sendall(handshake.receive_data(other.recv(4096)))
            except OSError:
                pass  # It does not listen yet.


@pytest.mark.long
def test_the_program_always_runs_on(
    start: Callable[..., Tracee],
    hunt: Callable[..., HunterSession],
    compiled: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    traced = 0
    for number in range(KILLS):
        random = Random(number)
        if number % PER_TARGET == 0:
            rounds = tmp_path / f"rounds{number}"
            target = start(compiled("counter"), rounds, 2)
        key = new_session_key()
        engine = ENGINES[number % len(ENGINES)]
        hunter = hunt(
            *("--engine", engine, "--only-pids", "--pid", target.pid, "--frequency", "0.1")
        )
        hunter.write(wire.encode(key))
        if random.random() < 0.7:
            hunter.wait_attached(target.pid)
            unsettle(hunter, key, random)
        # Not a handshake: the kill is meant to hit any moment, while it starts as well.
        time.sleep(random.uniform(0, 0.3))
        traced += hunter.process.pid in tracers(target.pid)
        hunter.kill(signal.SIGKILL)
        assert hunter.wait_ended() in (0, -signal.SIGKILL)
        assert tracers(target.pid) == {0}, f"kill {number}"
        before = int.from_bytes(rounds.read_bytes(), "little")
        wait_until(
            lambda r=rounds, b=before: int.from_bytes(r.read_bytes(), "little") > b + 100,
            f"progress after kill {number} of {engine}",
        )
        wait_until(lambda h=hunter: h.processes() == [], "nothing of hunter is left")
        hunter.close()
        if number % PER_TARGET == PER_TARGET - 1:
            target.tell("end")
            assert target.finish() == ("ok\n", 0)
    print(f"{KILLS} kills, {traced} of them while a ptrace engine had the program")
    assert traced >= KILLS // 10
