"""Adds up the JUnit reports of all test levels and names every skipped test.

LEVEL.again.xml holds the second attempt of what failed in LEVEL.xml; both are told.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree


def outcomes(report: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Returns the outcome of each test of a report, and why it was skipped."""
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        skip = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "skipped" if skip is not None else "failed" if failed else "passed"
        reason = str(skip.get("message")) if skip is not None else ""
        found[str(case.get("classname")), str(case.get("name"))] = (outcome, reason)
    return found


def main(folder: str) -> int:
    """Prints the closing line; returns 1 when a test failed or none ran."""
    passed = failed = skipped = 0
    for report in sorted(Path(folder).glob("*.xml")):
        if report.name.endswith(".again.xml"):
            continue
        first = outcomes(report)
        again = report.with_suffix(".again.xml")
        second = outcomes(again) if again.exists() else {}
        for test, (outcome, reason) in {**first, **second}.items():
            if outcome == "skipped":
                skipped += 1
                print(f"skipped {report.stem} {test[1]}: {reason}")
            elif outcome == "failed":
                failed += 1
            else:
                passed += 1
                if first.get(test, ("", ""))[0] == "failed":
                    print(f"passed at the second attempt only: {report.stem} {test[0]} {test[1]}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
