"""Boots Debian's kernels under qemu, captures in each, and prints what came of it.

    python -m tests.kernels [--only SCENARIO,…] [SUITE…]

Needs qemu-system-x86, cpio, gcc, busybox-static and Debian's archive. A kernel takes some minutes.
What was told goes to dist/reports/kernels.json. Exit code 1 when anything was not right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from gatherer.preflight.checks.tracing import findings
from gatherer.probe.output import interior
from tests.kernels import debian, image, judging
from tests.unit.gatherer.preflight.situations import target

WORK = Path("dist/kernels")
REPORT = Path("dist/reports/kernels.json")
BOOT_SECONDS = 3600
_MARK = "@@ "


def boot(kernel: Path, archive: Path, only: str = "") -> list[judging.Told]:
    """Returns what the scenarios told in a machine with this kernel.

    Args:
        kernel: vmlinuz.
        archive: the initramfs.
        only: names of scenarios, with commas; empty for all.
    """
    told: list[judging.Told] = []
    # A busy host may not give the machine a tick of its timer in time, which ends 5.10's boot.
    words = "console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init"
    words += f" only={only}" if only else ""
    command = [
        *("qemu-system-x86_64", "-cpu", "max", "-accel", "tcg,thread=multi", "-m", "3000"),
        *("-smp", "2", "-nographic", "-no-reboot", "-net", "none"),
        *("-kernel", str(kernel), "-initrd", str(archive), "-append", words),
    ]
    console = (kernel.parent / "console.log").open("w")
    deadline = time.monotonic() + BOOT_SECONDS
    with (
        console,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as machine,
    ):
        assert machine.stdout is not None
        for raw in machine.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            console.write(f"{line}\n")
            console.flush()
            if _MARK in line:
                told.append(json.loads(line.partition(_MARK)[2]))
                print(_row(told[-1]), flush=True)
            if time.monotonic() > deadline:
                machine.kill()
    return told


def _row(told: judging.Told) -> str:
    name = told["scenario"]
    if name.startswith("probe-"):
        return f"  {name:22} | doctor: {_doctor(told['output'])}"
    if name == "machine":
        return f"  kernel {told['release']}, Yama {told['yama']}, paranoid {told['paranoid']}"
    records = told.get("records") or {}
    counts = ""
    if "issued" in told:
        counts = f"issued {told['issued']}, found {told.get('found')}, "
    if records:
        counts += f"seen {records['seen']} = {records['received']} + {records['lost']} lost"
    wrong = "; ".join(judging.problems(name, told)) or "right"
    parts = [f"  {name:22}", str(told.get("engine") or ""), counts, wrong, f"{told['seconds']} s"]
    return " | ".join(part for part in parts if part)


def _doctor(output: str) -> str:
    """Returns doctor's row on tracing in a container where the probe printed this."""
    seen = interior(output.encode(), "sh", "sh")
    rows = findings(replace(target("problempod"), interior=seen))
    return "; ".join(f"{row.finding} ({row.meaning})" for row in rows) or "nothing"


def main() -> int:
    """Boots the kernels that were named, all without a name; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernels")
    parser.add_argument("--only", default="", help="scenarios, with commas")
    parser.add_argument("suites", nargs="*", default=list(debian.SUITES))
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    archive = image.build(WORK.absolute())
    report: dict[str, list[judging.Told]] = {}
    wrong = bad = ran = 0
    for suite in given.suites:
        try:
            kernel = debian.kernel(suite, (WORK / suite).parent.absolute())
        except debian.KernelMissing as error:
            print(f"{suite}: no kernel: {error}")
            wrong += 1
            continue
        print(f"{suite}: {kernel.name}", flush=True)
        told = report[suite] = boot(kernel, archive, given.only)
        ran += len(told)
        bad += sum(1 for one in told if judging.problems(one["scenario"], one))
        expected = given.only.count(",") + 1 if given.only else _SCENARIOS
        if len(told) != expected:
            print(
                f"  {len(told)} of {expected} scenarios were told; see {kernel.parent}/console.log"
            )
            wrong += 1
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps(report, indent=1))
    print(f"{ran - bad} passed, {bad} failed")
    return 1 if wrong or bad else 0


_SCENARIOS = 18

if __name__ == "__main__":
    sys.exit(main())
