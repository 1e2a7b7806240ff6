"""What runs in the booted machine: captures of programs that count their own calls.

Each scenario prints one line, `@@ ` and a JSON object, to the console. It asserts nothing: what is
right is judged outside.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = 4000
"""Calls of each thread."""
PATIENCE = 240.0
"""Seconds that anything may take: this machine is 20 to 30 times slower than a real one."""
CGROUPS = Path("/sys/fs/cgroup")
GATHERER = [sys.executable, "-m", "gatherer", "--runtime", "local", "--agent", "none", "--plain"]
_CALL = re.compile(rb"^(\d+) +\S+ lseek\((\d+), (\d+), SEEK_SET")
HOLDER = """
import sys, time
kept = bytearray(b"x") * (int(sys.argv[1]) << 20)
print("ready", flush=True)
while True:
    open("/etc/hostname").close()
    time.sleep(0.05)
"""
LEAK = """
import time
kept = []
print("ready", flush=True)
while True:
    kept.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.25)
"""


def read(path: str | Path) -> str:
    """Returns a file's text, or the error that reading it gave."""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        return str(error.strerror)


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Returns the first true value of a condition, or its last one."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return value


def cgroup(name: str, limit: int) -> Callable[[], None]:
    """Makes a cgroup; returns what moves the calling process into it."""
    place = CGROUPS / name
    place.mkdir(exist_ok=True)
    (place / "memory.max").write_text(str(limit))
    return lambda: (place / "cgroup.procs").write_text(str(os.getpid())) and None


class Target:
    """A program that is traced.

    Args:
        command: the program.
        uid: whose it is.
        enter: moves it into a cgroup.
    """

    def __init__(
        self, command: list[str], uid: int = 0, enter: Callable[[], None] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            user=uid, group=uid, preexec_fn=enter,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid
        self.masks = self._fields("Cpus_allowed")

    def _fields(self, name: str) -> list[str]:
        found = []
        for task in sorted(Path(f"/proc/{self.pid}/task").iterdir()):
            lines = read(task / "status").splitlines()
            found += [line.split()[1] for line in lines if line.startswith(f"{name}:")]
        return found

    def issue(self, count: int) -> float:
        """Has the target make its calls; returns how many seconds they took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        began = time.monotonic()
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()
        return time.monotonic() - began

    def left(self) -> dict[str, Any]:
        """Returns what a capture has left of the target, and in the machine."""
        running = self.process.poll() is None
        return {
            "runs": running,
            "exit": self.process.returncode,
            "tracers": sorted(set(self._fields("TracerPid"))) if running else [],
            "masks_kept": self._fields("Cpus_allowed") == self.masks if running else None,
            "hunters": hunters(),
        }

    def end(self) -> None:
        """Ends the program."""
        self.process.kill()
        self.process.wait()


def hunters() -> list[int]:
    """Returns the processes of hunter."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        words = read(path / "cmdline").split("\0")
        if "hunter" in words or any("hunter" in word and ".pyz" in word for word in words):
            found.append(int(path.name))
    return found


class Capture:
    """One run of gatherer.

    Args:
        name: of its output directory.
        options: of gatherer.
        uid: who runs it.
    """

    def __init__(self, name: str, options: list[str], uid: int = 0) -> None:
        self.output = Path("/tmp") / name
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            [*GATHERER, "-o", str(self.output), *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, user=uid, group=uid,
            env={**os.environ, "HOME": "/tmp"},
        )  # fmt: skip
        self._text: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._text += self.process.stdout

    def events(self) -> list[dict[str, Any]]:
        """Returns the events so far."""
        text = read(self.output / "events.jsonl")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def event(self, name: str) -> bool:
        """Tells whether an event was told."""
        return any(event["event"] == name for event in self.events())

    def attached(self) -> float | None:
        """Waits for the attach; returns the seconds since the start, None when it never came."""
        until(lambda: self.event("attach") or self.process.poll() is not None)
        return round(time.monotonic() - self._began, 1) if self.event("attach") else None

    def end(self, *, stop: bool = True) -> dict[str, Any]:
        """Ends it, by Ctrl-C unless it ends by itself; returns what it left."""
        if stop and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code: int | str = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "hung"
        self._reader.join()
        try:
            session = json.loads((self.output / "session.json").read_text())
        except (OSError, ValueError):
            session = {}
        lines = [line.strip() for line in self._text if "error" in line or "denied" in line]
        return {
            "code": code,
            "engine": (session.get("engine") or {}).get("name"),
            "reason": (session.get("engine") or {}).get("reason"),
            "tracing": session.get("tracing"),
            "records": session.get("records"),
            "complete": session.get("complete"),
            "end_reason": session.get("end_reason"),
            "host": session.get("host"),
            "pss": (session.get("hunter") or {}).get("peak_pss_bytes"),
            "said": lines[:3],
        }

    def found(self) -> dict[str, Any]:
        """Returns what the logs have of the target's calls: how many, whether in order, once."""
        threads: dict[bytes, list[int]] = {}
        for log in self.output.glob("*.log"):
            for line in log.read_bytes().splitlines():
                match = _CALL.match(line)
                if match is not None:
                    threads.setdefault(match[2], []).append(int(match[3]))
        return {
            "found": sum(map(len, threads.values())),
            "in_order": all(calls == sorted(set(calls)) for calls in threads.values()),
        }


def counted(name: str, options: list[str], uid: int = 0, rate: int = 500) -> dict[str, Any]:
    """A capture of a program that makes so many calls in each of two threads."""
    target = Target(["/bin/target", "2", str(rate)], uid)
    untraced = target.issue(CALLS // 4) * 4
    capture = Capture(name, ["--pid", str(target.pid), "-e", "lseek", "-f", "1", *options], uid)
    first = capture.attached()
    took = target.issue(CALLS)
    told = capture.end()
    told |= {
        "issued": 2 * CALLS, "attached_after_s": first, "untraced_s": round(untraced, 2),
        "traced_s": round(took, 2), "left": target.left(), **capture.found(),
    }  # fmt: skip
    target.end()
    return told


def killed(engine: str) -> dict[str, Any]:
    """SIGKILL of hunter, all of its processes at once or the first alone, while it traces."""
    target = Target(["/bin/target", "2", "0"])
    capture = Capture(
        f"killed-{engine}", ["--pid", str(target.pid), "-e", "lseek", "-f", "1", "--engine", engine]
    )
    first = capture.attached()
    worker = threading.Thread(target=target.issue, args=(CALLS * 5,))
    worker.start()
    victims = hunters()
    for pid in victims[:1]:
        os.kill(pid, signal.SIGKILL)
    told = capture.end(stop=False)
    worker.join(PATIENCE)
    until(lambda: not hunters(), 30.0)
    told |= {"attached_after_s": first, "killed": len(victims[:1]), "left": target.left()}
    told["still_issues_s"] = round(target.issue(CALLS), 2)
    target.end()
    return told


def threshold() -> dict[str, Any]:
    """Two programs in a group of 64 MiB, one of which uses more than half of it."""
    enter = cgroup("threshold", 64 << 20)
    big = Target([sys.executable, "-S", "-c", HOLDER, "36"], enter=enter)
    small = Target([sys.executable, "-S", "-c", HOLDER, "1"], enter=enter)
    capture = Capture("threshold", ["-m", "50", "-f", "1"])
    capture.attached()
    told = capture.end()
    scans = [event for event in capture.events() if event["event"] == "scan"]
    told |= {
        "big": big.pid, "small": small.pid, "left": big.left(),
        "attached": sorted({e["pid"] for e in capture.events() if e["event"] == "attach"}),
        "scan": next((scan for scan in scans if scan.get("pid") == big.pid), None),
    }  # fmt: skip
    big.end()
    small.end()
    return told


def out_of_memory() -> dict[str, Any]:
    """A program that outgrows its group of 48 MiB, seen from outside of it."""
    target = Target([sys.executable, "-S", "-c", LEAK], enter=cgroup("oom", 48 << 20))
    waiting = threading.Thread(target=target.process.wait)
    waiting.start()
    capture = Capture("oom", ["--pid", str(target.pid), "-f", "0.5"])
    capture.attached()
    waiting.join(PATIENCE)
    told = capture.end(stop=False)
    told |= {
        "signal": target.process.returncode,
        "events": [e for e in capture.events() if e["event"] in ("oom", "exit")],
        "counter": read(CGROUPS / "oom/memory.events"),
        "left": {"hunters": hunters()},
    }
    target.end()
    return told


def yama(scope: int, uid: int) -> dict[str, Any]:
    """A capture of somebody's program by the same user, with Yama's ptrace_scope."""
    place = Path("/proc/sys/kernel/yama/ptrace_scope")
    if not place.exists():
        return {"absent": True}
    before = place.read_text()
    place.write_text(str(scope))
    try:
        told = counted(f"yama{scope}-{uid}", [], uid)
    finally:
        place.write_text(before)
    return told


def probe(uid: int) -> dict[str, Any]:
    """What doctor's probe prints here."""
    ran = subprocess.run(
        [sys.executable, "-B", "-E", "-S", "/probe.py"], capture_output=True, text=True,
        user=uid, group=uid, check=False,
    )  # fmt: skip
    return {"output": ran.stdout, "code": ran.returncode}


def machine() -> dict[str, Any]:
    """The kernel and its settings."""
    kernel = Path("/proc/sys/kernel")
    return {
        "release": os.uname().release,
        "cpus": os.cpu_count(),
        "yama": read(kernel / "yama/ptrace_scope"),
        "paranoid": read(kernel / "perf_event_paranoid"),
        "unprivileged_bpf_disabled": read(kernel / "unprivileged_bpf_disabled"),
        "controllers": read(CGROUPS / "cgroup.controllers"),
    }


def verifier() -> dict[str, Any]:
    """All programs of the ebpf engine, for all settings."""
    sys.path.insert(0, "/hg/gatherer/_data/hunter.pyz")
    from verifier import CASES, refusals

    refused: list[str] = []
    slowest = 0.0
    for case in CASES:
        began = time.monotonic()
        refused += refusals(case)
        slowest = max(slowest, time.monotonic() - began)
    return {"cases": len(CASES), "refused": refused, "slowest_s": round(slowest, 1)}


SCENARIOS: dict[str, Callable[[], dict[str, Any]]] = {
    "machine": machine,
    "verifier": verifier,
    "probe-root": lambda: probe(0),
    "probe-user": lambda: probe(1000),
    "ptrace": lambda: counted("ptrace", ["--engine", "ptrace"]),
    "ptrace-python": lambda: counted("ptrace-python", ["--engine", "ptrace-python"]),
    "ebpf": lambda: counted("ebpf", ["--engine", "ebpf"]),
    "auto": lambda: counted("auto", []),
    "ptrace-busy": lambda: counted("ptrace-busy", ["--engine", "ptrace"], rate=0),
    "ebpf-busy": lambda: counted("ebpf-busy", ["--engine", "ebpf"], rate=0),
    "user": lambda: counted("user", [], 1000),
    "user-yama1": lambda: yama(1, 1000),
    "root-yama1": lambda: yama(1, 0),
    "killed-ptrace": lambda: killed("ptrace"),
    "killed-ptrace-python": lambda: killed("ptrace-python"),
    "killed-ebpf": lambda: killed("ebpf"),
    "threshold": threshold,
    "oom": out_of_memory,
}


def main() -> None:
    """Runs all scenarios, or those that the kernel's command line names as `only=a,b`."""
    named = re.search(r"\bonly=(\S+)", read("/proc/cmdline"))
    chosen = named[1].split(",") if named else list(SCENARIOS)
    for name in chosen:
        began = time.monotonic()
        try:
            told = SCENARIOS[name]()
        except Exception as error:
            told = {"broke": f"{type(error).__name__}: {error}"}
        told |= {"scenario": name, "seconds": round(time.monotonic() - began, 1)}
        print("@@ " + json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
