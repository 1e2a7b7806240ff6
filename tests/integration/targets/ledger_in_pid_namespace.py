"""Runs as PID 1 of a PID namespace: traces a ledger there with ebpf, prints what is wrong.

ledger_in_pid_namespace.py HUNTER_PYZ LEDGER BOOK RECORDS OPTIONS ARGUMENT...
"""

import sys
from pathlib import Path

from tests.integration.hunter_session import HunterSession
from tests.integration.test_ledger import keep_ledger
from tests.integration.tracee import Tracee

pyz, program, book, records, options, *shape = sys.argv[1:]
judged, _ = keep_ledger(
    lambda *command: Tracee(command),
    lambda *words, **more: HunterSession(Path(pyz), words, **more),
    lambda name: Path(program),
    Path(book),
    "ebpf",
    shape,
    options.split(),
)
print(judged.faults)
print(judged.missing)
