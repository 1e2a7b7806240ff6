"""Holds: the time for which hunter's reads keep a process from mmap, munmap and page faults.

The kernel reads some files of /proc under the process's mmap_lock: smaps_rollup for a whole walk of
the page tables (20 ms for a GiB of small pages), smaps and maps for a part of them at a time,
cmdline and environ for microseconds. Whoever maps or unmaps memory in that process waits
meanwhile. Pure.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Dict, Iterator

SHARE = 0.01
"""Of the time that a process is looked at, what all reads of it together may hold its lock."""
CREDIT_NS = 10_000_000
"""What may be spent before a second has passed."""
MAX_HOLD_NS = 25_000_000
"""What one read may be expected to hold the lock, whatever has been saved."""
WALK_NS_PER_MIB = 20_000
"""What a walk of page tables takes at first sight; slower ones are remembered."""
_BASE_NS = 100_000
_TELLING_BYTES = 16 << 20


class Holds:
    """The ledger of one hunter: how long its reads have held each process's lock.

    What is measured is the time of the read, with what it waited for the lock or the CPU itself, so
    it is never too little.
    """

    def __init__(self) -> None:
        self._since: Dict[int, int] = {}
        self._spent: Dict[int, int] = {}
        self._ns_per_mib: Dict[int, int] = {}

    def allows(self, pid: int, resident: int, now_ns: int, again: bool = False) -> bool:
        """Tells whether the page tables of a process may be walked now.

        Args:
            pid: the process.
            resident: its resident bytes.
            now_ns: CLOCK_MONOTONIC.
            again: it is one of many walks, for which no more than half of what has been earned is
                spent: the last one must not find nothing left.
        """
        since = self._since.setdefault(pid, now_ns)
        earned = max(CREDIT_NS, int((now_ns - since) * SHARE)) // (2 if again else 1)
        expected = self.expected_ns(pid, resident)
        return expected <= MAX_HOLD_NS and self.spent_ns(pid) + expected <= earned

    def expected_ns(self, pid: int, resident: int) -> int:
        """Returns how long a walk will take.

        Args:
            pid: the process.
            resident: its resident bytes.
        """
        return _BASE_NS + (resident * self._ns_per_mib.get(pid, WALK_NS_PER_MIB) >> 20)

    def spend(self, pid: int, held_ns: int, walked: int = 0) -> None:
        """Charges a read.

        Args:
            pid: the process.
            held_ns: how long it took.
            walked: resident bytes whose page tables were walked for it; 0 for other reads.
        """
        self._spent[pid] = self._spent.get(pid, 0) + held_ns
        if walked >= _TELLING_BYTES:
            self._ns_per_mib[pid] = max(WALK_NS_PER_MIB, (held_ns << 20) // walked)

    def spent_ns(self, pid: int) -> int:
        """Returns how long reads have held the lock of a process so far."""
        return self._spent.get(pid, 0)

    def forget(self, pid: int) -> int:
        """Closes the account of a process that has ended; returns what was spent on it, ns."""
        self._since.pop(pid, None)
        self._ns_per_mib.pop(pid, None)
        return self._spent.pop(pid, 0)

    @contextmanager
    def reading(self, pid: int, walked: int = 0) -> Iterator[None]:
        """Charges the time that passes within.

        Args:
            pid: the process that is read of.
            walked: see `spend`.
        """
        begun = time.monotonic_ns()
        try:
            yield
        finally:
            self.spend(pid, time.monotonic_ns() - begun, walked)


HOLDS = Holds()
"""Of this hunter: the reads in `procfs` are booked here."""
