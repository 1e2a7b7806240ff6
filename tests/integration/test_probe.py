"""Doctor's probe in real shells and Pythons: the same answers, and nothing written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatherer.probe.facts import ContainerFacts, Process
from gatherer.probe.output import interior
from gatherer.probe.program import python_program, shell_script
from hg_shared.rights import parse_rights
from tests.integration.tracee import Tracee, tracers

HOLDER = "kept = bytearray(b'x') * (8 << 20)\nprint('ready', flush=True)\ninput()\n"
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
SHELLS = (("dash", "-c"), ("bash", "-c"), ("busybox", "sh", "-c"))


@pytest.fixture
def target() -> Iterator[Tracee]:
    started = Tracee([sys.executable, "-c", HOLDER])
    yield started
    started.process.communicate(b"\n", timeout=60)


def python(version: str) -> str | None:
    """Returns a CPython of this version, from PATH or from a pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(pyenv.glob(f"versions/{version}.*/bin/python3"))
    return str(found[0]) if found else shutil.which(f"python{version}")


def ask(command: list[str], path: str | None = None) -> ContainerFacts:
    environment = {**os.environ, **({"PATH": path} if path is not None else {})}
    done = subprocess.run(command, capture_output=True, timeout=60, env=environment)
    assert done.stderr == b""
    seen = interior(done.stdout, command[0], command[0])
    assert seen is not None, done.stdout
    return seen


def find(seen: ContainerFacts, pid: int) -> Process:
    (found,) = [process for process in seen.processes if process.pid == pid]
    return found


def assert_right(seen: ContainerFacts, target: Tracee) -> None:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert seen.rights == parse_rights({k: v.strip() for k, v in fields.items()}, "")
    assert seen.release == os.uname().release
    process = find(seen, target.pid)
    assert process.rss_bytes > 8 << 20
    assert process.opens
    assert process.tracer == 0
    assert process.own
    assert seen.processes[0].rss_bytes == max(p.rss_bytes for p in seen.processes if p.own)
    assert os.getpid() in {p.pid for p in seen.processes}


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_every_shell_gives_the_same_answer(shell: tuple[str, ...], target: Tracee) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    seen = ask([*shell, shell_script()])
    assert_right(seen, target)
    assert seen.machine == os.uname().machine
    assert seen.python is not None
    assert seen.calls["ptrace"] == 3  # ESRCH
    assert "/tmp" in {place.path for place in seen.places}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_gives_the_same_answer(version: str, target: Tracee) -> None:
    path = python(version)
    if path is None:
        pytest.skip(f"no CPython {version} on PATH or in a pyenv")
    seen = ask([path, "-B", "-E", "-S", "-c", python_program(), path])
    assert_right(seen, target)
    assert seen.python is not None
    assert ".".join(map(str, seen.python.version[:2])) == version
    assert seen.calls["ptrace"] == 3  # ESRCH


def test_a_shell_with_nothing_but_its_builtins(target: Tracee) -> None:
    dash = shutil.which("dash")
    if dash is None:
        pytest.skip("dash is not installed")
    seen = ask([dash, "-c", shell_script()], path="/nonexistent")
    assert seen.machine == ""
    assert seen.release == os.uname().release
    if not seen.cut:
        assert_right(seen, target)


def test_who_traces_a_process_is_told(target: Tracee) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-o", "/dev/null", "-p", str(target.pid)],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while tracers(target.pid) != {tracer.pid}:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert find(ask(["sh", "-c", shell_script()]), target.pid).tracer == tracer.pid
    finally:
        tracer.terminate()
        tracer.wait()


@pytest.mark.parametrize(
    "command",
    [["sh", "-c", shell_script()], [sys.executable, "-E", "-S", "-B", "-c", python_program(), "x"]],
    ids=["shell", "python"],
)
def test_it_writes_nothing_and_traces_nobody(command: list[str], tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "log"
    calls = "trace=open,openat,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2"
    traced = subprocess.run(
        ["strace", "-f", "-o", str(log), "-e", f"{calls},link,symlink,symlinkat,truncate,ptrace",
         *command],
        capture_output=True, timeout=110,
    )  # fmt: skip
    assert b"@end" in traced.stdout
    lines = log.read_text().splitlines()
    writes = [
        line
        for line in lines
        if re.search(r" open(at)?\(", line)
        and re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", line)
        and '"/dev/null"' not in line
        and '"/dev/tty"' not in line
    ]
    assert writes == []
    others = [
        line for line in lines
        if re.search(r"^\d+ +\w+\(", line) and not re.search(r" (open|openat|ptrace)\(", line)
    ]  # fmt: skip
    assert others == []
    ptraces = {match[1] for line in lines if (match := re.search(r" ptrace\((\w+, \w+)", line))}
    assert ptraces == {"PTRACE_PEEKDATA, 0"}


def test_a_tree_with_yama_and_cgroup_v2(tmp_path: Path) -> None:
    files = {
        "proc/self/status": "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0\n"
        "CapBnd:\t80000\nSeccomp:\t2\n",
        "proc/self/mountinfo": "1 0 8:1 / / ro,relatime - ext4 /dev/sda rw\n"
        "2 1 0:5 / /scratch\\040dir rw,noexec - tmpfs tmpfs rw\n",
        "proc/sys/kernel/yama/ptrace_scope": "2\n",
        "proc/sys/kernel/osrelease": "5.15.0",  # no newline at its end
        "proc/7/status": "Name:\tjava\nPid:\t7\nPPid:\t0\nTracerPid:\t0\nVmRSS:\t    2048 kB\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "4096\n",
        "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 1024\n",
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    root = str(tmp_path)
    for seen in (
        ask(["sh", "-c", shell_script(root)]),
        ask([sys.executable, "-B", "-E", "-S", "-c", python_program(root), "x"]),
    ):
        assert (seen.rights.uid, seen.rights.yama, seen.rights.seccomp) == (1000, 2, 2)
        assert seen.bounding == ("SYS_PTRACE",)
        assert seen.release == "5.15.0"
        assert seen.memory is not None
        assert (seen.memory.version, seen.memory.limit, seen.memory.inactive_file) == (
            2,
            None,
            1024,
        )
        (process,) = seen.processes
        assert (process.pid, process.command, process.opens) == (7, "java", False)
        assert process.rss_bytes == 2 << 20
