"""Headroom: memory that must be left below a container's limit for hunter to run inside. Pure."""

from __future__ import annotations

from typing import Optional

HEADROOM_BYTES = 48 << 20
"""Hunter's own 32 MiB, and as much again as half of it for the target to go on growing."""


def headroom(limit: Optional[int], usage: Optional[int], reclaimable: int) -> Optional[int]:
    """Returns the bytes left below the limit, None when there is no limit.

    Args:
        limit: memory limit, bytes.
        usage: usage of the cgroup, bytes.
        reclaimable: what of it goes away at once: inactive page cache and hunter itself.
    """
    if limit is None or usage is None:
        return None
    return limit - (usage - reclaimable)
