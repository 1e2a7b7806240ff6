"""The memory cgroups of containers, on cgroup v1 and v2.

runc makes the cgroups; this module names them, reads their counters and removes them.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# One top-level cgroup for each run: what one run removes is never a parent of another.
PREFIX = "hg-standin-"
KILL_TIMEOUT_SECONDS = 10.0


def is_v2() -> bool:
    """Tells whether /sys/fs/cgroup is the unified hierarchy."""
    return (ROOT / "cgroup.controllers").exists()


def container_path(run_name: str, container_id: str) -> str:
    """Returns ``linux.cgroupsPath`` of a container, the same in every hierarchy."""
    return f"/{PREFIX}{run_name}/{container_id}"


def hierarchies() -> list[Path]:
    """Returns the mount points of all cgroup hierarchies."""
    if is_v2():
        return [ROOT]
    return [path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink()]


def memory_directory(cgroups_path: str) -> Path:
    """Returns the directory that holds a cgroup's memory controller."""
    return (ROOT if is_v2() else ROOT / "memory") / cgroups_path.lstrip("/")


def oom_kills(cgroups_path: str) -> int:
    """Returns how many processes of a cgroup the kernel has killed for lack of memory.

    ``oom_kill`` of memory.events (v2) or memory.oom_control (v1); 0 when the cgroup is gone.
    """
    name = "memory.events" if is_v2() else "memory.oom_control"
    try:
        text = (memory_directory(cgroups_path) / name).read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill":
            return int(value)
    return 0


def pids(cgroups_path: str) -> list[int]:
    """Returns the host-side process ids in a cgroup and below it."""
    return _pids_below(memory_directory(cgroups_path))


def tree_names() -> set[str]:
    """Returns the names of the runs that have cgroups."""
    names = set()
    for hierarchy in hierarchies():
        names |= {path.name.removeprefix(PREFIX) for path in hierarchy.glob(f"{PREFIX}*")}
    return names


def remove_tree(run_name: str) -> None:
    """Kills every process of a run and removes its cgroups.

    Raises:
        TimeoutError: a process did not die within 10 s of SIGKILL.
    """
    trees = [hierarchy / f"{PREFIX}{run_name}" for hierarchy in hierarchies()]
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    while alive := {pid for tree in trees for pid in _pids_below(tree)}:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(alive)} of {run_name} do not die")
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    for tree in trees:
        _remove_directories(tree)


def _pids_below(directory: Path) -> list[int]:
    found = []
    for path, _, _ in os.walk(directory):
        try:
            found += [int(line) for line in Path(path, "cgroup.procs").read_text().split()]
        except OSError:
            continue
    return found


def _remove_directories(directory: Path) -> None:
    for path, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(path)
        except OSError:
            continue
