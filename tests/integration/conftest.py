"""Fixtures of the integration tests: hunter.pyz, sessions with it, programs to trace."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hunter.engines.choose import ENGINES
from tests.integration.hunter_session import HunterSession
from tests.integration.tracee import TARGETS, Tracee

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def hunter_pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zipapp of this source tree."""
    path = tmp_path_factory.mktemp("zipapp") / "hunter.pyz"
    subprocess.run(
        [sys.executable, ROOT / "build" / "make_zipapp.py", path], check=True, capture_output=True
    )
    return path


# What is asserted of threads here (who their tracer is, what their stops are) is ptrace(2)'s.
PTRACE_ENGINES = [name for name in ENGINES if name.startswith("ptrace")]


@pytest.fixture(params=PTRACE_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Every ptrace engine in turn; a test that uses this fixture hunts with it."""
    return request.param


@pytest.fixture
def hunt(
    hunter_pyz: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., HunterSession]]:
    """Starts hunter: `hunt("--pid", 1)`, with the keywords of HunterSession."""
    sessions: list[HunterSession] = []
    chosen = PTRACE_ENGINES[0]
    if "engine" in request.fixturenames:
        chosen = request.getfixturevalue("engine")

    def start(*options: object, **keywords: object) -> HunterSession:
        options = options if "--engine" in options else ("--engine", chosen, *options)
        session = HunterSession(keywords.pop("pyz", hunter_pyz), options, **keywords)
        sessions.append(session)
        return session

    yield start
    for session in sessions:
        session.close()


@pytest.fixture
def hunt_pid(hunt: Callable[..., HunterSession]) -> Callable[..., HunterSession]:
    """Starts hunter for one process and waits until it is traced."""

    def start(pid: int, *options: object, **keywords: object) -> HunterSession:
        session = hunt("--only-pids", "--pid", pid, "--frequency", "0.2", *options, **keywords)
        session.wait_attached(pid)
        return session

    return start


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles a C program of targets/ once: `compiled("counter")`."""
    folder = tmp_path_factory.mktemp("targets")

    def build(name: str) -> Path:
        compiler = shutil.which("gcc")
        if compiler is None:
            pytest.skip("gcc is missing: the C programs to be traced cannot be built")
        binary = folder / name
        if not binary.exists():
            source = TARGETS / f"{name}.c"
            subprocess.run(
                [compiler, "-O1", "-Wall", "-Werror", "-pthread", "-o", binary, source],
                check=True,
            )
        return binary

    return build


@pytest.fixture
def start() -> Iterator[Callable[..., Tracee]]:
    """Starts a program and waits for its `ready`."""
    tracees: list[Tracee] = []

    def launch(*command: object) -> Tracee:
        tracee = Tracee(command)
        tracees.append(tracee)
        return tracee

    yield launch
    for tracee in tracees:
        tracee.close()
