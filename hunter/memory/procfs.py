"""Reads /proc and cgroup files; every other module gets values from here."""

from __future__ import annotations

import heapq
import os
from typing import Dict, List, NamedTuple, Optional, Union

from hunter.memory import cgroup
from hunter.memory.smaps import parse_mappings, parse_rollup

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PF_KTHREAD = 0x00200000
_MAX_FILE = 1 << 20


class Stat(NamedTuple):
    """What is used of /proc/PID/stat (proc_pid_stat(5)).

    Attributes:
        command: comm, at most 15 bytes, undecodable ones escaped.
        state: R, S, D, T, t, Z, X.
        ppid: parent pid, 0 when it is outside of the PID namespace.
        start_time: clock ticks since boot.
        is_kernel_thread: PF_KTHREAD is set.
    """

    command: str
    state: str
    ppid: int
    start_time: int
    is_kernel_thread: bool


class ContainerMemory(NamedTuple):
    """State of one memory cgroup.

    Attributes:
        version: cgroup version, 0 when no hierarchy was found.
        limit: lowest limit that applies, bytes; None when unlimited.
        source: file the limit was read from, or the innermost one when unlimited.
        usage: usage of the innermost group, bytes; None when unreadable.
        inactive_file: page cache that can be dropped at once, bytes.
        oom_kills: OOM kills in it so far, None when not told.
    """

    version: int
    limit: Optional[int]
    source: str
    usage: Optional[int]
    inactive_file: int
    oom_kills: Optional[int]


def read_bytes(path: str) -> bytes:
    """Returns at most 1 MiB of a file.

    Raises:
        OSError: it cannot be opened or read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        size = 0
        while size < _MAX_FILE:
            chunk = os.read(fd, 65536)
            if not chunk:
                break
            chunks.append(chunk)
            size += len(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def read_text(path: str) -> str:
    """Returns a file's text, empty when it cannot be read; undecodable bytes are escaped."""
    try:
        return read_bytes(path).decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def pids() -> List[int]:
    """Returns all process ids, in no order."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def resident_bytes() -> Dict[int, int]:
    """Returns the resident set size in bytes of every process, read from statm.

    The one file that is read of all processes at every scan: three system calls for each.
    """
    resident = {}
    opened, read, close = os.open, os.read, os.close
    flags = os.O_RDONLY | os.O_CLOEXEC
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fd = opened("/proc/" + name + "/statm", flags)
        except OSError:
            continue
        try:
            resident[int(name)] = int(read(fd, 64).split(None, 2)[1]) * PAGE_SIZE
        except (OSError, IndexError):
            pass  # it has ended
        finally:
            close(fd)
    return resident


def stat(pid: int) -> Optional[Stat]:
    """Returns the process's stat, None when it is gone.

    The command may hold spaces and parentheses: fields are counted from its last `)`.

    Args:
        pid: a process or thread id.
    """
    try:
        data = read_bytes(f"/proc/{pid}/stat")
    except OSError:
        return None
    opening, closing = data.find(b"("), data.rfind(b")")
    fields = data[closing + 1 :].split()
    if opening < 0 or closing < opening or len(fields) < 20:
        return None
    return Stat(
        data[opening + 1 : closing].decode("utf-8", "backslashreplace"),
        fields[0].decode("ascii", "replace"),
        int(fields[1]),
        int(fields[19]),
        bool(int(fields[6]) & _PF_KTHREAD),
    )


def status_fields(pid: int | str) -> Dict[str, str]:
    """Returns the `Name: value` lines of /proc/PID/status, empty when the process is gone.

    Args:
        pid: a process or thread id, or `self`.
    """
    fields = {}
    for line in read_text(f"/proc/{pid}/status").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields[name] = value.strip()
    return fields


def thread_ids(pid: int) -> List[int]:
    """Returns the thread ids of a process, empty when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def command_line(pid: int) -> List[str]:
    """Returns the arguments of a process, at most 4 KiB of them."""
    try:
        data = read_bytes(f"/proc/{pid}/cmdline")[:4096]
    except OSError:
        return []
    return [word.decode("utf-8", "backslashreplace") for word in data.rstrip(b"\0").split(b"\0")]


def rollup(pid: int | str) -> Dict[str, int]:
    """Returns the byte totals of smaps_rollup, empty when they cannot be read.

    The kernel walks every page table for it: milliseconds per GiB. Not for every process.

    Args:
        pid: a process id, or `self`.
    """
    try:
        return parse_rollup(read_bytes(f"/proc/{pid}/smaps_rollup"))
    except OSError:
        return {}


def largest_mappings(pid: int, count: int) -> List[Dict[str, Union[int, str]]]:
    """Returns the mappings of a process with the most resident bytes, the largest first.

    Args:
        pid: a process id.
        count: how many at most; none when they cannot be read.
    """
    try:
        with open(f"/proc/{pid}/smaps", "rb") as file:
            return heapq.nlargest(count, parse_mappings(file), lambda found: found["rss_bytes"])
    except OSError:
        return []


def node_memory() -> int:
    """Returns MemTotal of /proc/meminfo in bytes, 0 when it cannot be read."""
    for line in read_text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def memory_mount(pid: Optional[int] = None) -> Optional[cgroup.Mount]:
    """Returns the hierarchy that accounts memory, None when none is mounted.

    Args:
        pid: a process in another mount namespace, whose mounts are meant, under the path that
            leads to them; None for what hunter itself sees.
    """
    prefix = "" if pid is None else f"/proc/{pid}/root"
    text = read_text("/proc/self/mountinfo" if pid is None else f"/proc/{pid}/mountinfo")
    for found in cgroup.parse_mounts(text):
        mount = found._replace(point=prefix + found.point)
        if mount.version == 1:
            return mount
        controllers = read_text(f"{mount.point}/cgroup.controllers").split()
        if "memory" in controllers:
            return mount
    return None


def container_memory(pid: int | str, mount: Optional[cgroup.Mount]) -> ContainerMemory:
    """Returns the memory cgroup of a process.

    Args:
        pid: a process id, or `self`.
        mount: the hierarchy, as `memory_mount` gave it.
    """
    if mount is None:
        return ContainerMemory(0, None, "", None, 0, None)
    files = cgroup.FILES[mount.version]
    path = cgroup.parse_membership(read_text(f"/proc/{pid}/cgroup")).get(mount.version, "/")
    found = cgroup.directories(mount, path)
    # A path of the host's namespace that is not mounted here: the mount's root is ours.
    directories = [each for each in found if os.path.isdir(each)] or [mount.point]
    inner = directories[0]
    limit: Optional[int] = None
    source = f"{inner}/{files.limit}"
    for directory in directories:
        value = cgroup.parse_limit(read_text(f"{directory}/{files.limit}"))
        if value is not None and (limit is None or value < limit):
            limit, source = value, f"{directory}/{files.limit}"
    usage = cgroup.parse_limit(read_text(f"{inner}/{files.usage}"))
    stat_counters = cgroup.parse_counters(read_text(f"{inner}/{files.stat}"))
    oom = cgroup.parse_counters(read_text(f"{inner}/{files.oom}"))
    return ContainerMemory(
        mount.version,
        limit,
        source,
        usage,
        stat_counters.get(files.inactive_file, 0),
        oom.get("oom_kill"),
    )
