"""Whole captures of this machine: high rates for a while, and the overhead budget."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.memory import gatherer_peak_mib
from tests.bench.target import Target

ROOT = Path(__file__).resolve().parents[2]
RATES = (250_000, 1_000_000)
RENDER_SECONDS = 600.0
BEFORE_SECONDS = 5.0


class Capture:
    """A running gatherer with a session.json to come.

    Attributes:
        peak_mib: most memory that gatherer and its renderer had, together, once it has ended.
        session: session.json, once it has ended.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.attached = threading.Event()
        self.peak_mib = 0.0
        self.session: dict[str, Any] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if json.loads(line).get("event") == "attach":
                self.attached.set()

    def measure_memory(self) -> None:
        """Takes note of the peak so far."""
        self.peak_mib = gatherer_peak_mib(self._process.pid)

    def end(self, output: Path) -> None:
        """Ends it as Ctrl-C does, and waits until everything is rendered."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(RENDER_SECONDS)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.session = json.loads((output / "session.json").read_text())


@contextmanager
def capture(target: Target, output: Path, *options: str) -> Iterator[Capture]:
    """Captures one process of this machine; on exit it is ended and rendered.

    Args:
        target: the process.
        output: the capture directory, removed at the end.
        options: more of gatherer's command line.
    """
    command = [
        *(sys.executable, "-m", "gatherer", "--runtime", "local", "--json"),
        *("--pid", str(target.pid), "--output", str(output), *options),
    ]
    running = Capture(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT))
    try:
        assert running.attached.wait(30), "gatherer did not attach"
        yield running
        running.measure_memory()
    finally:
        running.end(output)
        shutil.rmtree(output)


def measure_rate(program: Path, folder: Path, seconds: float, rate: int) -> dict[str, float]:
    """Captures with the ebpf engine at a rate that cannot be rendered in time.

    Args:
        program: the compiled target.
        folder: for the capture directory.
        seconds: how long.
        rate: calls a second.
    """
    target = Target(program, 1, "mix", None, rate)
    try:
        with capture(target, folder / "rate", "--engine", "ebpf") as running:
            reached = target.rate(seconds)
    finally:
        target.stop()
    records = running.session["records"]
    assert records["seen"] == records["received"] + records["lost"], records
    return {
        "records a second": reached,
        "lost, percent": 100 * records["lost"] / records["seen"],
        "lost": records["lost"],
        "hunter MiB": running.session["hunter"]["peak_pss_bytes"] / 2**20,
        "gatherer MiB, renderer included": running.peak_mib,
    }


def measure_budget(program: Path, folder: Path, seconds: float, engine: str) -> dict[str, float]:
    """Captures the target that only makes calls with `--max-overhead 10%`.

    Args:
        program: the compiled target.
        folder: for the capture directory.
        seconds: how long.
        engine: an engine.
    """
    target = Target(program, 1, "mix", None)
    try:
        before = target.rate(BEFORE_SECONDS)
        output = folder / "budget"
        options = ("--engine", engine, "--max-overhead", "10%")
        with capture(target, output, *options):
            during = target.rate(seconds)
            [log] = output.glob("*.log")
            windows = log.read_bytes().count(b"+++ WINDOW tracing on")
        after = target.rate(BEFORE_SECONDS)
    finally:
        target.stop()
    assert windows, "no window is marked in the log"
    return {
        "speed, percent of untraced": 200 * during / (before + after),
        "noise: untraced before and after": abs(before / after - 1),
        "windows in the log": windows,
    }
