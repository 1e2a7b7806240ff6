"""A target that counts its own system calls, and gatherer's books compared with its count.

The target issues `lseek(fd, COUNTER, SEEK_SET)`, once for each counter; nothing else it does is an
lseek. So with `-e lseek` every record but those about the thread itself carries a counter.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.standin.harness import StandInCluster, pod_manifest

PROGRAM = """
import os, time
fd = os.open("/etc/hostname", os.O_RDONLY)
schedule = os.open("/proc/self/schedstat", os.O_RDONLY)
print("ready", flush=True)
def delayed():
    return int(os.pread(schedule, 100, 0).split()[1])
def read(name):
    try:
        order = os.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    text = os.read(order, 100)
    os.close(order)
    return text
while True:
    text = read("/tmp/order")
    if not text.endswith(b"\\n"):
        time.sleep(0.01)
        continue
    os.unlink("/tmp/order")
    first, count, pause, rate = map(float, text.split())
    first, count = int(first), int(count)
    worst = 0.0
    began = due = time.perf_counter()
    for block in range(first, first + count, 100):
        since, before = time.perf_counter(), delayed()
        for number in range(block, min(block + 100, first + count)):
            os.lseek(fd, number, 0)
        took = time.perf_counter() - since
        worst = max(worst, took - (delayed() - before) / 1e9)
        if rate:
            due += 100 / rate
            pause = max(0.0, due - time.perf_counter())
        if pause:
            time.sleep(pause)
    before = time.perf_counter()
    done = os.open("/tmp/done.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(done, f"{first} {worst:.6f} {before - began:.6f}\\n".encode())
    os.close(done)
    os.rename("/tmp/done.new", "/tmp/done")
"""
MAX_OTHERS = 20
_CALL = re.compile(rb"^\d+ +\S+ lseek\(\d+, (\d+), SEEK_SET")


@dataclass(frozen=True)
class Done:
    """What the target measured.

    Attributes:
        worst: longest time that a hundred calls took, seconds, without waiting for a CPU.
        seconds: for all of them.
    """

    worst: float
    seconds: float


class CountingPod:
    """A pod whose only process is the target.

    Args:
        cluster: where it runs.
        name: of the pod, which exists already.
    """

    def __init__(self, cluster: StandInCluster, name: str) -> None:
        self.name = name
        self.pid = cluster.host_pid(name, "main")
        self._tmp = cluster.rootfs(name, "main") / "tmp"
        self._next = 0

    @staticmethod
    def manifest(name: str, capabilities: Sequence[str] = ("SYS_PTRACE",)) -> dict[str, Any]:
        """Returns the pod's manifest."""
        security = {"capabilities": {"add": list(capabilities)}}
        command = ["python3", "-c", PROGRAM]
        return pod_manifest(name, command, memory="256Mi", security=security)

    def order(self, count: int, pause: float = 0.0, rate: float = 0.0) -> range:
        """Has so many counters issued; returns them.

        Args:
            count: how many.
            pause: seconds of rest after each hundred.
            rate: so many a second instead, as far as it can; 0 for no limit.
        """
        first, self._next = self._next, self._next + count
        (self._tmp / "done").unlink(missing_ok=True)
        order = self._tmp / "order.new"
        order.write_text(f"{first} {count} {pause} {rate}\n")
        order.rename(self._tmp / "order")
        return range(first, first + count)

    def done(self, order: range) -> Done | None:
        """Returns what the target measured once it has issued all, None before."""
        try:
            words = (self._tmp / "done").read_text().split()
        except FileNotFoundError:
            return None
        assert int(words[0]) == order.start
        return Done(float(words[1]), float(words[2]))

    def tracer(self) -> int:
        """Returns the TracerPid of the target."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("TracerPid:\t")[1].split("\n")[0])


def counters(output: Path) -> list[int]:
    """Returns the counters in the logs, in their order."""
    found = []
    for log in output.glob("*.log"):
        for line in log.read_bytes().splitlines():
            match = _CALL.match(line)
            if match is not None:
                found.append(int(match[1]))
    return found


@dataclass(frozen=True)
class Books:
    """A capture compared with what the target did.

    Attributes:
        issued: counters the target issued.
        found: of these, in the logs.
        lost: records that session.json accounts as lost.
        problems: what does not add up; empty when the capture is honest.
    """

    issued: int
    found: int
    lost: int
    problems: tuple[str, ...]


def compare(output: Path, order: range) -> Books:
    """Compares the logs and the accounts of a capture that ended with its totals.

    Records without a counter are the thread's own detach, and a note for each call that was in
    flight for 100 ms, which a busy machine makes of some.

    Args:
        output: the capture directory.
        order: the counters that were issued while it was traced.
    """
    found = counters(output)
    session = json.loads((output / "session.json").read_text())
    records = session["records"]
    problems = []
    if len(set(found)) != len(found):
        problems.append(f"{len(found) - len(set(found))} counters are there twice")
    if found != sorted(found):
        problems.append("counters are out of order")
    if set(found) - set(order):
        problems.append(f"{len(set(found) - set(order))} counters were never issued")
    if records["seen"] != records["received"] + records["lost"]:
        problems.append(f"seen is not received + lost: {records}")
    received = records["received"] - len(found)
    lost = records["lost"] - (len(order) - len(found))
    if received < 0 or lost < 0 or not 1 <= received + lost <= MAX_OTHERS:
        problems.append(f"{len(order)} issued, {len(found)} in the logs, but {records}")
    for process in session["processes"]:
        if process["records"] != records["received"] or process["lost"] != records["lost"]:
            problems.append(f"the process has other sums: {process['records']}, {process['lost']}")
    if (records["lost"] > 0) == session["complete"]:
        problems.append(f"complete is {session['complete']} with {records['lost']} lost")
    notes = sum(_noted(log) for log in output.glob("*.log"))
    if notes > records["lost"]:
        problems.append(f"the log notes {notes} lost, session.json {records['lost']}")
    return Books(len(order), len(found), records["lost"], tuple(problems))


def _noted(log: Path) -> int:
    text = log.read_bytes()
    return sum(int(n) for n in re.findall(rb"\+\+\+ (?:LOST|GAP) (\d+) records?", text))


def wait_done(pod: CountingPod, order: range, seconds: float) -> Done:
    """Waits until the target has issued everything.

    Args:
        pod: the target's.
        order: what it was asked for.
        seconds: how long at most.
    """
    deadline = time.monotonic() + seconds
    while (done := pod.done(order)) is None:
        assert time.monotonic() < deadline, f"{pod.name} did not issue its counters"
        time.sleep(0.02)
    return done
