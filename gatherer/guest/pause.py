"""The first process of an ephemeral container: it lives as long as hunter does.

gatherer.inject.ephemeral_container passes its text to `PYTHON -I -S -c TEXT`, without comments,
docstrings and annotations. Hunter comes by an exec, so that its records do not go into the
container's log on the node; when it has ended, whatever ended it, this ends too, and with it the
container.
"""

from __future__ import annotations

import os
import time

FIRST_SECONDS = 60
"""How long it waits for hunter to come."""
LAST_LOOKS = 4
"""So many looks in a row must have shown nobody else."""
TICK = 0.5  # seconds


def listed(me: str) -> list[str]:
    """Returns the processes of this container, as its cgroup lists them; empty when none does."""
    for place in ("", "/memory", "/pids", "/cpu"):
        try:
            with open(f"/sys/fs/cgroup{place}/cgroup.procs") as file:
                found = file.read().split()
        except OSError:
            continue
        if me in found:
            return found
    return []


def group(pid: str) -> str:
    """Returns the cgroup of a process, empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            return file.read()
    except OSError:
        return ""


def accompanied() -> bool:
    """Tells whether another process runs in this container."""
    me = str(os.getpid())
    found = listed(me)
    if not found:
        mine = group(me)
        found = [pid for pid in os.listdir("/proc") if pid.isdigit() and group(pid) == mine]
    return any(pid not in (me, "0") for pid in found)


def main() -> None:
    """Waits until hunter has come and gone."""
    end = time.monotonic() + FIRST_SECONDS
    while not accompanied():
        if time.monotonic() > end:
            return
        time.sleep(TICK)
    alone = 0
    while alone < LAST_LOOKS:
        time.sleep(TICK)
        alone = 0 if accompanied() else alone + 1


if __name__ == "__main__":
    main()
