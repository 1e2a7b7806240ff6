"""However hunter ends, the program it traced runs on, untraced, with right results."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hg_shared.messages import Goodbye, Stop
from hg_shared.records import Kind
from hunter.engines.choose import ENGINES
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee, tracers

Hunt = Callable[..., HunterSession]
Start = Callable[..., Tracee]


class Counter:
    """The counter program and its progress."""

    def __init__(self, start: Start, binary: Path, folder: Path, threads: int) -> None:
        self.rounds = folder / "rounds"
        self.tracee = start(binary, self.rounds, threads)
        self.pid = self.tracee.pid

    def progress(self) -> int:
        return int.from_bytes(self.rounds.read_bytes(), "little")

    def runs_untraced(self) -> None:
        assert tracers(self.pid) == {0}
        before = self.progress()
        wait_until(lambda: self.progress() > before + 100, "progress without a tracer")
        assert self.tracee.state() in "RS"

    def ends_well(self) -> None:
        self.tracee.tell("end")
        assert self.tracee.finish() == ("ok\n", 0)


@pytest.fixture
def counter(start: Start, compiled: Callable[[str], Path], tmp_path: Path) -> Counter:
    return Counter(start, compiled("counter"), tmp_path, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_hunter_in_order(
    hunt_pid: Hunt, counter: Counter, number: signal.Signals
) -> None:
    hunter = hunt_pid(counter.pid)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 200, "200 calls")
    hunter.kill(number)
    assert hunter.wait_ended() == 0
    counter.runs_untraced()
    goodbye = hunter.of(Goodbye)[0]
    assert goodbye.reason == f"signal {number.name}"
    assert hunter.decoder.errors == []
    counter.ends_well()


@pytest.mark.long
def test_killed_at_any_moment_hunter_harms_nobody(hunt: Hunt, counter: Counter) -> None:
    traced_when_killed = 0
    engines = [name for name in ENGINES if name.startswith("ptrace")]
    for turn in range(24):
        engine = engines[turn // 3 % len(engines)]
        options = ("--only-pids", "--pid", counter.pid, "--frequency", "0.2")
        hunter = hunt("--engine", engine, *options)
        if turn % 3 == 0:
            hunter.wait_hello()
        elif turn % 3 == 1:
            hunter.wait_attached(counter.pid)
        else:
            hunter.wait_for(lambda h=hunter: h.count(Kind.SYSCALL) > 300, "300 calls")
        # Not a handshake: the kill is meant to hit another moment each time.
        time.sleep(turn * 0.0017)
        traced_when_killed += hunter.process.pid in tracers(counter.pid)
        hunter.kill(signal.SIGKILL)
        assert hunter.wait_ended() == -signal.SIGKILL
        counter.runs_untraced()
        wait_until(lambda h=hunter: h.processes() == [], "nothing of hunter is left")
        hunter.close()
    assert traced_when_killed >= 12
    counter.ends_well()


def test_killed_while_letting_go(hunt_pid: Hunt, counter: Counter) -> None:
    for turn in range(5):
        hunter = hunt_pid(counter.pid)
        hunter.acknowledge = False
        hunter.send(Stop("interrupted"))
        time.sleep(turn * 0.006)
        hunter.kill(signal.SIGKILL)
        assert hunter.wait_ended() == -signal.SIGKILL
        counter.runs_untraced()
        hunter.close()
    counter.ends_well()


def test_killed_while_it_traces_a_program_that_forks(start: Start, hunt_pid: Hunt) -> None:
    script = Path(__file__).parent / "targets" / "forks.sh"
    untraced = start("/bin/sh", script)
    untraced.tell("go")
    expected = untraced.finish()
    for turn in range(4):
        tracee = start("/bin/sh", script)
        hunter = hunt_pid(tracee.pid)
        tracee.tell("go")
        hunter.wait_for(lambda h=hunter, n=turn: h.count(Kind.SIGNAL) > 5 * n, "children ended")
        hunter.kill(signal.SIGKILL)
        hunter.wait_ended()
        assert tracee.finish() == expected
        hunter.close()


def test_end_of_stdin_ends_hunter(hunt_pid: Hunt, counter: Counter) -> None:
    hunter = hunt_pid(counter.pid)
    hunter.close_stdin()
    assert hunter.wait_ended(timeout=6) == 0
    counter.runs_untraced()
    assert hunter.of(Goodbye)[0].reason == "stdin_closed"
    counter.ends_well()


def test_a_broken_stdout_ends_hunter(hunt_pid: Hunt, counter: Counter) -> None:
    hunter = hunt_pid(counter.pid)
    hunter.close_stdout()
    assert hunter.wait_ended(timeout=6) == 0
    counter.runs_untraced()
    counter.ends_well()


def test_both_pipes_closed_at_once(hunt_pid: Hunt, counter: Counter) -> None:
    hunter = hunt_pid(counter.pid)
    hunter.close_stdout()
    hunter.close_stdin()
    hunter.wait_ended(timeout=6)
    counter.runs_untraced()
    counter.ends_well()


def test_without_a_word_from_gatherer_hunter_ends_after_linger(
    hunt_pid: Hunt, counter: Counter
) -> None:
    hunter = hunt_pid(counter.pid, "--linger", "0.7", pings=False)
    hunter.acknowledge = False
    began = time.monotonic()
    assert hunter.wait_ended(timeout=7) == 0
    assert time.monotonic() - began < 0.7 + 5
    counter.runs_untraced()
    assert hunter.of(Goodbye)[0].reason == "no_heartbeat"
    counter.ends_well()


def test_a_client_that_neither_reads_nor_writes_is_given_up(
    hunt_pid: Hunt, counter: Counter
) -> None:
    hunter = hunt_pid(counter.pid, "--linger", "0.7", pings=False)
    hunter.pause_reading()
    began = time.monotonic()
    hunter.process.wait(8)
    assert time.monotonic() - began < 0.7 + 5 + 1
    counter.runs_untraced()
    counter.ends_well()


def test_pings_keep_hunter_beyond_linger(hunt_pid: Hunt, counter: Counter) -> None:
    hunter = hunt_pid(counter.pid, "--linger", "1")
    began = time.monotonic()
    hunter.wait_for(lambda: time.monotonic() - began > 2.2, "more than twice --linger")
    assert hunter.traces(counter.pid)
    hunter.stop()
    counter.runs_untraced()
    counter.ends_well()


def test_the_program_dies_with_hunter_stopped_and_is_reaped(
    hunt_pid: Hunt, counter: Counter
) -> None:
    """A frozen hunter (SIGSTOP) holds its tracee only until hunter is killed."""
    hunter = hunt_pid(counter.pid)
    hunter.kill(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(hunter.process.pid).status() == "stopped", "stopped")
    hunter.kill(signal.SIGKILL)
    hunter.wait_ended()
    counter.runs_untraced()
    os.kill(counter.pid, signal.SIGTERM)
    assert counter.tracee.finish() == ("", -signal.SIGTERM)
