"""CPU limits of cgroups: what their files say, and which limit is too low for a tracer. Pure."""

from __future__ import annotations

from typing import Optional

LITTLE_CPUS = 0.1
"""CPUs below which a hunter that needs them is throttled for most of each period of 100 ms: what it
traces with ptrace then stands still that long, and the watchdog may have to end it."""

_MOST_DIGITS = 20


def parse_max(text: str) -> Optional[float]:
    """Returns the limit in CPUs, None for no limit or an unreadable text.

    Args:
        text: contents of cpu.max (version 2), `QUOTA PERIOD` in microseconds or `max PERIOD`.
    """
    words = text.split()
    return parse_quota(words[0], words[1]) if len(words) == 2 else None


def parse_quota(quota: str, period: str) -> Optional[float]:
    """Returns the limit in CPUs, None for no limit or an unreadable text.

    Args:
        quota: microseconds in each period, as in cpu.cfs_quota_us (version 1); -1 for no limit.
        period: its microseconds, as in cpu.cfs_period_us.
    """
    words = (quota.strip(), period.strip())
    if not all(word.isdecimal() and len(word) <= _MOST_DIGITS for word in words):
        return None
    return int(words[0]) / int(words[1]) if int(words[1]) else None
