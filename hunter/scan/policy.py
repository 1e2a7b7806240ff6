"""The policy by which processes are traced: threshold, growth, exclusions. Pure."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

from hunter.config import Threshold


class Denominator(NamedTuple):
    """The size that percentages are of.

    Attributes:
        size: bytes.
        source: the file it was read from.
        of: `limit` or `node`; `node` also when a limit was asked for and there is none.
    """

    size: int
    source: str
    of: str


class Decision(NamedTuple):
    """The reason why a process is traced.

    Attributes:
        reason: memory, growth or pid.
        threshold_bytes: resident size from which it is traced, None for growth and pid.
        percent: resident size in percent of the denominator, None without one.
        growth: bytes per second since the scan before, None when not known.
    """

    reason: str
    threshold_bytes: Optional[int]
    percent: Optional[float]
    growth: Optional[float]


def denominator(of: str, limit: Optional[int], source: str, node: int) -> Denominator:
    """Returns what percent is of.

    Args:
        of: `limit` or `node`.
        limit: memory limit of the process's cgroup, None when it has none.
        source: file the limit was read from.
        node: memory of the node, bytes.
    """
    if of == "limit" and limit is not None and (not node or limit <= node):
        return Denominator(limit, source, "limit")
    return Denominator(node, "/proc/meminfo MemTotal", "node")


def threshold_bytes(threshold: Threshold, against: Denominator) -> Optional[int]:
    """Returns the resident size from which a process is traced, None for never by size.

    Args:
        threshold: what was asked for.
        against: what percent is of.
    """
    if threshold.size is not None:
        return threshold.size
    if threshold.percent is not None and against.size:
        return int(against.size * threshold.percent / 100)
    return None


def evaluate(
    threshold: Threshold, against: Denominator, rss: int, growth: Optional[float]
) -> Optional[Decision]:
    """Returns why a process is traced, None when it is not.

    The limit itself counts: a process exactly at it is traced.

    Args:
        threshold: what was asked for.
        against: what percent is of.
        rss: resident set size, bytes.
        growth: bytes per second since the scan before, None when not known.
    """
    floor = threshold_bytes(threshold, against)
    percent = round(100 * rss / against.size, 2) if against.size else None
    if floor is not None and rss >= floor:
        return Decision("memory", floor, percent, growth)
    if threshold.growth is not None and growth is not None and growth >= threshold.growth:
        return Decision("growth", floor, percent, growth)
    return None


def exclusion(state: str, is_kernel_thread: bool) -> str:
    """Returns why a process must not be traced, empty when it may be.

    Args:
        state: state letter of /proc/PID/stat.
        is_kernel_thread: as `procfs.Stat` has it.
    """
    if is_kernel_thread:
        return "kernel thread"
    if state in ("Z", "X"):
        return "zombie"
    return ""


def ancestors(pid: int, parents: Dict[int, int]) -> List[int]:
    """Returns a process and its ancestors as far as they are visible.

    Args:
        pid: where to start.
        parents: ppid by pid.
    """
    chain: List[int] = []
    while pid > 0 and pid not in chain:
        chain.append(pid)
        pid = parents.get(pid, 0)
    return chain


class Backoff:
    """The pause until a process that could not be attached is tried again: 1, 2, 4 … 64 scans.

    Keys are (pid, start time), so that a new process under an old pid starts afresh.
    """

    _LONGEST = 64

    def __init__(self) -> None:
        self._waits: Dict[Tuple[int, int], Tuple[int, int]] = {}

    def failed(self, key: Tuple[int, int]) -> None:
        """Notes a failed attempt."""
        _, wait = self._waits.get(key, (0, 0))
        wait = min(self._LONGEST, wait * 2 or 1)
        self._waits[key] = (wait, wait)

    def may_try(self, key: Tuple[int, int]) -> bool:
        """Tells whether it is time; counts one scan down otherwise."""
        left, wait = self._waits.get(key, (0, 0))
        if left <= 0:
            return True
        self._waits[key] = (left - 1, wait)
        return False

    def forget(self, alive: set[Tuple[int, int]]) -> None:
        """Drops processes that do not exist any more."""
        for key in [key for key in self._waits if key not in alive]:
            del self._waits[key]
