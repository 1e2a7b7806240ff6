"""Memory cgroups, version 1 and 2: where their files are, and what they say. Pure.

cgroups(7), cgroup-v1/memory.rst and cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import posixpath
from typing import Dict, List, NamedTuple, Optional

# Without a limit v1 shows the largest page-aligned long; nothing real comes near this.
UNLIMITED = 1 << 60
HIERARCHICAL = "hierarchical_memory_limit"
"""In memory.stat of version 1: the lowest limit of a group and all groups above it."""


class Mount(NamedTuple):
    """The mount of a hierarchy that accounts memory.

    Attributes:
        version: 1 or 2.
        root: the cgroup that is visible at the mount point.
        point: the mount point.
    """

    version: int
    root: str
    point: str


class Files(NamedTuple):
    """Names of the files of one cgroup version."""

    limit: str
    usage: str
    stat: str
    inactive_file: str
    oom: str


FILES = {
    1: Files(
        "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat",
        "total_inactive_file", "memory.oom_control",
    ),
    2: Files("memory.max", "memory.current", "memory.stat", "inactive_file", "memory.events"),
}  # fmt: skip

# What a group's memory is, by the counter of memory.stat that tells it.
KINDS = {
    1: {
        "anonymous_bytes": "total_rss",
        "file_active_bytes": "total_active_file",
        "file_inactive_bytes": "total_inactive_file",
        "shmem_bytes": "total_shmem",
        "swap_bytes": "total_swap",
    },
    2: {
        "anonymous_bytes": "anon",
        "file_active_bytes": "active_file",
        "file_inactive_bytes": "inactive_file",
        "shmem_bytes": "shmem",
        "slab_bytes": "slab",
        "sockets_bytes": "sock",
        "kernel_stacks_bytes": "kernel_stack",
        "page_tables_bytes": "pagetables",
        "kernel_bytes": "kernel",
    },
}
# What has a file of its own instead.
KIND_FILES = {
    1: {"kernel_bytes": "memory.kmem.usage_in_bytes"},
    2: {"swap_bytes": "memory.swap.current"},
}


def parse_mounts(mountinfo: str, controller: str = "memory") -> List[Mount]:
    """Returns the hierarchies of a controller in /proc/PID/mountinfo, version 1 first.

    A hybrid system also mounts an empty v2 hierarchy; it has no memory files, so v1 is preferred.

    Args:
        mountinfo: the file's contents.
        controller: of version 1; version 2 has one hierarchy for all.
    """
    mounts = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup" and controller in kind[2].split(","):
            mounts.append(Mount(1, fields[3], fields[4]))
        elif kind[0] == "cgroup2":
            mounts.append(Mount(2, fields[3], fields[4]))
    return sorted(mounts)


def parse_membership(text: str, controller: str = "memory") -> Dict[int, str]:
    """Returns the cgroup paths of /proc/PID/cgroup for a controller by version.

    Args:
        text: the file's contents.
        controller: of version 1.
    """
    paths = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[2] = path
        elif controller in controllers.split(","):
            paths[1] = path
    return paths


def directories(mount: Mount, path: str) -> List[str]:
    """Returns the directories whose limits apply to a cgroup, the innermost first.

    Args:
        mount: the hierarchy.
        path: the process's path in it. Where it lies outside of what is mounted (a container
            without a cgroup namespace, or a process of another container), the mount's own
            root is the closest that can be read.
    """
    root = mount.root.rstrip("/")
    if path == mount.root or (root and path.startswith(root + "/")):
        path = path[len(root) :]
    elif root:
        path = "/"
    if ".." in path.split("/"):
        path = "/"
    found = []
    # normpath keeps two leading slashes (POSIX), of which dirname never finds the end.
    current = posixpath.normpath("/" + path.lstrip("/"))
    while True:
        found.append(posixpath.join(mount.point, current.lstrip("/")).rstrip("/"))
        if current == "/":
            return found
        current = posixpath.dirname(current)


def parse_limit(text: str) -> Optional[int]:
    """Returns a limit in bytes, None for no limit or an unreadable text.

    Args:
        text: contents of memory.max or memory.limit_in_bytes.
    """
    word = text.strip()
    if not word.isdigit() or int(word) >= UNLIMITED:
        return None
    return int(word)


def parse_counters(text: str) -> Dict[str, int]:
    """Returns the `name value` lines of memory.stat, memory.events or memory.oom_control."""
    counters = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            counters[words[0]] = int(words[1])
    return counters
