"""make bench: the price of a trace, as ratios measured side by side in one interleaved run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import (
    bundling,
    capture,
    guest,
    latency,
    rendering,
    slowdown,
    spooling,
    startup,
    streams,
)
from tests.bench import target as targets

ROOT = Path(__file__).resolve().parents[2]
Measure = Callable[[], dict[str, float]]


def sections(
    program: Path, zipapp: Path, folder: Path, seconds: float, long: float
) -> dict[str, Measure]:
    """Returns what can be measured on this machine without a cluster, in the order it is.

    Args:
        program: the compiled target.
        zipapp: hunter.pyz.
        folder: on the disk that a user would use.
        seconds: of each short measurement.
        long: seconds of a capture at a high rate; with the overhead budget three times as long.
    """
    found: dict[str, Measure] = {}
    for mix in slowdown.MIXES:
        found[f"slowdown: {mix}"] = partial(slowdown.measure, program, zipapp, folder, seconds, mix)
    found["slowdown: filters and bystanders"] = partial(
        slowdown.measure_filters, program, zipapp, seconds
    )
    for mix in streams.MIXES:
        found[f"rendering: {mix}"] = partial(rendering.measure, folder, mix)
    found["wire"] = streams.measure_wire
    found["spooling"] = partial(spooling.measure, folder)
    found["latency"] = partial(latency.measure, program, folder, 2 * seconds)
    found["bundled Python"] = partial(bundling.measure, folder)
    found["guest"] = partial(guest.measure, zipapp, 5 * seconds)
    for rate in capture.RATES:
        name = f"capture: ebpf, {rate // 1000} thousand records a second"
        found[name] = partial(capture.measure_rate, program, folder, long, rate)
    for engine in ("ebpf", "ptrace"):
        name = f"budget: {engine}, --max-overhead 10%"
        found[name] = partial(capture.measure_budget, program, folder, 3 * long, engine)
    return found


def report(results: dict[str, list[dict[str, float]]]) -> None:
    """Prints one table."""
    for section, rounds in results.items():
        print(section)
        for figure in rounds[0]:
            values = [each[figure] for each in rounds]
            low, middle, high = min(values), statistics.median(values), max(values)
            print(f"  {figure:58} {middle:12.2f}  [{low:.2f}..{high:.2f}]")


def main() -> int:
    """Prints a table and writes dist/bench.json."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--long", type=float, default=20.0, help="seconds of a whole capture")
    parser.add_argument("--only", default="", help="sections that begin like this")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "build"))
    from make_zipapp import build_zipapp

    zipapp = ROOT / "dist" / "hunter.pyz"
    build_zipapp(ROOT, zipapp)
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir=ROOT / "dist") as name:
        folder = Path(name)
        program = targets.build(folder)
        chosen = sections(program, zipapp, folder, given.seconds, given.long)
        with startup.stand_in(folder) as cluster:
            if cluster is not None:
                chosen["start-up"] = partial(startup.measure, cluster, folder)
            chosen = {key: each for key, each in chosen.items() if key.startswith(given.only)}
            for number in range(given.rounds):
                for section, measure in chosen.items():
                    print(f"round {number + 1} of {given.rounds}: {section}", file=sys.stderr)
                    results.setdefault(section, []).append(measure())
                # A run of many rounds that is interrupted has not been for nothing.
                (ROOT / "dist" / "bench.json").write_text(json.dumps(results, indent=1))
    cpus = len(os.sched_getaffinity(0))
    print(f"{platform.machine()}, {cpus} CPUs, Linux {platform.release()}; {rendering.form()}")
    print(f"medians, [lowest..highest] of {given.rounds} rounds")
    report(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
