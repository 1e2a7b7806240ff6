"""Signals as a terminal's shell leaves them, and the count of tests that a run is to report.

A shell that starts a program in the background without job control has it ignore SIGINT, and what
it starts as well: then no Ctrl-C could be tested.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Writes the number of tests to run beside the JUnit report, which .ci/tally.py compares."""
    if report := session.config.getoption("xmlpath"):
        path = Path(report).with_suffix(".collected")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{len(session.items)}\n")
