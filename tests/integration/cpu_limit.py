"""A cgroup with next to no CPU, for processes that run already."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path

PERIOD_US = 100_000
V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


class CpuLimit:
    """Makes the cgroup; `close` moves its processes back and removes it.

    Args:
        percent: of one CPU.

    Raises:
        OSError: no cgroup can be made here.
    """

    def __init__(self, percent: float) -> None:
        self._root = V1 if (V1 / "cgroup.procs").exists() else V2
        self._group = self._root / f"hg-test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        quota = round(PERIOD_US * percent / 100)
        if self._root is V2:
            (V2 / "cgroup.subtree_control").write_text("+cpu")
        self._group.mkdir()
        try:
            if self._root is V1:
                (self._group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (self._group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (self._group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        except OSError:
            self._group.rmdir()
            raise

    @property
    def procs(self) -> Path:
        """File that moves a process that writes its id to it."""
        return self._group / "cgroup.procs"

    def take(self, pids: Iterable[int]) -> None:
        """Moves processes into it."""
        for pid in pids:
            self.procs.write_text(str(pid))

    def close(self) -> None:
        """Moves what is left back and removes the cgroup."""
        for pid in self.procs.read_text().split():
            try:
                (self._root / "cgroup.procs").write_text(pid)
            except OSError:
                pass  # it has ended
        self._group.rmdir()
