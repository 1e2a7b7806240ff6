"""Sets of system calls against the real strace -e trace=: the same names for the same words."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.records import Abi, Kind
from hg_shared.syscalls import names
from hg_shared.syscalls.filter import syscall_set
from tests.integration.hunter_session import HunterSession
from tests.integration.tracee import Tracee

CLASSES = (
    "%clock", "%creds", "%desc", "%file", "%fstat", "%fstatfs", "%ipc", "%lstat", "%memory",
    "%net", "%network", "%process", "%pure", "%signal", "%stat", "%statfs", "%%stat", "%%statfs",
)  # fmt: skip
# The names that classes had before strace 4.
PLAIN = ("desc", "file", "ipc", "memory", "network", "process", "signal")
WORDS = (
    "all", "none", "!none", "!%file", "!%desc,%network", "trace=!%memory", "t=read", "0",
    "231,%clock", "/^f?stat$", "/^(open|creat)", "!/sys", "?nosuch,openat", "?%nosuch", "!?nosuch",
    "openat,%%stat", "read,write",
)  # fmt: skip
REFUSED = ("%nosuch", "nosuch", "net", "clock", "openat,nosuch", "/[", "")
LAST = 470


@pytest.fixture(scope="module")
def traced(
    compiled: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], set[str] | None]:
    """What strace shows of a program that makes every call; None when it refuses the set."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: there is nothing to compare with")
    log = tmp_path_factory.mktemp("strace") / "log"
    program = str(compiled("every_call"))

    def shown(expression: str) -> set[str] | None:
        words = [strace, "-o", str(log), "-e", expression, program, str(LAST)]
        done = subprocess.run(words, input=b"\n", capture_output=True)
        if done.returncode != 77:
            assert done.returncode == 1
            return None
        lines = log.read_text().splitlines()
        return {found[1] for line in lines if (found := re.match(r"(\w+)\(", line))}

    return shown


@pytest.fixture(scope="module")
def known(traced: Callable[[str], set[str] | None]) -> set[str]:
    """The calls that this strace has names for; it shows the others whatever the set."""
    everything = traced("all")
    assert everything is not None
    return {name for name in everything if not name.startswith("syscall_0x")}


@pytest.mark.parametrize("expression", [*CLASSES, *PLAIN, *WORDS])
def test_a_set_is_what_strace_traces(
    traced: Callable[[str], set[str] | None], known: set[str], expression: str
) -> None:
    theirs = traced(expression)
    assert theirs is not None
    table = names(Abi.X86_64)
    ours = {str(table[number]) for number in syscall_set(expression, Abi.X86_64)}
    assert ours & known == theirs & known
    assert len(known) > 350


@pytest.mark.parametrize("expression", REFUSED)
def test_what_strace_refuses_is_refused(
    traced: Callable[[str], set[str] | None], expression: str
) -> None:
    assert traced(expression) is None
    with pytest.raises(ValueError, match="write for example"):
        syscall_set(expression, Abi.X86_64)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("expression", ["%desc", "!%file", "%%stat,/^get", "none"])
def test_hunter_records_the_set_and_nothing_else(
    hunt_pid: Callable[..., HunterSession],
    start: Callable[..., Tracee],
    compiled: Callable[[str], Path],
    expression: str,
) -> None:
    target = start(compiled("every_call"), LAST)
    hunter = hunt_pid(target.pid, f"--trace={expression}")
    target.tell("")
    assert target.finish()[1] == 77
    hunter.wait_ended()
    recorded = {
        record.nr for record in hunter.records() if record.kind in (Kind.SYSCALL, Kind.IN_FLIGHT)
    }
    # These two pass the filter of the program and kill it, so it does not make them.
    expected = {number for number in syscall_set(expression, Abi.X86_64) if number <= LAST}
    assert recorded == expected - {335, 336}
