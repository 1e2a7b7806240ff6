"""What each engine costs, as ratios of one interleaved run: python -m tests.bench.engines."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from tests.bench import target as targets
from tests.bench import tracers

ROOT = Path(__file__).resolve().parents[2]
CPUS = sorted(os.sched_getaffinity(0))
FIRST, LAST = CPUS[0], CPUS[-1]
Figures = dict[str, list[float]]


def slowdown(
    figures: Figures,
    name: str,
    target: targets.Target,
    zipapp: Path,
    seconds: float,
    options: tuple[str, ...],
    watched: targets.Target | None = None,
    placed: int | None = None,
) -> None:
    """Measures one row: the target, or a bystander, before and while hunter traces.

    Args:
        figures: where the result goes.
        name: of the row.
        target: what is traced.
        zipapp: hunter.pyz.
        seconds: of each measurement.
        options: hunter's.
        watched: whose speed is measured, the target's by default.
        placed: CPU of hunter, None for any.
    """
    watched = watched or target
    before = watched.rate(seconds)
    with tracers.hunter(target.pid, zipapp, placed, options=options, decoding=False) as received:
        during = watched.rate(seconds)
    goodbye = received.goodbye
    assert goodbye is not None
    put = {
        "slowdown": before / during,
        "records a second": goodbye.seen / seconds if watched is target else 0,
        "lost, percent": 100 * goodbye.lost / max(goodbye.seen, 1),
        "wire bytes a record": received.wire / max(received.records, 1),
        "hunter MiB": goodbye.peak_pss_bytes / 2**20,
    }
    for figure, value in put.items():
        figures.setdefault(f"{name}: {figure}", []).append(value)


def one_round(program: Path, zipapp: Path, folder: Path, seconds: float, figures: Figures) -> None:
    """Measures every row once.

    Args:
        program: the compiled target.
        zipapp: hunter.pyz.
        folder: for strace's log.
        seconds: of each measurement.
        figures: where the results go.
    """
    engines = ("ebpf", "ptrace", "ptrace-python")
    for threads, cpu in ((1, LAST), (4, None)):
        target = targets.Target(program, threads, "mix", cpu)
        for engine in engines:
            beside = None if engine != "ebpf" or cpu is None else FIRST
            name = f"{threads} thread, {engine}" if threads == 1 else f"{threads} threads, {engine}"
            options = ("--engine", engine)
            slowdown(figures, name, target, zipapp, seconds, options, None, beside)
        before = target.rate(seconds)
        with tracers.strace(target.pid, folder, LAST):
            during = target.rate(seconds)
        name = f"{threads} thread(s), strace on one CPU: slowdown"
        figures.setdefault(name, []).append(before / during)
        target.stop()
    target = targets.Target(program, 1, "mix", LAST)
    none = ("--engine", "ebpf", "--trace", "getpid")
    slowdown(figures, "filter that matches nothing", target, zipapp, seconds, none, None, FIRST)
    target.stop()
    target = targets.Target(program, 1, "memory", LAST)
    memory = ("--engine", "ebpf", "--trace", "%memory")
    slowdown(figures, "%memory, growing", target, zipapp, seconds, memory, None, FIRST)
    target.stop()
    target = targets.Target(program, 1, "sleep", FIRST)
    other = targets.Target(program, 1, "mix", LAST)
    ebpf = ("--engine", "ebpf")
    slowdown(figures, "bystander", target, zipapp, seconds, ebpf, other, FIRST)
    other.stop()
    target.stop()


def main() -> int:
    """Prints a table and writes dist/bench-engines.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "build"))
    from make_zipapp import build_zipapp

    zipapp = ROOT / "dist" / "hunter-bench.pyz"
    build_zipapp(ROOT, zipapp)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = targets.build(folder)
        for number in range(given.rounds):
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
            one_round(program, zipapp, folder, given.seconds, figures)
    print("medians, [lowest..highest] of", given.rounds, "rounds")
    for figure, values in figures.items():
        middle = statistics.median(values)
        print(f"{figure:52} {middle:12.2f}  [{min(values):.2f}..{max(values):.2f}]")
    (ROOT / "dist" / "bench-engines.json").write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
