"""The maps of one engine, with their descriptors by name."""

from __future__ import annotations

from struct import Struct
from typing import Dict

from hunter.engines.ebpf import layout, loader
from hunter.engines.ebpf.plan_table import PlanTable

_INDEX = Struct("<I")
RINGS = ("small", "large", "events")


def state_size(follow: bool) -> int:
    """Returns the bytes of the map `state`.

    Args:
        follow: there is room for the slots of children.
    """
    slots = layout.FOLLOW_SLOTS if follow else layout.SLOTS + 1
    return layout.STATE_PROCESSES + slots * layout.PROCESS_SIZE


def create(plans: PlanTable, ring_bytes: Dict[str, int], follow: bool = False) -> Dict[str, int]:
    """Creates all maps and fills those that hold the plan.

    Args:
        plans: the capture plan.
        follow: make those too that are needed to follow children.
        ring_bytes: size of each of `RINGS`, a power of two and whole pages.

    Returns:
        Their descriptors.

    Raises:
        NotPermitted: CAP_BPF is missing, or a seccomp profile forbids bpf(2).
    """
    make = loader.create_map
    fds = {name: make(loader.RINGBUF, 0, 0, ring_bytes[name]) for name in RINGS}
    fds["state"] = make(loader.ARRAY, 4, state_size(follow), 1, loader.MMAPABLE)
    fds["zeroes"] = make(loader.ARRAY, 4, layout.ZEROES, 1)
    fds["calls"] = make(loader.ARRAY, 4, len(plans.calls), 1)
    fds["plans"] = make(loader.ARRAY, 4, layout.PLAN_SIZE, len(plans.plans))
    fds["selections"] = make(loader.HASH, 8, 4, max(len(plans.selections), 1))
    fds["threads"] = make(loader.HASH, 4, layout.THREAD_SIZE, layout.MAX_THREADS)
    fds["resumed"] = make(loader.HASH, 4, 8, layout.MAX_THREADS)
    fds["entries"] = make(loader.HASH, 4, layout.ENTRY_SIZE, layout.MAX_ENTRIES)
    fds["scratches"] = make(loader.PERCPU_ARRAY, 4, layout.SCRATCH_SIZE, 1)
    if follow:
        fds["members"] = make(loader.HASH, 4, 4, layout.FOLLOW_SLOTS)
        fds["spares"] = make(loader.QUEUE, 0, 4, layout.SPARES)
    fds["pid_discovery"] = make(loader.HASH, 4, 4, 256)
    fds["routes"] = make(loader.PROG_ARRAY, 4, 4, layout.ROUTES)
    fds["calibration"] = make(loader.ARRAY, 4, layout.CALIBRATION.size, 1)
    loader.update(fds["calls"], bytes(4), plans.calls)
    for index, plan in enumerate(plans.plans):
        loader.update(fds["plans"], _INDEX.pack(index), plan)
    for key, value in plans.selections.items():
        loader.update(fds["selections"], key, _INDEX.pack(value))
    return fds
