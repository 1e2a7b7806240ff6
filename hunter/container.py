"""The container that is looked at: which processes are in it, and where its memory is accounted.

Hunter may run in that container, or beside it in another one that shares the PID namespace (a
sidecar, an ephemeral container). Then the target's cgroup is not mounted here, but its processes
show it: /proc/PID/root leads to what they have mounted at /sys/fs/cgroup.
"""

from __future__ import annotations

from typing import Dict, Optional

from hunter.memory import cgroup, procfs
from hunter.memory.cgroup import Mount
from hunter.memory.procfs import ContainerMemory

SPEC = "the pod's spec"


class Container:
    """Membership in one container, and its memory.

    Args:
        container_id: the runtime's id, part of the name of its cgroup; empty for no container:
            then every process is in it.
        outside: hunter runs in another container.
        spec_limit: memory limit of the pod's spec in bytes, for when the cgroup cannot be read.
        mount: the memory hierarchy hunter sees, None when there is none.
    """

    def __init__(
        self,
        container_id: str = "",
        outside: bool = False,
        spec_limit: Optional[int] = None,
        mount: Optional[Mount] = None,
    ) -> None:
        self._id = container_id
        self._outside = outside
        self._spec_limit = spec_limit
        self._mount = mount
        self._own = self._path(procfs.read_text("/proc/self/cgroup")) if container_id else ""
        self._member = 0
        self._known: Dict[str, bool] = {}
        self._path_of_init = ""
        if container_id and outside and not self._id_is_seen():
            # The runtime names cgroups in a way of its own: PID 1 is the target's first process
            # unless the whole pod shares one namespace.
            path = self._path(procfs.read_text("/proc/1/cgroup"))
            self._path_of_init = path if path != self._own else ""

    def _id_is_seen(self) -> bool:
        return any(
            self._id in self._path(procfs.read_text(f"/proc/{pid}/cgroup")) for pid in procfs.pids()
        )

    def _path(self, text: str) -> str:
        paths = cgroup.parse_membership(text)
        version = self._mount.version if self._mount is not None else 2
        return paths.get(version) or paths.get(2) or paths.get(1) or ""

    def includes(self, membership: str) -> bool:
        """Tells whether a process is in the container.

        Args:
            membership: contents of its /proc/PID/cgroup.
        """
        if not self._id:
            return True
        known = self._known.get(membership)
        if known is None:
            known = self._known[membership] = self._judge(self._path(membership))
        return known

    def _judge(self, path: str) -> bool:
        if self._id in path:
            return True
        if self._outside:
            return bool(self._path_of_init) and path == self._path_of_init
        if not self._own:
            return True
        own = self._own.rstrip("/")
        return path == self._own or (
            path.startswith(own + "/") and ".." not in path[len(own) :].split("/")
        )

    def memory(self, pid: Optional[int] = None) -> ContainerMemory:
        """Returns the memory cgroup of a process in the container.

        Args:
            pid: the process; None for the container as a whole.
        """
        if not self._outside:
            return procfs.container_memory("self" if pid is None else pid, self._mount)
        if pid is None:
            pid = self._any_member()
        mount = procfs.memory_mount(pid) if pid else None
        if pid and mount is not None:
            memory = procfs.container_memory(pid, mount)
            if memory.usage is not None:
                return memory
        version = self._mount.version if self._mount is not None else 0
        source = SPEC if self._spec_limit is not None else ""
        return ContainerMemory(version, self._spec_limit, source, None, 0, None)

    def _any_member(self) -> int:
        """Returns a process of the container, the same one while it lives; 0 when there is none."""
        if self._member and self.includes(procfs.read_text(f"/proc/{self._member}/cgroup")):
            return self._member
        for pid in sorted(procfs.pids()):
            if self.includes(procfs.read_text(f"/proc/{pid}/cgroup")):
                self._member = pid
                return pid
        return 0
