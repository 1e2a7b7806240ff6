"""Memory samples of traced processes and of the container, for memory.jsonl."""

from __future__ import annotations

from typing import Dict, Optional

from hg_shared.messages import Sample
from hunter.container import Container
from hunter.memory import procfs

# smaps_rollup takes the target's mmap lock for milliseconds: not at every scan.
ROLLUP_INTERVAL_NS = 5_000_000_000
# An OOM kill comes within a second or two of a leak: what was used before it must be known.
NEAR_INTERVAL_NS = 250_000_000
NEAR_SHARE = 0.75


class Sampler:
    """Takes samples; asks for the expensive ones no more often than every 5 s.

    Args:
        container: whose memory is sampled.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._rolled_up: Dict[int, int] = {}
        self._near_ns: Optional[int] = None

    def process(self, pid: int, rss: int, time_ns: int) -> Sample:
        """Returns a sample of one process.

        Args:
            pid: the process.
            rss: resident set size that the scan read, bytes.
            time_ns: CLOCK_MONOTONIC of the scan.
        """
        values: Dict[str, Optional[int]] = {
            "rss_bytes": rss,
            "pss_bytes": None,
            "anon_bytes": None,
            "swap_bytes": None,
        }
        if time_ns - self._rolled_up.get(pid, -ROLLUP_INTERVAL_NS) >= ROLLUP_INTERVAL_NS:
            self._rolled_up[pid] = time_ns
            totals = procfs.rollup(pid)
            for name in ("pss_bytes", "anon_bytes", "swap_bytes"):
                values[name] = totals.get(name)
        return Sample(time_ns, pid, values)

    def container(self, time_ns: int) -> Sample:
        """Returns a sample of the container's memory cgroup.

        Args:
            time_ns: CLOCK_MONOTONIC of the scan.
        """
        memory = self._container.memory()
        self._near_ns = time_ns if _is_near(memory) else None
        return Sample(
            time_ns,
            None,
            {
                "usage_bytes": memory.usage,
                "limit_bytes": memory.limit,
                "inactive_file_bytes": memory.inactive_file,
                "oom_kills": memory.oom_kills,
            },
        )

    def is_due(self, time_ns: int) -> bool:
        """Tells whether the container is so near its limit that it is sampled between two scans.

        Args:
            time_ns: CLOCK_MONOTONIC now.
        """
        return self._near_ns is not None and time_ns - self._near_ns >= NEAR_INTERVAL_NS

    def forget(self, pid: int) -> None:
        """Drops what is kept about a process that ended."""
        self._rolled_up.pop(pid, None)


def _is_near(memory: procfs.ContainerMemory) -> bool:
    if memory.limit is None or memory.usage is None:
        return False
    return memory.usage - memory.inactive_file >= NEAR_SHARE * memory.limit
