"""Captures go on whatever becomes of stdin, stdout and stderr."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TARGET = "import os, time\nwhile True: os.access('/here', 0); time.sleep(0.05)"
WAYS = {
    "closed": ("<&-", ">&-", "2>&-"),
    "full": ("</dev/full", ">/dev/full", "2>/dev/full"),
    "open": ("</dev/null", "", ""),
}
COMBINATIONS = [
    each
    for each in itertools.product(WAYS, repeat=3)
    if each[0] != "full" and set(each) != {"open"}
]
VIEWS = ("--plain", "--json", "-q")


def captured(combination: tuple[str, ...], view: str, directory: Path) -> str:
    """Captures a program of its own; returns what is wrong about the capture."""
    where = " ".join(WAYS[way][number] for number, way in enumerate(combination))
    with subprocess.Popen([sys.executable, "-S", "-c", TARGET]) as target:
        try:
            command = (
                f"exec {sys.executable} -m gatherer --runtime local --pid {target.pid} "
                f"--engine ptrace {view} -o {directory} --duration 1 {where}"
            )
            shell = subprocess.run(["sh", "-c", command], capture_output=True, timeout=100)
            document = json.loads((directory / "session.json").read_text())
            calls = sum(log.read_text().count('"/here"') for log in directory.glob("*.log"))
        except (OSError, ValueError) as error:
            return f"{combination} {view}: {error!r} {shell.stderr!r}"
        finally:
            target.kill()
    if (shell.returncode, document["complete"]) == (0, True) and calls > 0:
        return ""
    return f"{combination} {view}: {shell.returncode}, {calls} calls, {shell.stderr!r}"


@pytest.mark.long
def test_every_combination_of_closed_and_full_descriptors(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        wrong = pool.map(
            lambda numbered: captured(
                numbered[1], VIEWS[numbered[0] % len(VIEWS)], tmp_path / str(numbered[0])
            ),
            enumerate(COMBINATIONS),
        )
    assert not [problem for problem in wrong if problem]


@pytest.mark.parametrize("command", ["--version", "capture --help", "--bogus"])
@pytest.mark.parametrize("where", ["<&- >&- 2>&-", ">&-", ">/dev/full 2>/dev/full"])
def test_no_file_takes_the_place_of_a_closed_descriptor(command: str, where: str) -> None:
    script = f"exec {sys.executable} -m gatherer {command} {where}"
    result = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60)
    full = "full" in where and command != "--bogus"
    assert result.returncode == (2 if command == "--bogus" else 1 if full else 0)
    assert b"Traceback" not in result.stderr


def test_a_full_stdout_is_told(tmp_path: Path) -> None:
    script = f"exec {sys.executable} -m gatherer --version >/dev/full"
    result = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60)
    assert result.stderr == (
        b"gatherer: error: stdout cannot be written: No space left on device; see where it leads\n"
    )
