"""The target of a benchmark: its own counters say how fast it runs."""

from __future__ import annotations

import mmap
import struct
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("target.c")


def build(folder: Path) -> Path:
    """Compiles the target.

    Args:
        folder: where to.
    """
    program = folder / "target"
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, SOURCE], check=True)
    return program


class Target:
    """A running target.

    Args:
        program: the compiled target.
        threads: how many.
        mode: one of those that target.c names.
        cpu: CPU it is pinned to, None for any.
        pace: calls a second of each thread, 0 for as many as it can make.
    """

    def __init__(
        self, program: Path, threads: int, mode: str, cpu: int | None, pace: int = 0
    ) -> None:
        self._file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by stop()
        self._file.write(bytes(8192))
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), 8192)
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self._process = subprocess.Popen(
            [*pin, str(program), self._file.name, str(threads), mode, str(pace)],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.pid = self._process.pid
        self.started = time.monotonic()

    def calls(self) -> int:
        """Returns the system calls made so far."""
        return sum(struct.unpack_from("<q", self._map, slot)[0] for slot in range(0, 8192, 128))

    def rate(self, seconds: float) -> float:
        """Measures calls per second.

        Args:
            seconds: how long.
        """
        before, start = self.calls(), time.perf_counter()
        time.sleep(seconds)
        return (self.calls() - before) / (time.perf_counter() - start)

    def stop(self) -> None:
        """Kills it."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._map.close()
        self._file.close()
