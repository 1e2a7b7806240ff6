"""One scan over a scripted /proc: who is an offender, who is left out."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Tuple

import pytest

from hunter.config import Config
from hunter.container import Container
from hunter.memory import procfs
from hunter.memory.procfs import Stat
from hunter.policy import Threshold
from hunter.processes import Scanner

MIB = 1 << 20


class Proc:
    """A /proc that is made up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.resident: Dict[int, int] = {os.getpid(): 500 * MIB}
        self.stats: Dict[int, Stat] = {os.getpid(): Stat("hunter", "R", 0, 1, False)}
        self.tracers: Dict[int, str] = {}
        monkeypatch.setattr(procfs, "resident_bytes", lambda: dict(self.resident))
        monkeypatch.setattr(procfs, "stat", self.stats.get)
        monkeypatch.setattr(procfs, "living_thread", lambda pid: pid)
        monkeypatch.setattr(procfs, "node_memory", lambda: 1000 * MIB)
        monkeypatch.setattr(procfs, "read_text", lambda path: "")
        monkeypatch.setattr(
            procfs, "status_fields", lambda pid: {"TracerPid": self.tracers.get(pid, "0")}
        )

    def add(self, pid: int, mib: int, state: str = "S", start: int = 5, ppid: int = 1) -> None:
        self.resident[pid] = mib * MIB
        self.stats[pid] = Stat(f"p{pid}", state, ppid, start, False)


@pytest.fixture
def proc(monkeypatch: pytest.MonkeyPatch) -> Proc:
    return Proc(monkeypatch)


def scan(scanner: Scanner, traced: Optional[List[Tuple[int, int]]] = None) -> Tuple[list, list]:
    found = scanner.scan(set(traced or []))
    chosen = [offender.identity for offender in found.offenders]
    return chosen, [(offender.identity[0], why) for offender, why in found.excluded]


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
        [(10, "zombie"), (11, "already traced by pid 77"), (12, "kernel thread")],
    )


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
