"""Peaks of memory, as the kernel keeps them for each address space."""

from __future__ import annotations

from pathlib import Path


def peak_mib(pid: int) -> float:
    """Returns the most memory that a process had resident since its program was started."""
    # ru_maxrss would begin with the peak of whoever started it.
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def gatherer_peak_mib(gatherer: int) -> float:
    """Returns the peaks of a gatherer and its renderer, together.

    Args:
        gatherer: its process id.
    """
    children = Path(f"/proc/{gatherer}/task/{gatherer}/children").read_text().split()
    renderers = [
        int(pid)
        for pid in children
        if b"rendering.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return sum(peak_mib(pid) for pid in (gatherer, *renderers))
