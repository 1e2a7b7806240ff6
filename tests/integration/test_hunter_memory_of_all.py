"""The memory of all processes of hunter together, as gatherer starts them."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gatherer.inject.exec_start import bootstrap_text
from hg_shared.records import Kind
from tests.integration.engines import EVERY_ENGINE
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]
FRONT = """\
import os, sys
sys.path[:0] = sys.argv[1:]
from hunter.front import wait
wait(0, 101)
print("it came back")
"""
Start = Callable[..., Tracee]
Compiled = Callable[[str], Path]


def pss(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)


@pytest.mark.parametrize("engine_name", EVERY_ENGINE)
@pytest.mark.long
def test_all_processes_of_hunter_stay_under_32_mib(
    hunter_pyz: Path, start: Start, compiled: Compiled, tmp_path: Path, engine_name: str
) -> None:
    target = start(compiled("counter"), tmp_path / "rounds", 2)
    data = hunter_pyz.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    bootstrap = ("-I", "-B", "-S", "-c", bootstrap_text(), "memory", str(len(data)), digest)
    options = ("--only-pids", "--pid", str(target.pid), "--engine", engine_name)
    session = HunterSession(
        Path(options[-1]), (), python=(sys.executable, *bootstrap, *options[:-1]), pings=False
    )
    try:
        session.write(data)
        session.wait_attached(target.pid)
        session.wait_for(lambda: session.count(Kind.SYSCALL) > 3000, "3000 calls")
        hunter = session.wait_hello().pid
        parts = {
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if str(target.pid) in (process.info["cmdline"] or [])
        }
        front = session.process.pid
        # It has no command line that anybody could still read: its pages are gone but for a few.
        assert hunter in parts
        assert len(parts | {front}) == 3, "hunter, its watchdog, the process of the exec"
        assert pss(front) < MIB
        assert sum(map(pss, parts | {front})) < 32 * MIB
        session.stop()
        assert session.wait_ended() == 0
    finally:
        session.close()


@pytest.mark.parametrize(("said", "code"), [(b"", 101), (b"\0", 0), (b"\7*", 42)])
def test_the_process_in_front_ends_as_it_is_told(said: bytes, code: int) -> None:
    front = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", FRONT, ROOT, ROOT / "shared"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    wait_until(lambda: pss(front.pid) < MIB // 2, "all is given back")
    # Nothing that the kernel writes to is gone: it is moved between CPUs, and stopped.
    for cpu in os.sched_getaffinity(0):
        os.sched_setaffinity(front.pid, {cpu})
    front.send_signal(signal.SIGSTOP)
    front.send_signal(signal.SIGCONT)
    output, _ = front.communicate(said, timeout=60)
    assert (output, front.returncode) == (b"", code)
