"""One scan over a scripted /proc: who is traced, who is left out."""

from __future__ import annotations

import os
import time
from typing import Dict, List, Optional, Set, Tuple

import pytest

from hg_shared import mark
from hunter.config import Config, Threshold
from hunter.memory import procfs
from hunter.memory.container import Container
from hunter.memory.procfs import Stat
from hunter.scan import recognition
from hunter.scan.scanner import Scanner

MIB = 1 << 20


class Proc:
    """A /proc that is made up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.resident: Dict[int, int] = {os.getpid(): 500 * MIB}
        self.stats: Dict[int, Stat] = {os.getpid(): Stat("hunter", "R", 0, 1, False)}
        self.tracers: Dict[int, str] = {}
        self.marked: Set[int] = set()
        self.files: Dict[str, str] = {}
        self.now = 1000.0
        self.sessions: Dict[int, int] = {}
        # Nobody has the session of hunter, 0 here.
        monkeypatch.setattr(os, "getsid", lambda pid: self.sessions.get(pid, 0))
        monkeypatch.setattr(procfs, "resident_bytes", lambda: dict(self.resident))
        monkeypatch.setattr(procfs, "stat", self.stats.get)
        monkeypatch.setattr(procfs, "living_thread", lambda pid: pid)
        monkeypatch.setattr(procfs, "node_memory", lambda: 1000 * MIB)
        monkeypatch.setattr(procfs, "read_text", lambda path: self.files.get(path, ""))
        monkeypatch.setattr(procfs, "status_fields", self.status)
        monkeypatch.setattr(procfs, "command_line", self.command_line)
        monkeypatch.setattr(time, "clock_gettime", lambda clock: self.now)

    def status(self, pid: int) -> Dict[str, str]:
        ignored = f"{mark.MARK:x}" if pid in self.marked else "0000000000001000"
        return {
            "TracerPid": self.tracers.get(pid, "0"),
            "Tgid": str(pid),
            "SigIgn": ignored,
            "Uid": "7 7 7 7",
        }

    def command_line(self, pid: int) -> List[str]:
        return self.files.get(f"/proc/{pid}/cmdline", "").split("\0")

    def add(self, pid: int, mib: int, state: str = "S", start: int = 5, ppid: int = 1) -> None:
        self.resident[pid] = mib * MIB
        self.stats[pid] = Stat(f"p{pid}", state, ppid, start, False)


@pytest.fixture
def proc(monkeypatch: pytest.MonkeyPatch) -> Proc:
    return Proc(monkeypatch)


def scan(scanner: Scanner, traced: Optional[List[Tuple[int, int]]] = None) -> Tuple[list, list]:
    found = scanner.scan(set(traced or []))
    chosen = [process.key for process in found.matched]
    return chosen, [(process.key[0], why) for process, why in found.excluded]


def test_processes_over_the_threshold_are_offenders(proc: Proc) -> None:
    proc.add(10, 100)
    proc.add(11, 99)
    proc.add(12, 0)
    scanner = Scanner(Config(Threshold(percent=10.0)), Container())
    assert scan(scanner) == ([(10, 5)], [])
    assert scan(scanner, [(10, 5)]) == ([], [])


def test_hunter_and_its_ancestors_are_no_offenders(proc: Proc) -> None:
    proc.add(30, 400)
    proc.add(31, 400, ppid=30)
    proc.stats[os.getpid()] = Stat("hunter", "R", 31, 1, False)
    proc.add(40, 400)
    scanner = Scanner(Config(Threshold(size=MIB), exclude=(40,)), Container())
    assert scan(scanner) == ([], [])


def test_what_hunter_has_made_is_no_offender(proc: Proc) -> None:
    proc.add(50, 400)
    scanner = Scanner(Config(Threshold(size=MIB)), Container())
    scanner.leave_out(50)
    assert scan(scanner) == ([], [])


def test_an_ancestor_that_was_asked_for_is_refused_with_a_reason(proc: Proc) -> None:
    scanner = Scanner(Config(Threshold(), pids=(os.getpid(),), only_pids=True), Container())
    (excluded,) = scan(scanner)[1]
    assert excluded[0] == os.getpid()
    assert excluded[1].startswith("hunter itself")


def test_exclusions_are_told(proc: Proc) -> None:
    proc.add(10, 100, state="Z")
    proc.add(11, 100)
    proc.tracers[11] = "77"
    proc.add(12, 100)
    proc.stats[12] = Stat("kworker", "S", 2, 5, True)
    assert scan(Scanner(Config(Threshold(size=MIB)), Container())) == (
        [],
        [(10, "zombie"), (12, "kernel thread")],
    )


def test_what_somebody_else_traces_is_held(proc: Proc) -> None:
    proc.add(10, 100)
    proc.tracers[10] = "77"
    proc.add(11, 100)
    proc.tracers[11] = str(os.getpid())  # as after an attach of which not all succeeded
    found = Scanner(Config(Threshold(size=MIB)), Container()).scan(set())
    assert [(process.key[0], tracer) for process, tracer in found.held] == [(10, 77)]
    assert [process.key[0] for process in found.matched] == [11]


def test_processes_of_other_captures_are_left_out_and_told(proc: Proc) -> None:
    proc.add(10, 100)
    proc.marked.add(10)
    proc.add(11, 100)
    scanner = Scanner(Config(Threshold(size=MIB)), Container())
    assert scan(scanner) == ([(11, 5)], [(10, recognition.OURS)])
    named = Scanner(Config(Threshold(), pids=(10,), only_pids=True), Container())
    assert scan(named) == ([], [(10, recognition.OURS)])
    assert named.nothing_to_trace().startswith(f"process 10: {recognition.OURS}; ")


def test_processes_of_this_capture_are_passed_over(proc: Proc) -> None:
    proc.add(20, 100)  # gatherer
    proc.add(21, 100, ppid=20)  # its renderer
    proc.add(22, 100, ppid=21)
    proc.marked |= {20, 21, 22}
    scanner = Scanner(Config(Threshold(size=MIB), exclude=(20,)), Container())
    assert scan(scanner) == ([], [])
    proc.add(30, 100, ppid=0)  # the bootstrap, which waits
    proc.marked.add(30)
    assert scan(scanner) == ([], [(30, recognition.OURS)])
    proc.sessions.update({0: 30, 30: 30})
    assert scan(scanner) == ([], [])


def test_a_small_process_that_has_just_begun_is_looked_at_again(proc: Proc) -> None:
    proc.add(10, 8, start=99_960)  # 0.4 s ago, in clock ticks
    proc.add(11, 100, start=99_960)  # not as small as an interpreter that starts
    proc.add(1, 8, start=99_960)  # nobody starts gatherer as the first process
    proc.add(12, 8, start=99_900, ppid=0)  # 1 s ago, from outside
    proc.add(13, 8, start=99_900)
    scanner = Scanner(Config(Threshold(size=MIB)), Container())
    found = scanner.scan(set())
    assert sorted(process.key[0] for process in found.matched) == [1, 11, 13]
    assert found.young
    proc.now += 2
    found = scanner.scan({(11, 99_960), (1, 99_960), (13, 99_900)})
    assert [process.key[0] for process in found.matched] == [10, 12]
    assert not found.young


def test_a_process_that_was_named_is_traced_however_young(proc: Proc) -> None:
    proc.add(10, 8, start=99_990)
    scanner = Scanner(Config(Threshold(), pids=(10,), only_pids=True), Container())
    assert scan(scanner) == ([(10, 99_990)], [])


@pytest.mark.parametrize("text", [mark.PYTHON, mark.SHELL])
def test_a_program_of_ours_that_has_no_cpu_to_set_the_mark_is_known(proc: Proc, text: str) -> None:
    proc.add(10, 8)
    proc.files["/proc/10/cmdline"] = f"python3\0-c\0{text}import os\0"
    scanner = Scanner(Config(Threshold(size=MIB)), Container())
    assert scan(scanner) == ([], [(10, recognition.OURS)])


def test_without_the_process_that_was_asked_for_the_others_are_named(proc: Proc) -> None:
    scanner = Scanner(Config(Threshold(), pids=(99,), only_pids=True), Container())
    assert scan(scanner) == ([], [])
    assert scanner.nothing_to_trace() == (
        "no process 99 in the container; there are none but hunter itself"
    )
    proc.add(10, 100)
    proc.add(11, 300)
    proc.add(12, 0)  # a kernel thread
    proc.add(13, 50)
    proc.marked.add(13)
    assert scanner.nothing_to_trace() == (
        "no process 99 in the container; there are 11 (p11), 10 (p10)"
    )
    for pid in range(100, 115):
        proc.add(pid, 1)
    assert scanner.nothing_to_trace().endswith(", 5 more")
    proc.add(99, 1)
    assert scanner.nothing_to_trace() == ""


def test_the_tracer_is_described(proc: Proc) -> None:
    proc.add(77, 1, start=50_000)
    proc.now = 1_000_000
    assert recognition.tracer_message(77) == (
        "already traced by p77 (pid 77, uid 7, started 1970-01-01T00:08:20Z);"
        " it is traced here when that one lets it go"
    )
    proc.marked.add(77)
    assert "the hunter of another capture (pid 77" in recognition.tracer_message(77)
    proc.files["/proc/77/cmdline"] = "python3\0-c\0x\0--owner\0alice@lap\x1btop\0--force\0"
    assert "the hunter of alice@laptop (pid 77, uid 7, started" in recognition.tracer_message(77)
    assert recognition.tracer_message(78).startswith("already traced by pid 78;")


def test_processes_by_pid_and_no_others(proc: Proc) -> None:
    proc.add(10, 100)
    proc.add(11, 0)
    only = Scanner(Config(Threshold(), pids=(11, 99), only_pids=True), Container())
    assert scan(only) == ([(11, 5)], [])
    both = Scanner(Config(Threshold(size=MIB), pids=(11,)), Container())
    assert sorted(scan(both)[0]) == [(10, 5), (11, 5)]


@pytest.mark.parametrize(
    "threshold", [Threshold(size=MIB), Threshold(growth=1.0), Threshold(percent=1.0, growth=1.0)]
)
def test_a_process_is_chosen_once_whatever_the_reasons(proc: Proc, threshold: Threshold) -> None:
    proc.add(10, 100)
    scanner = Scanner(Config(threshold, pids=(10,)), Container())
    assert scan(scanner)[0] == [(10, 5)]


def test_growth_needs_two_scans_of_the_same_process(proc: Proc) -> None:
    proc.add(10, 1)
    scanner = Scanner(Config(Threshold(growth=1.0)), Container())
    assert scan(scanner) == ([], [])
    proc.add(10, 50)
    assert scan(scanner) == ([(10, 5)], [])


def test_a_new_process_under_an_old_pid_has_not_grown(proc: Proc) -> None:
    proc.add(10, 1)
    scanner = Scanner(Config(Threshold(growth=1.0)), Container())
    scan(scanner)
    scan(scanner)
    proc.add(10, 50, start=6)
    assert scan(scanner) == ([], [])


def test_a_process_that_could_not_be_attached_is_tried_again_later(proc: Proc) -> None:
    proc.add(10, 100)
    scanner = Scanner(Config(Threshold(size=MIB)), Container())
    assert scan(scanner)[0] == [(10, 5)]
    scanner.failed((10, 5))
    assert [scan(scanner)[0] for _ in range(3)] == [[], [(10, 5)], [(10, 5)]]
