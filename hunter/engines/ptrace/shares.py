"""The threads of a process that keeps more than one CPU busy, shared among tracers. Pure.

One tracer on one CPU is the cheapest way for a target that uses one CPU at most. A target that
uses more would be held to that one: its threads are shared among tracers with a CPU each.
"""

from __future__ import annotations

from typing import Dict, Mapping

BUSY_CPUS = 1.2
"""CPUs that a process must keep busy, or wait for, to be shared."""
BUSY_THREAD = 0.1
"""The same of a thread, to be worth a tracer of its own."""


def share(used: Mapping[int, float], leader: int, tracers: int) -> Dict[int, int]:
    """Returns the index of each thread's tracer, 0 being the first.

    Args:
        used: CPUs that each thread keeps busy or waits for, by tid.
        leader: tid of the first thread, which stays with the first tracer.
        tracers: how many there are.
    """
    busy = [tid for tid, cpus in used.items() if cpus >= BUSY_THREAD]
    if tracers < 2 or len(busy) < 2 or sum(used.values()) < BUSY_CPUS:
        return dict.fromkeys(used, 0)
    chosen = {leader: 0}
    loads = [0.0] * tracers
    loads[0] = used.get(leader, 0.0)
    for tid in sorted(used, key=lambda tid: (-used[tid], tid)):
        if tid != leader:
            index = min(range(tracers), key=lambda at: (loads[at], at))
            chosen[tid] = index
            loads[index] += used[tid] or 1e-6  # idle threads are spread, too
    return chosen


__all__ = ["BUSY_CPUS", "BUSY_THREAD", "share"]
