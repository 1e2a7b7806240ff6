"""Programs to be traced: started, asked line by line, judged by what they print."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

TARGETS = Path(__file__).parent / "targets"


def status_field(pid: int, name: str) -> str:
    """Returns one field of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise KeyError(name)


def tracers(pid: int) -> set[int]:
    """Returns who traces the threads of a process; {0} when nobody does."""
    found = set()
    for path in Path(f"/proc/{pid}/task").iterdir():
        try:
            found.add(int(status_field(int(path.name), "TracerPid")))
        except (OSError, KeyError):
            continue
    return found


class Tracee:
    """One program: it prints `ready`, then answers each line on its stdin with a line.

    Args:
        command: its command line.
    """

    def __init__(self, command: Sequence[object]) -> None:
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # SIGTSTP does not stop an orphaned process group, and this test run's may be one:
            # a group of its own, with its parent in the same session, is not (setpgid(2)).
            process_group=0,
        )
        self.pid = self.process.pid
        assert self.line() == "ready"

    def line(self) -> str:
        """Returns the next line it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def tell(self, text: str) -> None:
        """Gives it one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def ask(self, text: str) -> str:
        """Gives it one line and returns the one it answers."""
        self.tell(text)
        return self.line()

    def finish(self) -> tuple[str, int]:
        """Closes its stdin and returns the rest of its output and its exit code."""
        output, _ = self.process.communicate(timeout=60)
        return output.decode(), self.process.returncode

    def state(self) -> str:
        """Returns its state letter."""
        return status_field(self.pid, "State")[0]

    def threads(self) -> list[int]:
        """Returns its thread ids as psutil sees them."""
        return [thread.id for thread in psutil.Process(self.pid).threads()]

    def close(self) -> None:
        """Kills it and closes the pipes."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass
