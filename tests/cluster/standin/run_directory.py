"""The directory one run of the stand-in owns, and what crashed runs left behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.standin import cgroups

BASE = Path("/run/hg-standin")


class RunDirectory:
    """A directory named after its owner: ``<pid>-<start time in clock ticks>``.

    The start time makes the name safe against reuse of process ids.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = BASE / name

    @classmethod
    def create(cls) -> RunDirectory:
        """Makes the directory of this process; removes those whose owner is dead first."""
        remove_stale()
        pid = os.getpid()
        directory = cls(f"{pid}-{start_time(pid)}")
        directory.path.mkdir(parents=True, mode=0o755)
        return directory

    def subdirectory(self, name: str) -> Path:
        """Returns the path of a directory inside, made when it is not there."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def remove(self) -> None:
        """Kills every process of this run and removes its cgroups and files."""
        cgroups.remove_tree(self.name)
        shutil.rmtree(self.path, ignore_errors=True)


def start_time(pid: int) -> int | None:
    """Returns the start time of a process in clock ticks since boot, None when it is gone.

    Field 22 of /proc/PID/stat, proc(5); the command in field 2 may hold spaces.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def remove_stale() -> list[str]:
    """Removes what runs left whose owner no longer lives; returns their names."""
    removed = []
    names = {path.name for path in BASE.iterdir()} if BASE.is_dir() else set()
    for name in sorted(names | cgroups.tree_names()):
        pid, _, started = name.partition("-")
        if pid.isdigit() and started.isdigit() and start_time(int(pid)) == int(started):
            continue
        RunDirectory(name).remove()
        removed.append(name)
    return removed
