"""The real prometheus-node-exporter of Debian, which `make system-packages` unpacks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "dist/debian/usr/bin/prometheus-node-exporter"
MISSING = f"{PROGRAM} is not there; `make system-packages` unpacks it"


@contextmanager
def node_exporter() -> Iterator[int]:
    """Runs it on the loopback; yields its port."""
    process = subprocess.Popen(
        # Its own figures change with every scrape.
        [PROGRAM, "--web.listen-address=127.0.0.1:0", "--web.disable-exporter-metrics"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if listening := re.search(r'msg="Listening on" address=127\.0\.0\.1:(\d+)', line):
                yield int(listening[1])
                break
        else:
            raise AssertionError("node-exporter ended before it listened")
    finally:
        process.kill()
        process.communicate()
