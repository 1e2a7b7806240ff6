"""The ebpf engine against ptrace-python, under pressure, and at its end."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared import rights
from hg_shared.messages import Hello
from hg_shared.records import Kind, Record
from hg_shared.syscalls import lookup
from hunter.engines.ebpf import loading
from hunter.memory import procfs
from tests.captures import decode_captures
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee
from tests.kernels import verifier

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
Compiled = Callable[[str], Path]

REFUSED = loading.missing(
    platform.machine(),
    platform.release(),
    rights.parse_rights(procfs.status_fields("self"), "").capabilities,
)
pytestmark = pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}")
CALLS = 200_000
BPF_PROG_GET_FD_BY_ID = 13


def name_of(record: Record) -> str:
    syscall = lookup(record.abi, record.nr)
    return syscall.name if syscall is not None else str(record.nr)


def told(hunter: HunterSession, pid: int) -> list[str]:
    """Returns what is the same in every run: all but times and inodes.

    It begins behind the read of `go`, which may end before the thread has stopped for its tracer.
    """
    lines = []
    for record in sorted(hunter.records(), key=lambda each: each.start):
        if record.kind == Kind.SYSCALL:
            name, rval = name_of(record), record.rval
            captures = decode_captures(record.captures)
            if name == "newfstatat":
                captures = [each._replace(data=b"") for each in captures]
            # ebpf tells how many strings there are, not where they are.
            if name == "execve":
                captures = [each if each.hop else each._replace(data=b"") for each in captures]
            known = lookup(record.abi, record.nr)
            assert known is not None
            line = repr((name, rval, record.args[: len(known.args)], captures))
            lines.append(line.replace(str(pid), "PID"))
        elif record.kind in (Kind.SIGNAL, Kind.EXITED):
            lines.append(repr((Kind(record.kind).name, record.nr, record.rval)))
    return lines[next(i for i, line in enumerate(lines) if line.startswith("('openat'")) :]


def test_records_are_those_of_ptrace_python(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    program, lines = compiled("same"), {}
    for engine in ("ptrace-python", "ebpf"):
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        # Without randomised addresses even the pointers are the same.
        tracee = start("setarch", "-R", program, folder)
        hunter = hunt_pid(tracee.pid, "--engine", engine)
        assert hunter.of(Hello)[0].engine == engine
        tracee.tell("go")
        assert tracee.finish()[1] == 7
        assert hunter.wait_ended() == 0, hunter.errors()
        lines[engine] = told(hunter, tracee.pid)
    assert len(lines["ptrace-python"]) > 40
    for line, expected in zip(lines["ebpf"], lines["ptrace-python"], strict=False):
        assert line == expected
    assert len(lines["ebpf"]) == len(lines["ptrace-python"])


def test_every_record_is_received_or_counted_as_lost(hunt_pid: Hunt, start: Start) -> None:
    script = (
        "import os, sys\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        f"for _ in range({CALLS}): os.getppid()\n"
        "print('done', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    tracee = start(sys.executable, "-c", script)
    hunter = hunt_pid(tracee.pid, "--engine", "ebpf", "--buffer", 65536, "--trace", "getppid")
    assert tracee.ask("go") == "done"
    goodbye = hunter.stop()
    assert goodbye.lost > 0, "a ring of 64 KiB was never full"
    records = hunter.records()
    notes = [record for record in records if record.kind == Kind.LOST]
    calls = [record for record in records if record.kind == Kind.SYSCALL]
    assert sum(record.args[0] for record in notes) == goodbye.lost
    assert len(records) - len(notes) + goodbye.lost == goodbye.seen
    assert len(calls) + goodbye.lost == CALLS
    tracee.tell("end")
    tracee.finish()


def test_four_threads_and_a_bystander_compute_right(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 4)
    other = start(compiled("counter"), tmp_path / "others", 1)
    hunter = hunt_pid(tracee.pid, "--engine", "ebpf")
    threads = set(tracee.threads()) - {tracee.pid}
    hunter.wait_for(
        lambda: {r.tid for batch in hunter.batches[-20:] for r in batch.records()} >= threads,
        "calls of all four threads",
    )
    assert {r.process for r in hunter.records()} == {1}
    hunter.stop()
    for each in (tracee, other):
        each.tell("end")
        assert each.finish() == ("ok\n", 0)


def programs(pid: int) -> set[int]:
    """Returns the ids of the programs that a process holds."""
    text = ""
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text += path.read_text()
        except FileNotFoundError:
            continue  # closed meanwhile: one that was open for a moment
    return {int(number) for number in re.findall(r"^prog_id:\s+(\d+)", text, re.MULTILINE)}


def is_loaded(program: int) -> bool:
    """Whether the kernel has a program of this id; ids are not used again soon."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = (ctypes.c_uint32 * 4)(program)
    bpf = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    fd = libc.syscall(bpf, BPF_PROG_GET_FD_BY_ID, attributes, ctypes.sizeof(attributes))
    if fd < 0:
        assert ctypes.get_errno() == errno.ENOENT
        return False
    os.close(fd)
    return True


def test_after_kill_9_no_program_is_left_and_the_tracee_runs_on(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    rounds = tmp_path / "rounds"
    tracee = start(compiled("counter"), rounds, 2)
    hunter = hunt_pid(tracee.pid, "--engine", "ebpf")
    own = programs(hunter.process.pid)
    assert own
    assert all(map(is_loaded, own))
    hunter.process.kill()
    hunter.process.wait()
    wait_until(lambda: not any(map(is_loaded, own)), "the kernel takes the programs away")
    seen = rounds.read_bytes()
    wait_until(lambda: rounds.read_bytes() != seen, "progress after the kill")
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_without_the_capability_ptrace_is_taken_and_the_reason_said(
    start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 1)
    hunter = hunt(
        "--engine", "auto", "--only-pids", "--pid", tracee.pid,
        prefix=("setpriv", "--bounding-set", "-bpf,-sys_admin"),
    )  # fmt: skip
    hunter.wait_attached(tracee.pid)
    hello = hunter.of(Hello)[0]
    assert hello.engine.startswith("ptrace")
    assert "ebpf: CAP_BPF missing" in hello.engine_reason
    hunter.stop()
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_in_a_pid_namespace_tids_are_its_own(hunter_pyz: Path) -> None:
    script = Path(__file__).with_name("targets") / "in_pid_namespace.py"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, str(script)]
    ran = subprocess.run(
        [*command, str(hunter_pyz)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert ran.stderr == ""
    assert ran.stdout.split() == ["ebpf", "write", "traced", "exited"]


@pytest.mark.parametrize("case", verifier.CASES, ids=str)
def test_the_verifier_takes_all_programs_for_all_settings(case: verifier.Case) -> None:
    assert verifier.refusals(case) == []
