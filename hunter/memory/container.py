"""The container that is looked at: which processes are in it, and where its memory is accounted.

Hunter may run in that container, or beside it in another one that shares the PID namespace (a
sidecar, an ephemeral container). Then the target's cgroup is not mounted here, but its processes
show it: /proc/PID/root leads to what they have mounted at /sys/fs/cgroup.

On a machine (no container id) processes are in cgroups of their own, which are not hunter's: the
container is the group of the first one that is watched.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

from hunter.memory import cgroup, cgroup_files, procfs
from hunter.memory.cgroup import Mount
from hunter.memory.cgroup_files import ContainerMemory

SPEC = "the pod's spec"
POD_SPEC = "the pod's spec, limit of the whole pod"
# The kernel counts a victim before it dies; who looks sees both within this time.
KILL_WINDOW_NS = 1_000_000_000


class Group(NamedTuple):
    """A memory cgroup, remembered beyond the end of its processes.

    Attributes:
        directories: its own and those above it, the innermost first.
        version: of the hierarchy.
    """

    directories: Tuple[str, ...]
    version: int


class _Kills:
    """OOM kills in one group: how many, by directory, and when there was another one."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._counts = [cgroup_files.oom_kills(each, group.version) for each in group.directories]
        self.last_ns = -KILL_WINDOW_NS

    def update(self, now_ns: int) -> int:
        """Returns how many there were since the last look."""
        found = 0
        told = False
        for at, directory in enumerate(self._group.directories):
            before, count = self._counts[at], cgroup_files.oom_kills(directory, self._group.version)
            if count is not None:
                self._counts[at] = count
            if count is None or told:
                continue
            # The group itself tells; where it is gone already, the nearest one above that counts
            # what is below it.
            told = at == 0 or self._group.version > 1
            found = max(0, count - before) if before is not None and told else 0
        if found:
            self.last_ns = now_ns
        return found


class Container:
    """Membership in one container, and its memory.

    Args:
        container_id: the runtime's id, part of the name of its cgroup; empty for no container:
            then every process is in it.
        outside: hunter runs in another container.
        spec_limit: memory limit of the pod's spec in bytes, for when the cgroup cannot be read.
        mount: the memory hierarchy hunter sees, None when there is none.
        pod_limit: memory limit of the whole pod by its spec in bytes: the cgroup that has it may
            not be visible here.
    """

    def __init__(
        self,
        container_id: str = "",
        outside: bool = False,
        spec_limit: Optional[int] = None,
        mount: Optional[Mount] = None,
        pod_limit: Optional[int] = None,
    ) -> None:
        self._id = container_id
        self._pod_limit = pod_limit
        self._groups: Dict[int, Group] = {}
        self._kills: Dict[Group, _Kills] = {}
        self._first: Optional[Group] = None
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
        return any(self._id in self._path(cgroup_files.membership(pid)) for pid in procfs.pids())

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
            known = self._known[membership] = self._evaluate(self._path(membership))
        return known

    def _evaluate(self, path: str) -> bool:
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

    def watch(self, pid: int, parent: int = 0) -> None:
        """Remembers the group of a process, for when it has ended.

        Args:
            pid: the process.
            parent: the process that has just started it, and given it its own group.
        """
        if self._outside or self._mount is None:
            return
        if parent in self._groups:
            self._groups[pid] = self._groups[parent]
            return
        text = cgroup_files.membership(pid)
        if not text:
            return
        directories = cgroup_files.group_directories(text, self._mount)
        group = self._groups[pid] = Group(tuple(directories), self._mount.version)
        if group not in self._kills:
            self._kills[group] = _Kills(group)
        self._first = self._first or group

    def forget(self, pid: int) -> None:
        """Drops what is remembered of a process."""
        self._groups.pop(pid, None)

    def kills_elsewhere(self, own: str, now_ns: int) -> List[Tuple[str, int]]:
        """Returns groups in which the kernel has killed since the last time, and how often.

        Those of watched processes which `memory` says nothing of.

        Args:
            own: directory of the container's own, as `memory` gave it.
            now_ns: CLOCK_MONOTONIC.
        """
        found = []
        for group, kills in self._kills.items():
            count = kills.update(now_ns)
            if count and group.directories[0] != own:
                found.append((group.directories[0], count))
        return found

    def was_killed(self, pid: int, when_ns: int) -> bool:
        """Tells whether the kernel has killed for want of memory in the group of a process.

        Args:
            pid: the process, which was watched.
            when_ns: about when, CLOCK_MONOTONIC.
        """
        group = self._groups.get(pid)
        if group is None:
            return False
        kills = self._kills[group]
        kills.update(when_ns)
        return abs(when_ns - kills.last_ns) < KILL_WINDOW_NS

    @property
    def holds_hunter(self) -> bool:
        """Whether hunter's own memory counts in what `memory` says."""
        if self._outside:
            return False
        if self._id or self._first is None or self._mount is None:
            return True
        own = cgroup_files.group_directories(cgroup_files.membership("self"), self._mount)
        return self._first.directories[0] in own

    def memory(self, pid: Optional[int] = None) -> ContainerMemory:
        """Returns the memory cgroup of a process in the container.

        Args:
            pid: the process; None for the container as a whole.
        """
        memory = self._read(pid)
        pod = self._pod_limit
        if pod is not None and (memory.limit is None or pod < memory.limit):
            # What the other containers use of it is not visible here.
            return memory._replace(limit=pod, source=POD_SPEC)
        return memory

    def _read(self, pid: Optional[int]) -> ContainerMemory:
        if not self._outside:
            if pid is None and not self._id and self._first is not None:
                return cgroup_files.group_memory(list(self._first.directories), self._first.version)
            return cgroup_files.container_memory("self" if pid is None else pid, self._mount)
        if pid is None:
            pid = self._any_member()
        mount = cgroup_files.memory_mount(pid) if pid else None
        if pid and mount is not None:
            memory = cgroup_files.container_memory(pid, mount)
            if memory.usage is not None:
                return memory
        version = self._mount.version if self._mount is not None else 0
        source = SPEC if self._spec_limit is not None else ""
        return ContainerMemory(version, self._spec_limit, source, None, 0, None)

    def _any_member(self) -> int:
        """Returns a process of the container, the same one while it lives; 0 when there is none."""
        if self._member and self.includes(cgroup_files.membership(self._member)):
            return self._member
        for pid in sorted(procfs.pids()):
            if self.includes(cgroup_files.membership(pid)):
                self._member = pid
                return pid
        return 0
