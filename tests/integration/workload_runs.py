"""Runs the programs of workloads/ under strace and under gatherer with each engine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import wait_until

WORKLOADS = Path(__file__).parent / "workloads"
PYTHON = WORKLOADS / "python"
NARROW = "narrow"
"""The 32-bit program."""
PATIENCE = 60.0
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", "PYTHONHASHSEED": "0",
    # Whether threads get a heap of their own, and how it is aligned, is not the same in two runs.
    "MALLOC_ARENA_MAX": "1",
}  # fmt: skip


def compile_workloads(folder: Path) -> Path:
    """Compiles the C programs into one binary, and the 32-bit one beside it.

    Args:
        folder: where it goes.

    Returns:
        The binary; its names come from `names`.
    """
    binary = folder / "workloads"
    objects = []
    started = []
    for source in sorted(WORKLOADS.glob("*.c")):
        objects.append(folder / f"{source.stem}.o")
        flags = ("-O1", "-Wall", "-Wno-unused-result", "-Wno-nonnull", "-pthread", "-fPIE")
        command = ["gcc", *flags, "-c", "-o", objects[-1], source]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, err = process.communicate()
        assert process.returncode == 0, err
    subprocess.run(["gcc", "-pthread", "-pie", "-o", binary, *objects], check=True)
    flags = (
        "-m32", "-O1", "-Wall", "-Wno-int-conversion", "-mno-sse", "-ffreestanding", "-nostdlib",
        "-static", "-fno-pic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
    )  # fmt: skip
    narrow = ["gcc", *flags, "-o", folder / NARROW, WORKLOADS / NARROW / f"{NARROW}.c"]
    subprocess.run(narrow, check=True)
    return binary


def names(binary: Path) -> list[str]:
    """Returns the names of all programs: C, 32-bit C, and those in Python as `python/name`."""
    listed = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True)
    python = [f"python/{path.stem}" for path in sorted(PYTHON.glob("*.py"))]
    return [*listed.stdout.split(), NARROW, *python]


class Waiting:
    """Programs that wait at their gate, each in a folder of its own.

    Args:
        binary: what `compile_workloads` made.
        programs: names.
        folder: their folders are made in it, anew: paths are the same in every run.
        scripts: the calls of programs that play a script, by name.
    """

    def __init__(
        self,
        binary: Path,
        programs: Sequence[str],
        folder: Path,
        scripts: Mapping[str, bytes] | None = None,
    ) -> None:
        self.scripts = scripts or {}
        self.pids: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        shutil.rmtree(folder, ignore_errors=True)
        for name in programs:
            place = folder / name
            place.mkdir(parents=True)
            command: list[object] = [binary, name, place]
            if name in self.scripts:
                (place / "script").write_bytes(self.scripts[name])
                command = [binary, "--play", place]
            if name == NARROW:
                command = [binary, "--run", place, binary.with_name(NARROW)]
            if name.startswith("python/"):
                program = PYTHON / f"{name.partition('/')[2]}.py"
                command = [binary, "--run", place, sys.executable, "-s", "-S", "-B", program]
            self._processes[name] = subprocess.Popen(
                [str(word) for word in command], env=_ENVIRONMENT, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0,
            )  # fmt: skip
            self.pids[name] = self._processes[name].pid
        for name, process in self._processes.items():
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", name

    def run(self) -> None:
        """Lets one after the other through its gate and waits for its end."""
        for name, process in self._processes.items():
            try:
                process.communicate(b"go\n", PATIENCE)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{name} does not end") from None

    def close(self) -> None:
        """Kills what has not ended."""
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()


@contextmanager
def waiting(
    binary: Path,
    programs: Sequence[str],
    folder: Path,
    scripts: Mapping[str, bytes] | None = None,
) -> Iterator[Waiting]:
    """Starts programs and kills what is left of them."""
    started = Waiting(binary, programs, folder, scripts)
    try:
        yield started
    finally:
        started.close()


def traced_by(pids: Sequence[int]) -> bool:
    """Returns whether all of these processes have a tracer."""
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        if "\nTracerPid:\t0\n" in status:
            return False
    return True


def under_strace(
    binary: Path,
    programs: Sequence[str],
    folder: Path,
    log: Path,
    scripts: Mapping[str, bytes] | None = None,
) -> dict[str, int]:
    """Runs programs traced by the real strace, all in one log, and returns their pids.

    Args:
        binary: what `compile_workloads` made.
        programs: names.
        folder: where the programs work.
        log: strace writes there.
        scripts: see `Waiting`.
    """
    with waiting(binary, programs, folder, scripts) as started:
        pids = list(started.pids.values())
        command: list[object] = ["strace", "-f", "-tt", "-T", "-s", "32", "-o", log]
        for pid in pids:
            command += ["-p", pid]
        strace = subprocess.Popen(
            [str(word) for word in command],
            env=_ENVIRONMENT, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: traced_by(pids), "strace traces all programs", PATIENCE)
            started.run()
            strace.wait(PATIENCE)
        finally:
            if strace.poll() is None:
                strace.kill()
                strace.wait()
        return dict(started.pids)


def under_gatherer(
    binary: Path,
    programs: Sequence[str],
    folder: Path,
    output: Path,
    engine: str,
    scripts: Mapping[str, bytes] | None = None,
) -> tuple[dict[str, int], str]:
    """Returns the pids of programs traced by an engine of hunter's, and all their logs together.

    Args:
        binary: what `compile_workloads` made.
        programs: names.
        folder: where the programs work.
        output: the capture directory.
        engine: one of hunter's engines.
        scripts: see `Waiting`.
    """
    with waiting(binary, programs, folder, scripts) as started:
        options: list[object] = ["--engine", engine, "--string-size", "32", "--follow-forks"]
        for pid in started.pids.values():
            options += ["--pid", pid]
        gatherer = GathererProcess(output, options)
        try:
            attached = set()
            while not attached.issuperset(started.pids.values()):
                attached.add(gatherer.wait_for("attach")["pid"])
            started.run()
            code, errors = gatherer.finish()
            assert (code, errors) == (0, "")
        finally:
            gatherer.close()
        text = "".join([path.read_text() for path in sorted(output.glob("*.log"))])
        return dict(started.pids), text
