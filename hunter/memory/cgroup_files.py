"""Reads the files of memory cgroups: limits, usage, OOM kills, membership."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional

from hunter.memory import cgroup, procfs


class ContainerMemory(NamedTuple):
    """State of one memory cgroup.

    Attributes:
        version: cgroup version, 0 when no hierarchy was found.
        limit: lowest limit that applies, bytes; None when unlimited.
        source: file the limit was read from, and that it is a parent's where it is; the innermost
            one when unlimited.
        usage: usage of the innermost group, bytes; None when unreadable.
        inactive_file: page cache of it that can be dropped at once, bytes.
        oom_kills: OOM kills in it so far, None when not told.
        directory: of the innermost group, empty when none was found.
        kinds: bytes by what they are used for, by the names of memory.jsonl.
        limited_usage: what counts against the limit: usage of the group that has it, less page
            cache that can be dropped at once; None when unreadable.
    """

    version: int
    limit: Optional[int]
    source: str
    usage: Optional[int]
    inactive_file: int
    oom_kills: Optional[int]
    directory: str = ""
    kinds: Dict[str, Optional[int]] = {}  # noqa: RUF012 - a default nobody writes to
    limited_usage: Optional[int] = None


def memory_mount(pid: Optional[int] = None) -> Optional[cgroup.Mount]:
    """Returns the hierarchy that accounts memory, None when none is mounted.

    Args:
        pid: a process in another mount namespace, whose mounts are meant, under the path that
            leads to them; None for what hunter itself sees.
    """
    thread = "self" if pid is None else procfs.living_thread(pid) or pid
    prefix = "" if pid is None else f"/proc/{thread}/root"
    text = procfs.read_text(f"/proc/{thread}/mountinfo")
    for found in cgroup.parse_mounts(text):
        mount = found._replace(point=prefix + found.point)
        if mount.version == 1:
            return mount
        controllers = procfs.read_text(f"{mount.point}/cgroup.controllers").split()
        if "memory" in controllers:
            return mount
    return None


def membership(pid: int | str) -> str:
    """Returns the contents of /proc/PID/cgroup, empty when it cannot be read.

    Args:
        pid: a process id, or `self`. The dead leader of a living process is in the root of each
            version 1 hierarchy; another thread tells.
    """
    if isinstance(pid, int):
        pid = procfs.living_thread(pid) or pid
    return procfs.read_text(f"/proc/{pid}/cgroup")


def group_directories(text: str, mount: cgroup.Mount) -> List[str]:
    """Returns the directories whose limits apply to a process, the innermost first.

    Args:
        text: contents of its /proc/PID/cgroup.
        mount: the hierarchy, as `memory_mount` gave it.
    """
    path = cgroup.parse_membership(text).get(mount.version, "/")
    found = cgroup.directories(mount, path)
    # A path of the host's namespace that is not mounted here: the mount's root is ours.
    return [each for each in found if os.path.isdir(each)] or [mount.point]


def container_memory(pid: int | str, mount: Optional[cgroup.Mount]) -> ContainerMemory:
    """Returns the memory cgroup of a process.

    Args:
        pid: a process id, or `self`.
        mount: the hierarchy, as `memory_mount` gave it.
    """
    if mount is None:
        return ContainerMemory(0, None, "", None, 0, None)
    return group_memory(group_directories(membership(pid), mount), mount.version)


def group_memory(directories: List[str], version: int) -> ContainerMemory:
    """Returns the state of a memory cgroup.

    Args:
        directories: as `group_directories` gave them.
        version: of the hierarchy.
    """
    files = cgroup.FILES[version]
    inner = directories[0]
    counters = cgroup.parse_counters(procfs.read_text(f"{inner}/{files.stat}"))
    limit: Optional[int] = None
    limited = inner
    source = f"{inner}/{files.limit}"
    for directory in directories:
        value = cgroup.parse_limit(procfs.read_text(f"{directory}/{files.limit}"))
        if value is not None and (limit is None or value < limit):
            limit, limited, source = value, directory, f"{directory}/{files.limit}"
    if limited != inner:
        source += " of a parent cgroup"
    above = cgroup.parse_limit(str(counters.get(cgroup.HIERARCHICAL, "")))
    if above is not None and (limit is None or above < limit):
        limit, limited = above, ""
        source = f"{inner}/{files.stat} {cgroup.HIERARCHICAL} of a parent cgroup not visible here"
    usage = cgroup.parse_limit(procfs.read_text(f"{inner}/{files.usage}"))
    inactive = counters.get(files.inactive_file, 0)
    against = None if usage is None else usage - inactive
    if limited not in ("", inner):
        # The siblings in the parent count as well.
        whole = cgroup.parse_limit(procfs.read_text(f"{limited}/{files.usage}"))
        if whole is not None:
            stat_text = procfs.read_text(f"{limited}/{files.stat}")
            against = whole - cgroup.parse_counters(stat_text).get(files.inactive_file, 0)
    kinds = {kind: counters.get(name) for kind, name in cgroup.KINDS[version].items()}
    for kind, name in cgroup.KIND_FILES[version].items():
        kinds[kind] = cgroup.parse_limit(procfs.read_text(f"{inner}/{name}"))
    kinds = {kind: size for kind, size in kinds.items() if size is not None}
    return ContainerMemory(
        version, limit, source, usage, inactive, oom_kills(inner, version), inner, kinds, against
    )


def group_usage(directory: str, version: int) -> Optional[int]:
    """Returns the usage of a memory cgroup in bytes, None when it is not told.

    Args:
        directory: of the group.
        version: of the hierarchy, 0 for none.
    """
    if not version or not directory:
        return None
    return cgroup.parse_limit(procfs.read_text(f"{directory}/{cgroup.FILES[version].usage}"))


def oom_kills(directory: str, version: int) -> Optional[int]:
    """Returns how many processes of a memory cgroup the kernel has killed for want of memory.

    With version 2 those in the groups below it count, with version 1 they do not.

    Args:
        directory: of the group.
        version: of the hierarchy.

    Returns:
        None when it is not told, or the group is gone.
    """
    text = procfs.read_text(f"{directory}/{cgroup.FILES[version].oom}")
    return cgroup.parse_counters(text).get("oom_kill")
