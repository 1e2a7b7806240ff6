"""hunter.pyz as a guest: the same bytes, any Python from 3.8, little memory, no other program."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared import wire
from hg_shared.framing import FrameDecoder
from hg_shared.messages import Goodbye, Hello
from hg_shared.records import Kind
from hg_shared.version import __version__
from hunter.engines.choose import ENGINES
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee

Hunt = Callable[..., HunterSession]
Start = Callable[..., Tracee]
Compiled = Callable[[str], Path]
MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def interpreter(version: str) -> str | None:
    """Returns a CPython of this version that runs, from PATH or from a pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = shutil.which(f"python{version}")
    candidates = [*sorted(pyenv.glob(f"versions/{version}.*/bin/python")), found]
    for candidate in filter(None, candidates):
        command = [str(candidate), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.stdout.strip() == version:
            return str(candidate)
    return None


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for turn, zone in enumerate(("UTC", "Asia/Tokyo")):
        target = tmp_path / str(turn) / "hunter.pyz"
        ran = subprocess.run(
            [sys.executable, ROOT / "build" / "make_zipapp.py", target],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": str(turn)},
        )
        digests.append(hashlib.sha256(target.read_bytes()).hexdigest())
        assert ran.stdout.split()[0] == digests[-1]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "version",
    ["3.8", "3.13", *(pytest.param(each, marks=pytest.mark.long) for each in VERSIONS[1:-1])],
)
def test_it_traces_on_every_python(
    hunt_pid: Hunt, start: Start, compiled: Compiled, tmp_path: Path, version: str, engine: str
) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no CPython {version} on PATH or in a pyenv")
    tracee = start(compiled("counter"), tmp_path / "rounds", 2)
    hunter = hunt_pid(tracee.pid, python=(python, "-I", "-S"))
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 3000, "3000 calls")
    assert hunter.pss() < 32 * MIB
    hello = hunter.of(Hello)[0]
    assert hello.python.startswith(f"{version}.")
    assert hello.engine == engine
    assert hello.tracing == "on"
    # It was there before it had loaded its engine.
    assert [(early.engine, early.pid) for early in hunter.loading] == [("", hello.pid)]
    assert hello.version == __version__
    goodbye = hunter.stop()
    assert 4 * MIB < goodbye.peak_pss_bytes < 32 * MIB
    assert goodbye.lost == 0
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)
    assert hunter.errors() == ""


@pytest.mark.long
def test_a_full_queue_stays_under_32_mib(
    hunt_pid: Hunt, start: Start, compiled: Compiled, tmp_path: Path, engine: str
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 2)
    hunter = hunt_pid(tracee.pid, "--linger", "60")
    hunter.pause_reading()
    before = int.from_bytes((tmp_path / "rounds").read_bytes(), "little")

    def rounds() -> int:
        return int.from_bytes((tmp_path / "rounds").read_bytes(), "little") - before

    wait_until(lambda: rounds() * 5 > 600_000, "more calls than hunter keeps", 90)
    assert hunter.pss() < 32 * MIB
    hunter.resume_reading()
    goodbye = hunter.stop()
    assert goodbye.lost > 0
    assert goodbye.peak_pss_bytes < 32 * MIB


def test_it_starts_no_other_program(
    hunt: Hunt, start: Start, compiled: Compiled, tmp_path: Path, engine: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: nobody watches which programs hunter starts")
    log = tmp_path / "strace.log"
    tracee = start(compiled("counter"), tmp_path / "rounds", 2)
    python = interpreter("3.11") or sys.executable
    calls = "execve,execveat,fork,vfork,clone,clone3"
    hunter = hunt(
        "--only-pids", "--pid", tracee.pid, "--frequency", "0.2",
        python=(python, "-I", "-S"),
        prefix=(strace, "-f", "-qq", "-o", log, "-e", f"trace={calls}", "-e", "signal=none"),
    )  # fmt: skip
    hunter.wait_attached(tracee.pid)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 100, "100 calls")
    hunter.stop()
    lines = log.read_text().splitlines()
    executed = [line for line in lines if re.search(r"\bexecve(at)?\(", line)]
    assert len(executed) == 1, executed
    assert python in executed[0]
    started = [line for line in lines if re.search(r"\b(v?fork|clone3?)\(", line)]
    threads = [line for line in started if "CLONE_THREAD" in line]
    assert len(threads) >= 2, "the control and the writer thread"
    # A watchdog may be forked; what it runs is hunter, as the one execve above shows.
    assert len(started) - len(threads) <= 1, started


def test_it_removes_itself_and_goes_on(
    hunt_pid: Hunt,
    hunter_pyz: Path,
    start: Start,
    compiled: Compiled,
    tmp_path: Path,
    engine: str,
) -> None:
    copy = tmp_path / "guest.pyz"
    shutil.copy(hunter_pyz, copy)
    counter = start(compiled("counter"), tmp_path / "rounds", 1)
    digest = hashlib.sha256(copy.read_bytes()).hexdigest()
    hunter = hunt_pid(counter.pid, "--remove-self", "--sha256", digest, pyz=copy)
    assert not copy.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "rounds"]
    assert hunter.of(Hello)[0].sha256 == digest
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 500, "500 calls")
    hunter.stop()
    # 32-bit calls need a table that is not needed before.
    shutil.copy(hunter_pyz, copy)
    old = start(compiled("int80"))
    hunter = hunt_pid(old.pid, "--remove-self", pyz=copy)
    old.tell("go")
    assert old.finish() == ("thirty-two\n" * 3, 0)
    assert hunter.wait_ended() == 0, hunter.errors()
    compat = [r for r in hunter.records() if r.kind == Kind.SYSCALL and r.abi == 2]
    assert len(compat) == 6
    assert sum(b"thirty-two" in r.captures for r in compat) == 3


def test_left_to_itself_it_takes_an_engine_that_works(
    hunt: Hunt, start: Start, compiled: Compiled, tmp_path: Path
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 1)
    hunter = hunt("--engine", "auto", "--only-pids", "--pid", tracee.pid, "--frequency", "0.2")
    hunter.wait_attached(tracee.pid)
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 100, "100 calls")
    hello = hunter.of(Hello)[0]
    assert hello.engine in ENGINES
    assert hello.engine_reason
    assert hello.tracing == "on"
    hunter.stop()
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_without_anybody_on_stdin_it_ends_in_order(hunter_pyz: Path) -> None:
    """epoll cannot watch /dev/null or a file, which is what it may be given."""
    options = ["--only-pids", "--pid", str(os.getpid())]
    command = [sys.executable, "-I", "-S", str(hunter_pyz), *options]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert (ran.returncode, ran.stderr) == (0, b"")
    decoder = FrameDecoder()
    decoder.receive_data(ran.stdout)
    goodbye = wire.decode(decoder.frames_received()[-1])
    assert isinstance(goodbye, Goodbye)
    assert goodbye.reason == "stdin_closed"


def test_version_and_help_work_anywhere(hunter_pyz: Path) -> None:
    def run(option: str) -> str:
        command = [sys.executable, "-I", "-S", str(hunter_pyz), option]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        assert ran.stderr == ""
        return ran.stdout

    assert run("--version") == f"hunter {__version__}\n"
    assert "--memory" in run("--help")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--memory", "lots"], "'lots' is neither a percentage such as 50% nor bytes"),
        (["--frequency", "0"], "'0' is not a positive number such as 2"),
        (["--pid", "-3"], "'-3' is not a process id such as 4711"),
        (["--engine", "magic"], "invalid choice: 'magic'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_2(
    hunter_pyz: Path, options: list[str], said: str
) -> None:
    command = [sys.executable, "-I", "-S", str(hunter_pyz), *options]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert ran.stderr.startswith("hunter: error: ")
    assert said in ran.stderr
