"""Memory samples of traced processes and of the container, for memory.jsonl."""

from __future__ import annotations

from typing import Dict, Optional, Set

from hg_shared.messages import Sample
from hunter.memory import cgroup_files, procfs
from hunter.memory.cgroup_files import ContainerMemory
from hunter.memory.container import Container
from hunter.memory.holds import HOLDS

# Pss needs a walk of all page tables, for which the target's mmap and munmap wait: of a process
# that is larger it is read once at the beginning and once at the end, if at all.
SMALL_BYTES = 256 << 20
# An OOM kill comes within a second or two of a leak: what was used before it must be known.
NEAR_INTERVAL_NS = 250_000_000
NEAR_SHARE = 0.75
# What it grows by between two looks is worth a sample before the next scan.
GROWTH_SHARE = 0.05


class Sampler:
    """Takes samples; what holds the target up is read as far as `HOLDS` allows.

    Args:
        container: whose memory is sampled.
    """

    def __init__(self, container: Container) -> None:
        self._container = container
        self._walked: Set[int] = set()
        self._near = False
        self._looked_ns = 0
        self._latest = ContainerMemory(0, None, "", None, 0, None)
        self.directory = ""
        """The cgroup of the latest sample of the container, empty when none was found."""
        self.own_bytes: Optional[int] = None
        """Pss of hunter itself when it was measured last."""

    def process(self, pid: int, rss: int, time_ns: int, last: bool = False) -> Sample:
        """Returns a sample of one process; `pss_bytes` is None where it was not read.

        Args:
            pid: the process.
            rss: resident set size that the scan read, bytes.
            time_ns: CLOCK_MONOTONIC of the scan.
            last: it will not be sampled again.
        """
        values = _counted(pid, rss)
        again = pid in self._walked and not last
        if (rss < SMALL_BYTES or not again) and HOLDS.allows(pid, rss, time_ns, again):
            totals = procfs.rollup(pid)
            if totals:
                self._walked.add(pid)
            for name in ("pss_bytes", "anon_bytes", "swap_bytes"):
                values[name] = totals.get(name, values[name])
        return Sample(time_ns, pid, values)

    def beginning(self, pid: int, time_ns: int, followed: bool) -> Optional[Sample]:
        """Returns the first sample of a process, None when it has ended already.

        Args:
            pid: the process.
            time_ns: CLOCK_MONOTONIC now.
            followed: it is the child of another: there may be thousands a second, so nothing is
                read that takes long.
        """
        rss = procfs.resident(procfs.living_thread(pid))
        if not rss:
            return None
        return (
            Sample(time_ns, pid, _counted(pid, rss))
            if followed
            else self.process(pid, rss, time_ns)
        )

    def container(self, time_ns: int) -> Sample:
        """Returns a sample of the container's memory cgroup.

        Args:
            time_ns: CLOCK_MONOTONIC of the scan.
        """
        memory = self._container.memory()
        self.directory = memory.directory
        self._latest, self._looked_ns, self._near = memory, time_ns, _is_near(memory)
        return Sample(
            time_ns,
            None,
            {
                "usage_bytes": memory.usage,
                "limit_bytes": memory.limit,
                "inactive_file_bytes": memory.inactive_file,
                "oom_kills": memory.oom_kills,
                "hunter_bytes": self.own_bytes if self._container.holds_hunter else 0,
                **memory.kinds,
            },
        )

    def is_due(self, time_ns: int) -> bool:
        """Tells whether the container is to be sampled between two scans.

        It is when it is near its limit, or has grown by a twentieth of it since the latest sample.

        Args:
            time_ns: CLOCK_MONOTONIC now.
        """
        if time_ns - self._looked_ns < NEAR_INTERVAL_NS:
            return False
        self._looked_ns = time_ns
        latest = self._latest
        if self._near or latest.limit is None or latest.usage is None:
            return self._near
        usage = cgroup_files.group_usage(latest.directory, latest.version)
        return usage is not None and usage - latest.usage >= GROWTH_SHARE * latest.limit

    def was_killed(self, pid: int, time_ns: int) -> bool:
        """Tells whether a process may have been killed for want of memory just now.

        Args:
            pid: the process, which has ended.
            time_ns: CLOCK_MONOTONIC now.
        """
        return self._container.was_killed(pid, time_ns)

    def forget(self, pid: int) -> int:
        """Drops what is kept about a process that ended; returns how long it was held up, ns."""
        self._walked.discard(pid)
        return HOLDS.forget(pid)


def _is_near(memory: cgroup_files.ContainerMemory) -> bool:
    if memory.limit is None or memory.limited_usage is None:
        return False
    return memory.limited_usage >= NEAR_SHARE * memory.limit


def _counted(pid: int, rss: int) -> Dict[str, Optional[int]]:
    """Returns the values of a sample without what takes a walk of page tables."""
    counted = procfs.counted_memory(pid)
    return {
        "rss_bytes": rss,
        "pss_bytes": None,
        "anon_bytes": counted.get("anon_bytes"),
        "swap_bytes": counted.get("swap_bytes"),
    }
