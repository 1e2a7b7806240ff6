"""Whatever happens to hunter: its target stands still for three seconds at most.

`make test-all` tries a few ways at a few moments, `make soak` 200.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from hg_shared.messages import Event, Stop
from hg_shared.records import Kind
from tests.integration.cpu_limit import CpuLimit
from tests.integration.engines import EVERY_ENGINE, REFUSED
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee, status_field, tracers

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
Compiled = Callable[[str], Path]

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
TIMES = 200 if SOAK else 5
LONGEST_MS = 3000
# How long nothing must happen: a target that waits, or is stopped, is not held.
REST = 60.0 if SOAK else 3.0
# How long a trouble lasts: longer than a hunter that is stuck may live.
TROUBLE_SECONDS = 6.0 if SOAK else 4.0
# A second is promised, on a machine with nothing else to do.
SUCCESSOR_SECONDS = 3.0
STUCK = "hunter: stuck: "
ENGINES = [
    ("ptrace", 1), ("ptrace-python", 1), ("ptrace", 4), ("ptrace-python", 3), ("ebpf", 2)
]  # fmt: skip


def gap(target: Tracee) -> int:
    """The longest time for which a thread of the target stood still since the last question, ms."""
    return int(target.ask("gap").split()[0])


def watchdogs(hunter: HunterSession) -> list[int]:
    return [each.pid for each in hunter.processes() if each.pid != hunter.process.pid]


def watchdog_of(hunter: HunterSession) -> int:
    """Waits until there is one: on a busy machine one that starts late is replaced."""

    def one() -> list[int]:
        found = watchdogs(hunter)
        return found if len(found) == 1 else []

    return int(wait_until(one, "one watchdog")[0])


def wait_killed(hunter: HunterSession, seconds: float = 15.0) -> str:
    """Waits until the watchdog has ended hunter; returns why."""
    assert hunter.wait_ended(seconds) == -signal.SIGKILL
    said = hunter.errors()
    assert said.startswith(STUCK), said
    wait_until(lambda: hunter.processes() == [], "the watchdog has gone too")
    return said.removeprefix(STUCK).strip()


@pytest.fixture
def gaps(start: Start, compiled: Compiled) -> Callable[..., Tracee]:
    """Starts a target that measures for how long it stands still."""
    return lambda *arguments: start(compiled("gaps"), *arguments)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_stopped_hunter_is_ended(
    hunt_pid: Hunt, gaps: Callable[..., Tracee], engine: str, threads: int
) -> None:
    target = gaps(threads, 500)
    hunter = hunt_pid(target.pid)
    gap(target)
    hunter.kill(signal.SIGSTOP)
    said = wait_killed(hunter)
    assert "stood in a ptrace-stop for 2." in said
    assert said.endswith("while hunter (state T) answered none")
    assert tracers(target.pid) == {0}
    assert gap(target) <= LONGEST_MS
    target.tell("end")
    assert target.finish() == ("ok\n", 0)


@pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}")
def test_programs_of_a_stopped_hunter_are_taken_away(
    hunt_pid: Hunt, gaps: Callable[..., Tracee]
) -> None:
    target = gaps(1, 500)
    hunter = hunt_pid(target.pid, "--engine", "ebpf")
    hunter.kill(signal.SIGSTOP)
    said = wait_killed(hunter, 20)
    assert said.endswith("s while hunter (state T) did nothing")
    assert gap(target) <= LONGEST_MS


def test_a_hunter_that_a_debugger_holds_is_ended(
    hunt_pid: Hunt, gaps: Callable[..., Tracee], engine: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: nothing holds hunter")
    target = gaps(2, 500)
    hunter = hunt_pid(target.pid)
    with subprocess.Popen(
        [strace, "-qq", "-o", os.devnull, "-p", str(hunter.process.pid)], stderr=subprocess.DEVNULL
    ) as debugger:
        try:
            wait_until(
                lambda: int(status_field(hunter.process.pid, "TracerPid")) == debugger.pid,
                "strace has hunter",
            )
            rounds = int(target.ask("gap").split()[1])
            # While it looks on, hunter is slow, no more.
            wait_until(lambda: int(target.ask("gap").split()[1]) > rounds + 50, "progress")
            gap(target)
            debugger.send_signal(signal.SIGSTOP)
            said = wait_killed(hunter)
            assert f"(state t, traced by process {debugger.pid})" in said
            assert gap(target) <= LONGEST_MS
        finally:
            debugger.kill()


def test_a_target_at_rest_or_under_sigstop_does_not_end_hunter(
    hunt_pid: Hunt, start: Start, engine: str
) -> None:
    target = start(sys.executable, TARGETS / "steps.py")
    hunter = hunt_pid(target.pid)
    assert target.ask("1").startswith("done")
    time.sleep(REST)
    assert hunter.process.poll() is None
    os.kill(target.pid, signal.SIGSTOP)
    hunter.wait_for(lambda: hunter.count(Kind.STOPPED), "the target is stopped")
    time.sleep(REST)
    assert hunter.process.poll() is None
    os.kill(target.pid, signal.SIGCONT)
    assert target.ask("1").startswith("done")
    hunter.stop()
    assert hunter.errors() == ""


def test_a_target_that_is_continued_is_not_held_by_a_stopped_hunter(
    hunt_pid: Hunt, gaps: Callable[..., Tracee], engine: str
) -> None:
    """A group-stop is no reason to end hunter; that it cannot end is."""
    target = gaps(2, 500)
    hunter = hunt_pid(target.pid)
    os.kill(target.pid, signal.SIGSTOP)
    hunter.wait_for(lambda: hunter.count(Kind.STOPPED) >= 3, "all its threads are stopped")
    hunter.kill(signal.SIGSTOP)
    time.sleep(REST)
    assert hunter.process.poll() is None
    os.kill(target.pid, signal.SIGCONT)
    continued = time.monotonic()
    wait_killed(hunter)
    rounds = int(target.ask("gap").split()[1])
    wait_until(lambda: int(target.ask("gap").split()[1]) > rounds, "it goes on")
    assert time.monotonic() - continued < LONGEST_MS / 1000


def test_a_process_that_a_debugger_holds_does_not_end_hunter(
    hunt: Hunt, gaps: Callable[..., Tracee], engine: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: nothing holds the target")
    target, other = gaps(1, 500), gaps(1, 500)
    command = [strace, "-f", "-qq", "-o", os.devnull, "-p", str(target.pid)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as debugger:
        try:
            wait_until(lambda: tracers(target.pid) == {debugger.pid}, "strace has the target")
            hunter = hunt(
                *("--only-pids", "--pid", target.pid, "--pid", other.pid, "--frequency", "0.2")
            )
            hunter.wait_attached(other.pid)
            hunter.wait_for(
                lambda: (
                    [e for e in hunter.of(Event) if e.pid == target.pid and e.event != "scan"]
                    or [e for e in hunter.events("scan") if e.pid == target.pid]
                ),
                "what becomes of the other process",
            )
            debugger.send_signal(signal.SIGSTOP)
            time.sleep(REST)
            assert hunter.process.poll() is None
            hunter.stop()
        finally:
            debugger.kill()


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_a_watchdog_that_dies_has_a_successor_that_does_its_work(
    hunt_pid: Hunt, gaps: Callable[..., Tracee], engine: str
) -> None:
    target = gaps(2, 500)
    hunter = hunt_pid(target.pid, "--engine", engine)
    for _ in range(3):
        former = watchdog_of(hunter)
        os.kill(former, signal.SIGKILL)
        killed = time.monotonic()
        wait_until(lambda f=former: watchdogs(hunter) not in ([], [f]), "another watchdog")
        assert time.monotonic() - killed < SUCCESSOR_SECONDS
        # Neither BPF programs nor the lock of the node may outlive hunter through it.
        latest = watchdog_of(hunter)
        wait_until(lambda p=latest: len(os.listdir(f"/proc/{p}/fd")) <= 4, "few descriptors")
    told = hunter.wait_for(lambda: hunter.events("watchdog")[2:], "three successors")
    assert told[-1].fields["by"] == latest
    if engine == "ebpf" and not SOAK:
        return  # ten seconds more
    gap(target)
    hunter.kill(signal.SIGSTOP)
    wait_killed(hunter, 20)
    assert gap(target) <= LONGEST_MS


@pytest.mark.long
def test_a_watchdog_that_is_stopped_is_replaced(
    hunt_pid: Hunt, gaps: Callable[..., Tracee]
) -> None:
    target = gaps(1, 500)
    hunter = hunt_pid(target.pid)
    former = watchdog_of(hunter)
    os.kill(former, signal.SIGSTOP)
    wait_until(lambda: watchdogs(hunter) not in ([], [former]), "another watchdog", 20)
    hunter.stop()


def test_too_little_cpu_is_said_at_the_beginning(hunt: Hunt, gaps: Callable[..., Tracee]) -> None:
    try:
        limit = CpuLimit(9)
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        target = gaps(1, 5000)
        enter = ("sh", "-c", 'echo $$ >"$0"; exec "$@"', limit.procs)
        hunter = hunt("--only-pids", "--pid", target.pid, "--frequency", "0.5", prefix=enter)
        fields = hunter.wait_event("little_cpu").fields
        assert fields["cpus"] == 0.09
        assert str(limit.procs.parent.name) in str(fields["source"])
    finally:
        hunter.close()
        wait_until(lambda: hunter.processes() == [], "nothing of hunter is left")
        limit.close()


class Trouble:
    """One thing that happens to hunter.

    Args:
        hunter: the hunter.
        what: `stopped`, `looked at`, `held`, or `out of CPU`.
    """

    def __init__(self, hunter: HunterSession, what: str) -> None:
        self._debugger: subprocess.Popen[bytes] | None = None
        self._limit: CpuLimit | None = None
        if what == "stopped":
            hunter.kill(signal.SIGSTOP)
        elif what == "out of CPU":
            self._limit = CpuLimit(1)
            self._limit.take(each.pid for each in hunter.processes())
        else:
            command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(hunter.process.pid)]
            self._debugger = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            wait_until(
                lambda: (
                    tracers(hunter.process.pid) == {self._debugger.pid}
                    or hunter.process.poll() is not None
                ),
                "strace has hunter",
            )
            if what == "held":
                self._debugger.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        """Ends it."""
        if self._debugger is not None:
            self._debugger.kill()
            self._debugger.wait(10)
        if self._limit is not None:
            self._limit.close()


def troubles() -> list[str]:
    """What can be done to hunter here."""
    found = ["stopped"]
    if shutil.which("strace"):
        found += ["looked at", "held"]
    try:
        CpuLimit(1).close()
    except OSError:
        return found
    return [*found, "out of CPU"]


@pytest.mark.long
def test_the_target_never_stands_still_for_longer(
    start: Start, hunt: Hunt, compiled: Compiled
) -> None:
    """Any engine, any trouble, any moment: while it attaches, traces, follows children, lets go."""
    possible = troubles()
    longest = ended = 0
    for number in range(TIMES):
        random = Random(number)
        engine, threads = ENGINES[number % len(ENGINES)]
        if engine == "ebpf" and REFUSED:
            continue
        what = random.choice(possible) if SOAK else possible[number % len(possible)]
        forks = threads == 1 and random.random() < 0.5
        mode = ("forks",) if forks else ()
        target = start(compiled("gaps"), threads, random.choice((0, 200, 5000)), *mode)
        follow = ("--follow-forks",) if forks and random.random() < 0.7 else ()
        options = ("--engine", engine, "--only-pids", "--pid", target.pid, "--frequency", "0.2")
        hunter = hunt(*options, *follow)
        if random.random() < 0.8:
            hunter.wait_attached(target.pid)
        gap(target)
        # Not a handshake: the trouble is meant to come at any moment.
        time.sleep(random.uniform(0, 0.4))
        if random.random() < 0.15:
            hunter.send(Stop("interrupted"))
        trouble = Trouble(hunter, what)
        try:
            try:
                hunter.wait_ended(TROUBLE_SECONDS)
            except subprocess.TimeoutExpired:
                pass  # one that holds nobody, or goes on, may live
            stood = gap(target)
            longest = max(longest, stood)
            ended += hunter.process.returncode == -signal.SIGKILL
            described = f"{number}: {engine}, {threads} threads, {what}, {stood} ms"
            print(described)
            assert stood <= LONGEST_MS, described
        finally:
            trouble.close()
            hunter.close()
        wait_until(lambda t=target: tracers(t.pid) == {0}, "it is let go")
        target.tell("end")
        assert target.finish() == ("ok\n", 0)
        wait_until(lambda h=hunter: h.processes() == [], "nothing of hunter is left")
    print(f"{TIMES} times, hunter was ended {ended} times, longest {longest} ms")
    assert ended
