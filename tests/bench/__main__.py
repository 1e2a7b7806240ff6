"""make bench: the price of a trace, as ratios of one interleaved run."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import latency, rendering, spooling, streams, tracers
from tests.bench import target as targets

ROOT = Path(__file__).resolve().parents[2]
CPU = max(os.sched_getaffinity(0))


def one_round(
    program: Path, zipapp: Path, folder: Path, mode: str, seconds: float
) -> dict[str, Any]:
    """Measures one target untraced, under pinned strace and under hunter, one after the other."""
    target = targets.Target(program, 1, mode, CPU)
    try:
        untraced = target.rate(seconds)
        with tracers.strace(target.pid, folder, CPU):
            under_strace = target.rate(seconds)
        with tracers.hunter(target.pid, zipapp, CPU) as received:
            under_hunter = target.rate(seconds)
        again = target.rate(seconds)
    finally:
        target.stop()
    assert received.goodbye is not None
    records = max(received.records, 1)
    return {
        "untraced": untraced,
        "noise": abs(again - untraced) / untraced,
        "strace_slowdown": untraced / under_strace,
        "hunter_slowdown": untraced / under_hunter,
        "hunter_against_strace": under_hunter / under_strace,
        "wire_bytes_per_record": received.wire / records,
        "captured_bytes_per_record": received.captured / records,
        "lost": received.goodbye.lost,
        "seen": received.goodbye.seen,
        "peak_pss_mib": received.goodbye.peak_pss_bytes / 2**20,
    }


def main() -> int:
    """Prints a table and writes dist/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", default="", help="sections that begin like this")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "build"))
    from make_zipapp import build_zipapp

    zipapp = ROOT / "dist" / "hunter.pyz"
    build_zipapp(ROOT, zipapp)
    results: dict[str, list[dict[str, Any]]] = {}
    # Beside the results: what is spooled goes to the disk that a user would use.
    with tempfile.TemporaryDirectory(dir=ROOT / "dist") as name:
        folder = Path(name)
        program = targets.build(folder)
        sections: dict[str, Callable[[], dict[str, Any]]] = {
            mode: partial(one_round, program, zipapp, folder, mode, given.seconds)
            for mode in ("mix", "work", "sleep")
        }
        for mix in streams.MIXES:
            sections[f"rendering, {mix}"] = partial(rendering.measure, folder, mix)
        sections["spooling"] = partial(spooling.measure, folder)
        sections["latency"] = partial(latency.measure, program, folder, 2 * given.seconds)
        for number in range(given.rounds):
            for section, measure in sections.items():
                if section.startswith(given.only):
                    print(f"round {number + 1} of {given.rounds}: {section}", file=sys.stderr)
                    results.setdefault(section, []).append(measure())
    print("target and tracer on one CPU; medians, [lowest..highest] of", given.rounds, "rounds")
    print("renderer:", rendering.form())
    for mode, rounds in results.items():
        print(mode)
        for figure in rounds[0]:
            values = [each[figure] for each in rounds]
            low, middle, high = min(values), statistics.median(values), max(values)
            print(f"  {figure:28} {middle:12.2f}  [{low:.2f}..{high:.2f}]")
    (ROOT / "dist" / "bench.json").write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
