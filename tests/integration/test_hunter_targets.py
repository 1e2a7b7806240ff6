"""A traced program does what it would do untraced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.messages import Hello
from hg_shared.records import Kind
from hg_shared.syscalls import lookup
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee, status_field, tracers

pytestmark = pytest.mark.usefixtures("engine")
Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
Compiled = Callable[[str], Path]

PTRACE_EVENT_CLONE = 3
ROOT = Path(__file__).resolve().parents[2]


def run_to_end(tracee: Tracee) -> tuple[str, int]:
    tracee.tell("go")
    return tracee.finish()


def assert_traced(hunter: HunterSession, pid: int) -> None:
    """Every thread has hunter for its tracer; the ebpf engine is none."""
    if hunter.of(Hello)[0].engine == "ebpf":
        assert tracers(pid) == {0}
    else:
        assert hunter.traces(pid)


@pytest.mark.parametrize(
    ("command", "code", "lines"),
    [
        ((sys.executable, TARGETS / "threads.py"), 7, 16),
        (("/bin/sh", TARGETS / "forks.sh"), 5, 60),
    ],
    ids=["threads", "forks"],
)
def test_output_and_exit_code_are_those_of_an_untraced_run(
    start: Start, hunt_pid: Hunt, command: tuple[object, ...], code: int, lines: int
) -> None:
    untraced = run_to_end(start(*command))
    tracee = start(*command)
    hunter = hunt_pid(tracee.pid)
    traced = run_to_end(tracee)
    assert traced == untraced
    assert traced[1] == code
    assert len(traced[0].splitlines()) == lines
    end = hunter.wait_event("exit", tracee.pid)
    assert end.fields == {"code": code}
    hunter.wait_ended()
    assert hunter.count(Kind.SYSCALL) > 200


def test_a_program_that_is_traced_alone_ends_the_hunt(start: Start, hunt_pid: Hunt) -> None:
    tracee = start("/bin/sh", "-c", "echo ready; read line; exit 11")
    hunter = hunt_pid(tracee.pid)
    assert run_to_end(tracee) == ("", 11)
    assert hunter.wait_ended() == 0
    goodbye = hunter.messages[-1]
    assert goodbye.reason == "no_targets"
    assert goodbye.processes[0]["end_reason"] == "exited"


def attach_and_detach(engine: str, pid: int, times: int) -> list[list[str]]:
    """Runs attach_cycles.py and returns its lines: records, state and tracer of each thread."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "shared")])
    script = str(TARGETS / "attach_cycles.py")
    ran = subprocess.run(
        [sys.executable, script, engine, str(pid), str(times)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    return [line.split() for line in ran.stdout.splitlines()]


def test_a_hundred_attach_and_detach_cycles_leave_the_program_as_it_was(
    start: Start, compiled: Compiled, tmp_path: Path, engine: str
) -> None:
    rounds = tmp_path / "rounds"
    tracee = start(compiled("counter"), rounds, 4)
    cycles = attach_and_detach(engine, tracee.pid, 100)
    assert len(cycles) == 100
    for cycle in cycles:
        assert len(cycle) == 1 + 5, cycle
        assert set(cycle[1:]) <= {"R0", "S0", "D0"}, cycle
    assert sum(int(cycle[0]) for cycle in cycles) > 1000
    wait_until(lambda: tracee.state() in "RS", "state R or S")
    before = rounds.read_bytes()
    wait_until(lambda: rounds.read_bytes() != before, "progress after the last detach")
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_threads_and_children_born_while_it_is_let_go_run_on(
    start: Start, compiled: Compiled, engine: str
) -> None:
    tracee = start(compiled("churn"))
    cycles = attach_and_detach(engine, tracee.pid, 60)
    assert len(cycles) == 60
    assert sum(int(cycle[0]) for cycle in cycles) > 600
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_stop_and_continue_keep_their_meaning(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    rounds = tmp_path / "rounds"
    tracee = start(compiled("counter"), rounds, 2)
    hunter = hunt_pid(tracee.pid)
    tracee.process.send_signal(signal.SIGSTOP)
    threads = tracee.threads()
    assert len(threads) == 3

    def stopped() -> set[int]:
        found = [record.tid for record in hunter.records() if record.kind == Kind.STOPPED]
        return set(found)

    hunter.wait_for(lambda: stopped() == set(threads), "every thread in group-stop")
    assert os.waitid(os.P_PID, tracee.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    before = rounds.read_bytes()
    marks = len(hunter.batches)
    hunter.wait_for(lambda: len(hunter.batches) > marks + 2, "two more batches")
    assert rounds.read_bytes() == before
    tracee.process.send_signal(signal.SIGCONT)
    wait_until(lambda: rounds.read_bytes() != before, "progress after SIGCONT")
    hunter.wait_record(
        lambda r: r.kind == Kind.SIGNAL and r.nr == signal.SIGCONT, "delivery of SIGCONT"
    )
    tracee.process.send_signal(signal.SIGTSTP)
    hunter.wait_record(
        lambda r: r.kind == Kind.STOPPED and r.nr == signal.SIGTSTP, "group-stop by SIGTSTP"
    )
    hunter.stop()
    assert tracers(tracee.pid) == {0}
    assert tracee.state() == "T"
    tracee.process.send_signal(signal.SIGCONT)
    before = rounds.read_bytes()
    wait_until(lambda: rounds.read_bytes() != before, "progress after the detach and SIGCONT")
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_every_queued_signal_is_delivered_once(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("signals"))
    hunter = hunt_pid(tracee.pid)
    for _ in range(1000):
        os.kill(tracee.pid, signal.SIGRTMIN)
    wait_until(lambda: tracee.ask("count") == "1000", "1000 signals handled")

    def delivered() -> int:
        return sum(r.kind == Kind.SIGNAL and r.nr == signal.SIGRTMIN for r in hunter.records())

    hunter.wait_for(lambda: delivered() >= 1000, "1000 signal records")
    assert delivered() == 1000
    record = next(r for r in hunter.records() if r.kind == Kind.SIGNAL)
    # siginfo_t: si_signo, si_errno, si_code, then the sender's pid.
    siginfo = memoryview(record.captures[8:]).cast("i")
    assert (siginfo[0], siginfo[4]) == (signal.SIGRTMIN, os.getpid())
    tracee.tell("end")
    assert tracee.finish() == ("", 6)


def test_signals_that_come_while_hunter_lets_go_are_not_lost(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("signals"))
    sent = 0
    for _ in range(3):
        hunter = hunt_pid(tracee.pid)
        hunter.kill(signal.SIGTERM)
        while hunter.process.poll() is None:
            os.kill(tracee.pid, signal.SIGRTMIN)
            sent += 1
        assert hunter.wait_ended() == 0
    wait_until(lambda: tracee.ask("count") == str(sent), f"all {sent} signals handled")
    tracee.tell("end")
    assert tracee.finish() == ("", 6)


def test_execve_by_the_main_thread(start: Start, hunt_pid: Hunt) -> None:
    script = "echo ready; read line; exec /bin/sh -c 'echo second $$; exit 8' name"
    tracee = start("/bin/sh", "-c", script)
    hunter = hunt_pid(tracee.pid)
    assert run_to_end(tracee) == (f"second {tracee.pid}\n", 8)
    hunter.wait_ended()
    assert [event.pid for event in hunter.events("exec")] == [tracee.pid]
    kinds = [r.kind for r in hunter.records()]
    assert kinds.count(Kind.EXEC) == 1
    execve = next(r for r in hunter.records() if name_of(r) == "execve" and r.kind == Kind.SYSCALL)
    assert execve.rval == 0
    assert b"/bin/sh" in execve.captures
    assert b"echo second" in execve.captures
    written = [r for r in hunter.records() if r.kind == Kind.SYSCALL and name_of(r) == "write"]
    assert any(b"second" in r.captures for r in written), "memory was not read after execve"


def name_of(record: object) -> str:
    syscall = lookup(record.abi, record.nr)
    assert syscall is not None
    return syscall.name


@pytest.mark.parametrize("options", [(), ("--trace", "read,write")], ids=["all", "filtered"])
def test_execve_by_another_thread(
    start: Start, hunt_pid: Hunt, compiled: Compiled, options: tuple[str, ...]
) -> None:
    tracee = start(compiled("exec_thread"))
    threads = tracee.threads()
    hunter = hunt_pid(tracee.pid, *options)
    assert tracee.ask("go") == f"executed argument {tracee.pid}"
    assert_traced(hunter, tracee.pid)
    event = hunter.wait_record(lambda r: r.kind == Kind.EXEC, "EXEC record")
    assert event.tid == tracee.pid
    assert event.args[0] in threads
    assert event.args[0] != tracee.pid
    assert tracee.ask("again") == "again"
    assert tracee.finish() == ("", 3)
    hunter.wait_ended()
    calls = [r for r in hunter.records() if r.kind == Kind.SYSCALL]
    # The leader's own read of a pipe never returned: it ended with the leader.
    ended = [r for r in calls if r.tid == tracee.pid and r.start < event.start]
    assert [name_of(r) for r in ended if name_of(r) != "execve"] == []
    assert [r.rval for r in ended] == ([0] if not options else [])
    assert any(b"again" in r.captures for r in calls if r.tid == tracee.pid)
    assert hunter.messages[-1].processes[0]["end_reason"] == "exited"


def test_threads_and_programs_started_while_traced(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("churn"))
    hunter = hunt_pid(tracee.pid)
    hunter.wait_for(lambda: hunter.count(Kind.EXITED) > 220, "220 threads ended")
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)
    hunter.wait_ended()
    records = hunter.records()
    new = {r.args[0] for r in records if r.kind == Kind.THREAD and r.nr == PTRACE_EVENT_CLONE}
    gone = {r.tid for r in records if r.kind == Kind.EXITED}
    traced = {r.tid for r in records if r.kind == Kind.SYSCALL}
    assert new - gone == set(), "threads that started and were not seen to end"
    assert len(traced & new) > 200
    # Programs started by vfork are other processes: not followed, and nothing of them recorded.
    assert hunter.events("exec") == []
    returned = [r for r in records if r.kind == Kind.SYSCALL and name_of(r) == "vfork"]
    children = {r.rval for r in returned}
    assert len(children) > 10
    assert not children & traced


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGRTMIN + 6])
def test_a_process_killed_while_traced(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path, number: int
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 3)
    threads = set(tracee.threads())
    hunter = hunt_pid(tracee.pid)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 500, "500 calls")
    os.kill(tracee.pid, number)
    assert tracee.process.wait(10) == -number
    event = hunter.wait_event("exit", tracee.pid)
    assert event.fields["signal"] == ("SIGKILL" if number == 9 else "SIGRT_8")
    assert hunter.wait_ended() == 0, hunter.errors()
    ends = [r for r in hunter.records() if r.kind == Kind.EXITED]
    assert {r.tid for r in ends} == threads
    assert {r.rval for r in ends} == {int(number)}


def test_32_bit_calls_are_recorded_with_their_abi_and_filtered(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    def calls(*options: str) -> list[tuple[str, str, int]]:
        tracee = start(compiled("int80"))
        hunter = hunt_pid(tracee.pid, *options)
        assert run_to_end(tracee) == ("thirty-two\n" * 3, 0)
        hunter.wait_ended()
        found = [r for r in hunter.records() if r.kind == Kind.SYSCALL]
        assert all(b"thirty-two" in r.captures for r in found if name_of(r) == "write")
        return [(name_of(r), r.abi, r.rval) for r in found if r.abi == 2]

    everything = calls()
    assert [name for name, _, _ in everything] == ["getpid", "write"] * 3
    assert [rval for name, _, rval in everything if name == "write"] == [11, 11, 11]
    assert [name for name, _, _ in calls("--trace", "write")] == ["write"] * 3


def test_nothing_is_left_of_tracing_in_the_status_of_a_thread(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("blocked"))
    tracee.line()
    hunter = hunt_pid(tracee.pid)
    assert_traced(hunter, tracee.pid)
    hunter.stop()
    for tid in tracee.threads():
        assert status_field(tid, "TracerPid") == "0"
        assert status_field(tid, "State")[0] == "S"
    tracee.tell("go")
    assert tracee.finish() == ("ok\n", 0)
