"""Adds up the JUnit reports of all test levels and names every skipped test.

LEVEL.collected holds how many tests LEVEL.xml must have: a run that ends early loses none unseen.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def outcomes(report: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Returns the outcome of each test of a report, and why it was skipped."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        test = (str(case.get("classname")), str(case.get("name")))
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            found[test] = ("failed", "")
        elif skip is not None:
            found.setdefault(test, ("skipped", str(skip.get("message"))))
        else:
            found.setdefault(test, ("passed", ""))
    return found


def main(folder: str) -> int:
    """Prints the closing line; returns 1 when a test failed or was lost, or none ran."""
    total: Counter[str] = Counter()
    levels = {path.stem for path in Path(folder).iterdir()}
    for level in sorted(levels):
        expected = int((Path(folder) / f"{level}.collected").read_text())
        report = Path(folder) / f"{level}.xml"
        tests = outcomes(report) if report.exists() else {}
        for (_, name), (outcome, reason) in tests.items():
            total[outcome] += 1
            if outcome == "skipped":
                print(f"skipped {level} {name}: {reason}")
        if len(tests) != expected:
            total["lost"] += abs(expected - len(tests))
            print(f"lost {level}: {expected} tests were collected, {len(tests)} reported")
    print(", ".join(f"{total[name]} {name}" for name in ("passed", "failed", "skipped", "lost")))
    return 1 if total["failed"] or total["lost"] or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
