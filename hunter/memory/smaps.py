"""/proc/PID/smaps_rollup (proc_pid_smaps(5)): totals over all mappings."""

from __future__ import annotations

from typing import Dict

_FIELDS = {
    b"Rss:": "rss_bytes",
    b"Pss:": "pss_bytes",
    b"Anonymous:": "anon_bytes",
    b"Swap:": "swap_bytes",
}


def parse_rollup(text: bytes) -> Dict[str, int]:
    """Returns rss_bytes, pss_bytes, anon_bytes and swap_bytes, as far as the text has them.

    Args:
        text: the file's contents; unknown and broken lines are passed over.
    """
    totals: Dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] in _FIELDS and words[1].isdigit():
            totals[_FIELDS[words[0]]] = int(words[1]) * 1024
    return totals
