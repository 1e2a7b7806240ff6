"""The CPU limit of hunter's own cgroup, and of those above it (cpu.max, cpu.cfs_quota_us)."""

from __future__ import annotations

from typing import NamedTuple, Optional

from hg_shared.cpu_quota import parse_max, parse_quota
from hunter.memory import cgroup, procfs


class CpuLimit(NamedTuple):
    """The lowest limit that applies.

    Attributes:
        cpus: share of CPUs, 0.5 for half of one.
        source: file it was read from.
    """

    cpus: float
    source: str


def cpu_limit() -> Optional[CpuLimit]:
    """Returns hunter's own, None when there is none or none can be read."""
    membership = cgroup.parse_membership(procfs.read_text("/proc/self/cgroup"), "cpu")
    found: Optional[CpuLimit] = None
    for mount in cgroup.parse_mounts(procfs.read_text("/proc/self/mountinfo"), "cpu"):
        for directory in cgroup.directories(mount, membership.get(mount.version, "/")):
            limit = _limit_of(mount.version, directory)
            if limit is not None and (found is None or limit.cpus < found.cpus):
                found = limit
    return found


def _limit_of(version: int, directory: str) -> Optional[CpuLimit]:
    if version == 2:
        source = f"{directory}/cpu.max"
        cpus = parse_max(procfs.read_text(source))
    else:
        source = f"{directory}/cpu.cfs_quota_us"
        period = procfs.read_text(f"{directory}/cpu.cfs_period_us")
        cpus = parse_quota(procfs.read_text(source), period)
    return None if cpus is None else CpuLimit(cpus, source)
