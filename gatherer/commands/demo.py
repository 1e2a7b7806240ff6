"""`gatherer demo`: the main job on this machine, with a small leaking program as the target."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gatherer.errors import TargetNotFound
from gatherer.text import counted

TAIL_LINES = 12


@contextmanager
def leaking_program() -> Iterator[int]:
    """Runs the leaking program and yields its pid once all of its threads work.

    Raises:
        TargetNotFound: it did not start.
    """
    program = subprocess.Popen(
        [sys.executable, "-m", "gatherer.commands.demo_leak"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert program.stdout is not None
        if program.stdout.readline() != b"ready\n":
            raise TargetNotFound(
                "the leaking program did not start",
                f"run {sys.executable} -m gatherer.commands.demo_leak to see why",
            )
        yield program.pid
    finally:
        program.communicate()


def arguments(pid: int, output: Path, duration: str) -> list[str]:
    """Returns the command line of the capture.

    Args:
        pid: the leaking program; naming it keeps everything else of the machine untraced.
        output: capture directory.
        duration: as `--duration` takes it.
    """
    return [
        "capture", "--runtime", "local", "--pid", str(pid), "--frequency", "1",
        "--duration", duration, "--output", str(output), "--plain",
    ]  # fmt: skip


def last_lines(log: Path, count: int = TAIL_LINES) -> list[str]:
    """Returns the last lines of a log.

    Args:
        log: a log that gatherer wrote, so printable ASCII.
        count: how many.
    """
    return log.read_text(encoding="ascii", errors="backslashreplace").splitlines()[-count:]


def run_demo(
    output: Path,
    duration: str,
    capture: Callable[[Sequence[str]], int],
    echo: Callable[[str], None],
) -> int:
    """Traces the leaking program, shows where the evidence is, and sums it up.

    Args:
        output: capture directory.
        duration: as `--duration` takes it.
        capture: runs a `gatherer capture` command line and returns its exit code.
        echo: prints a line.

    Returns:
        The exit code of the capture.
    """
    with leaking_program() as pid:
        echo(f"demo: a leaking program runs as pid {pid}; tracing it for {duration}")
        code = capture(arguments(pid, output, duration))
    if code:
        return code
    logs = sorted(output.glob("*.log"))
    for log in logs:
        echo("")
        echo(f"The last lines of {log}:")
        for line in last_lines(log):
            echo(f"  {line}")
    echo("")
    for log in logs:
        lines = log.read_bytes().splitlines()
        threads = {line.split(None, 1)[0] for line in lines}
        sources = counted(len(threads), "thread")
        echo(f"summary: {log} has {counted(len(lines), 'line')} from {sources}")
    session = json.loads((output / "session.json").read_text(encoding="utf-8"))
    records = session["records"]
    echo(
        f"summary: {counted(records['seen'], 'record')} seen = {records['received']} received"
        f" + {records['lost']} lost; {'complete' if session['complete'] else 'not complete'}"
    )
    return code
