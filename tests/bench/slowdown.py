"""The price of a trace for its target, of every engine and of strace, one after the other."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.bench import tracers
from tests.bench.target import Target

CPUS = sorted(os.sched_getaffinity(0))
FIRST, LAST = CPUS[0], CPUS[-1]
PINNED = "strace on its target's CPU"
SETTLED_SECONDS = 6.0
# A trial of placement takes a quarter of a second; a target that is not busy sees none.
PLACEMENT_SECONDS = 2.0
ENGINES = ("ebpf", "ptrace", "ptrace-python")
MIXES = {
    "syscalls, 1 thread": ("mix", 1),
    "syscalls, 4 threads": ("mix", 4),
    "100 us of work a call": ("work", 1),
    "sleeping": ("sleep", 1),
    "memory-growing": ("memory", 1),
}
Figures = dict[str, float]


def measure(program: Path, zipapp: Path, folder: Path, seconds: float, mix: str) -> Figures:
    """Measures one target untraced, under strace twice and under each engine.

    Every slowdown is against the speed just before; two tracers are compared by their rates.
    Nobody is pinned but where it is said: strace
    with its target on one CPU, the best strace can do; hunter places its target itself.

    Args:
        program: the compiled target.
        zipapp: hunter.pyz.
        folder: for strace's log.
        seconds: of each measurement.
        mix: one of `MIXES`.
    """
    mode, threads = MIXES[mix]
    figures: Figures = {}
    target = Target(program, threads, mode, None)
    anywhere = os.sched_getaffinity(target.pid)
    try:
        figures["strace: slowdown"] = _under_strace(target, folder, seconds, None)[0]
        _pin(target.pid, {LAST})
        figures[f"{PINNED}: slowdown"], pinned = _under_strace(target, folder, seconds, LAST)
        _pin(target.pid, anywhere)
        # At this age hunter takes the target for settled: it may be moved.
        while time.monotonic() - target.started < SETTLED_SECONDS:
            target.rate(0.5)
        for engine in ENGINES:
            figures |= under_hunter(engine, target, zipapp, seconds, "--engine", engine)
        figures["noise: untraced twice"] = abs(target.rate(seconds) / target.rate(seconds) - 1)
    finally:
        target.stop()
    for engine in ENGINES:
        rate = figures.pop(f"{engine}: rate")
        figures[f"{engine}: speed against {PINNED}"] = rate / pinned
    return figures


def under_hunter(
    name: str,
    target: Target,
    zipapp: Path,
    seconds: float,
    *options: str,
    watched: Target | None = None,
) -> Figures:
    """Measures a target, or a bystander, before and while hunter traces.

    Args:
        name: in front of each figure.
        target: what is traced.
        zipapp: hunter.pyz.
        seconds: of each measurement.
        options: hunter's.
        watched: whose speed is measured, the target's by default.
    """
    watched = watched or target
    before = watched.rate(seconds)
    with tracers.hunter(target.pid, zipapp, None, options=options, decoding=False) as received:
        if watched is target:
            received.placed.wait(PLACEMENT_SECONDS if "ptrace" in name else 0)
        cpu = tracers.cpu_seconds(received.pid)
        during = watched.rate(seconds)
        cpu = tracers.cpu_seconds(received.pid) - cpu
    goodbye = received.goodbye
    assert goodbye is not None
    figures = {
        "slowdown": before / during,
        "lost, percent": 100 * goodbye.lost / max(goodbye.seen, 1),
        "hunter MiB": goodbye.peak_pss_bytes / 2**20,
        "hunter CPU, percent": 100 * cpu / seconds,
    }
    if watched is target:
        figures["rate"] = during
        figures["thousand records a second"] = during * (1 - goodbye.lost / max(goodbye.seen, 1))
        figures["thousand records a second"] /= 1000
        figures["wire bytes a record"] = received.wire / max(received.records, 1)
    return {f"{name}: {figure}": value for figure, value in figures.items()}


def measure_filters(program: Path, zipapp: Path, seconds: float) -> Figures:
    """Measures what the ebpf engine costs when it drops nearly everything.

    Args:
        program: the compiled target.
        zipapp: hunter.pyz.
        seconds: of each measurement.
    """
    ebpf = ("--engine", "ebpf")
    target = Target(program, 1, "mix", LAST)
    name = "ebpf, filter that matches nothing"
    figures = under_hunter(name, target, zipapp, seconds, *ebpf, "--trace", "getpid")
    target.stop()
    target = Target(program, 1, "memory", LAST)
    name = "ebpf, -e %memory on the memory-growing target"
    figures |= under_hunter(name, target, zipapp, seconds, *ebpf, "--trace", "%memory")
    target.stop()
    target, other = Target(program, 1, "sleep", FIRST), Target(program, 1, "mix", LAST)
    name = "ebpf, a bystander that only makes system calls"
    figures |= under_hunter(name, target, zipapp, seconds, *ebpf, watched=other)
    other.stop()
    target.stop()
    return {name: value for name, value in figures.items() if "slowdown" in name}


def _under_strace(
    target: Target, folder: Path, seconds: float, cpu: int | None
) -> tuple[float, float]:
    """Returns the slowdown, and calls a second while strace traces."""
    before = target.rate(seconds)
    with tracers.strace(target.pid, folder, cpu):
        during = target.rate(seconds)
    return before / during, during


def _pin(pid: int, cpus: set[int]) -> None:
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(tid), cpus)
