"""Our logs against strace's of the same programs, line by line, with every engine."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from hg_shared import rights
from hunter.engines.choose import ENGINES
from hunter.engines.ebpf import loading
from hunter.memory import procfs
from tests.integration.comparison import Agreement, Thread, agreement, plain, program, threads
from tests.integration.scripts import script
from tests.integration.workload_runs import (
    NARROW,
    compile_workloads,
    names,
    under_gatherer,
    under_strace,
)

AT_LEAST = {"ebpf": 0.95, "ptrace": 0.97, "ptrace-python": 0.97}
LOW_ADDRESSES = frozenset(("compat_calls", NARROW))
"""Programs with memory below 4 GiB."""
WITHOUT = {"python/threads": "futex"}
"""Calls that are left out: who waits for the interpreter's lock is not the same in two runs."""
MISSING = [tool for tool in ("strace", "gcc") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}"),
    pytest.mark.skipif(
        platform.machine() != "x86_64", reason="the programs make calls that only x86_64 has"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="the programs need namespaces: root"),
    pytest.mark.timeout(300),
]


AT_LEAST_OF_RANDOM = {"ebpf": 0.88, "ptrace": 0.95, "ptrace-python": 0.95}
SCRIPTS, CALLS = (60, 800) if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else (4, 500)


class Oracle:
    """The programs, and what strace saw of them.

    Args:
        folder: for the binary, the programs' folders and the log.
    """

    def __init__(self, folder: Path) -> None:
        self.binary = compile_workloads(folder)
        self.names = names(self.binary)
        self.work = folder / "work"
        self.log = folder / "strace.log"
        self.pids = under_strace(self.binary, self.names, self.work, self.log)
        self.threads = threads(self.log.read_text())

    def lines(self, name: str) -> list[list[str]]:
        """Returns the lines of each thread of a program."""
        return lines_of(name, self.threads, self.pids[name])


def lines_of(name: str, found: list[Thread], pid: int) -> list[list[str]]:
    """Returns the lines of each thread of one program that can be compared."""
    return plain(program(found, pid), [os.getpid()], name in LOW_ADDRESSES, WITHOUT.get(name, ""))


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Every program under strace -f -tt -T -s 32, once."""
    return Oracle(tmp_path_factory.mktemp("workloads"))


def table(engine: str, results: dict[str, Agreement]) -> str:
    """Returns the figure of each program and of all together."""
    agreed = sum(each.agreed for each in results.values())
    lines = sum(each.lines for each in results.values())
    cells = [f"{name:<20} {100 * each.share:5.1f}" for name, each in sorted(results.items())]
    rows = [" | ".join(cells[at : at + 4]) for at in range(0, len(cells), 4)]
    head = (
        f"{engine}: {100 * agreed / lines:.2f} % of {lines} lines of {len(results)} programs agree"
        " with strace, in % per program:"
    )
    return "\n".join(["", head, *rows])


def usable(engine: str) -> str:
    """Returns why an engine cannot be used here, empty when it can."""
    if engine != "ebpf":
        return ""
    held = rights.parse_rights(procfs.status_fields("self"), "").capabilities
    return loading.missing(platform.machine(), platform.release(), held)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "auto"])
def test_lines_agree_with_those_of_strace(
    engine: str, oracle: Oracle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if refused := usable(engine):
        pytest.skip(f"{engine}: {refused}")
    pids, text = under_gatherer(oracle.binary, oracle.names, oracle.work, tmp_path / "logs", engine)
    assert "+++ LOST" not in text
    ours = threads(text)
    results = {
        name: agreement(oracle.lines(name), lines_of(name, ours, pid)) for name, pid in pids.items()
    }
    with capsys.disabled():
        print(table(engine, results))
    agreed = sum(each.agreed for each in results.values())
    lines = sum(each.lines for each in results.values())
    assert len(results) >= 60
    assert lines > 2500
    differences = [f"{name}: {line}" for name, each in results.items() for line in each.differences]
    assert agreed >= AT_LEAST[engine] * lines, "\n".join(differences)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "auto"])
def test_random_calls_are_shown_as_strace_shows_them(
    engine: str, oracle: Oracle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers without a call, pointers to nothing, structures that end early, any bytes in paths.

    ebpf reads no memory that is not resident yet, which most of this is.
    """
    if refused := usable(engine):
        pytest.skip(f"{engine}: {refused}")
    scripts = {f"script-{seed}": script(seed, CALLS) for seed in range(SCRIPTS)}
    log = tmp_path / "strace.log"
    theirs = under_strace(oracle.binary, list(scripts), oracle.work, log, scripts)
    seen = threads(log.read_text())
    pids, text = under_gatherer(
        oracle.binary, list(scripts), oracle.work, tmp_path / "logs", engine, scripts
    )
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    ours = threads(text)
    judged = [
        agreement(lines_of(name, seen, theirs[name]), lines_of(name, ours, pid))
        for name, pid in pids.items()
    ]
    agreed, lines = sum(each.agreed for each in judged), sum(each.lines for each in judged)
    with capsys.disabled():
        print(f"\n{engine}: {100 * agreed / lines:.2f} % of {lines} random calls agree with strace")
    assert lines >= SCRIPTS * CALLS
    differences = [line for each in judged for line in each.differences]
    assert agreed >= AT_LEAST_OF_RANDOM[engine] * lines, "\n".join(differences)


def test_programs_did_what_they_are_for(oracle: Oracle) -> None:
    """A program that fails at its start would agree with itself on nothing."""
    assert len(oracle.names) == len(set(oracle.names)) >= 100
    short = [name for name in oracle.names if sum(map(len, oracle.lines(name))) < 2]
    assert short == []
    for call in ("openat", "mmap", "clone3", "futex", "recvmsg", "epoll_wait", "ioctl", "execve"):
        assert any(line.startswith(f"{call}(") for each in oracle.threads for line in each.lines)
