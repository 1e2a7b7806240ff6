"""Runs gatherer as a user does, with --runtime local and --json, and waits for what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.integration.hunter_session import wait_until

ROOT = Path(__file__).resolve().parents[2]


class GathererProcess:
    """One `gatherer` that traces named processes of this machine.

    Args:
        output: the capture directory.
        options: more of the command line.
        prefix: what runs it, such as a shell that sets limits.
    """

    def __init__(self, output: Path, options: Sequence[object], prefix: Sequence[str] = ()) -> None:
        self.output = output
        command = [
            *prefix, sys.executable, "-m", "gatherer", "--runtime", "local", "--json",
            "--frequency", "0.2", "--output", str(output), *map(str, options),
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GATHERER_")}
        environment["TMPDIR"] = str(output.parent)
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment,
            # communicate() reads past what a buffer has taken from the pipe already.
            bufsize=0,
        )  # fmt: skip
        self.said: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Returns the next event of this name."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.said.append(json.loads(line))
            if self.said[-1]["event"] == event:
                return self.said[-1]
        _, err = self.process.communicate(timeout=30)
        raise AssertionError(f"it ended without {event}: {self.said} {err.decode()}")

    def interrupt(self) -> None:
        """Presses Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def finish(self) -> tuple[int, str]:
        """Waits for the end; returns exit code and stderr."""
        out, err = self.process.communicate(timeout=60)
        self.said += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, err.decode()

    def session(self) -> dict[str, Any]:
        """Returns session.json."""
        return json.loads((self.output / "session.json").read_text())

    def events(self) -> list[dict[str, Any]]:
        """Returns events.jsonl."""
        lines = (self.output / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def log(self) -> Path:
        """Returns the only log."""
        [path] = self.output.glob("*.log")
        return path

    def steps(self) -> list[int]:
        """Returns the counters in the only log, in order; none before there is a log."""
        if not list(self.output.glob("*.log")):
            return []
        return [int(n) for n in re.findall(r'"/step-(\d+)"', self.log().read_text())]

    def hunter_pid(self) -> int:
        """Returns the pid of hunter; gatherer must have said `start`."""
        [start] = [said for said in self.said if said["event"] == "start"]
        return int(start["hunter"]["pid"])

    def wait_until_hunter_is_gone(self, seconds: float) -> None:
        """Waits for the end of hunter."""
        pid = self.hunter_pid()
        wait_until(lambda: not _is_hunter(pid), "hunter is gone", seconds)

    def close(self) -> None:
        """Kills what is left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=30)


def _is_hunter(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return b"hunter-" in words and state != "Z"
