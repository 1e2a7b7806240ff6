"""Reads /proc; `cgroup_files` reads the files of memory cgroups.

A process is its threads: one whose first thread, the leader, has ended (pthread_exit(3) in main)
lives on, but /proc/PID then shows a zombie without memory, files or rights. What belongs to all
threads is read of one that lives, under /proc/TID, which is there for every thread.
"""

from __future__ import annotations

import errno
import heapq
import os
import resource
import stat as stat_module
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from hg_shared.open_files import FEW_FILES
from hunter.errors import FewFiles
from hunter.memory.holds import HOLDS
from hunter.memory.smaps import Mapping, parse_addresses, parse_mappings, parse_rollup

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PF_KTHREAD = 0x00200000
_MAX_FILE = 1 << 20
ProcessKey = Tuple[int, int]
"""Pid and start time of a process, which no two share."""
ENDED = "ZX"
"""State letters of what has ended."""


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that are used (proc_pid_stat(5)).

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


def refuse_few_files(error: OSError) -> None:
    """Raises what says so when an error means that no file can be opened, and not that one is gone.

    Args:
        error: of open(2) or of anything else that makes a descriptor.

    Raises:
        FewFiles: it does.
    """
    if error.errno == errno.EMFILE:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        raise FewFiles(f"{FEW_FILES} {most} files; raise its limit (ulimit -n)") from error
    if error.errno == errno.ENFILE:
        raise FewFiles("the node has no more descriptors (fs.file-max)") from error


def read_bytes(path: str) -> bytes:
    """Returns at most 1 MiB of a file.

    Raises:
        OSError: it cannot be opened or read.
        FewFiles: no file can be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        refuse_few_files(error)
        raise
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

    The one file that is read of all processes at every scan: three system calls for each. Kernel
    threads and zombies have 0; of a process whose leader has ended a living thread is asked.
    """
    resident = {}
    opened, read, close = os.open, os.read, os.close
    flags = os.O_RDONLY | os.O_CLOEXEC
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fd = opened("/proc/" + name + "/statm", flags)
        except OSError as error:
            refuse_few_files(error)
            continue
        try:
            pages = int(read(fd, 64).split(None, 2)[1])
        except (OSError, IndexError):
            continue  # it has ended
        finally:
            close(fd)
        resident[int(name)] = pages * PAGE_SIZE if pages else _resident_of_others(int(name))
    return resident


def _resident_of_others(pid: int) -> int:
    """Returns the resident bytes of a process whose leader shows none."""
    try:
        # Each thread is a directory in it, and so a link beside its own two.
        if os.stat(f"/proc/{pid}/task").st_nlink <= 3:
            return 0
    except OSError:
        return 0
    thread = living_thread(pid)
    return resident(thread) if thread != pid else 0


def resident(pid: int) -> int:
    """Returns the resident bytes of a process from statm, 0 when it is gone.

    Args:
        pid: a process or thread id.
    """
    words = read_text(f"/proc/{pid}/statm").split()
    return int(words[1]) * PAGE_SIZE if len(words) > 1 else 0


def living_thread(pid: int) -> int:
    """Returns a thread that has not ended: the leader while it lives, 0 when none is left.

    Args:
        pid: a process id.
    """
    leader = stat(pid)
    if leader is not None and leader.state not in ENDED:
        return pid
    for tid in thread_ids(pid):
        thread = stat(tid) if tid != pid else None
        if thread is not None and thread.state not in ENDED:
            return tid
    return 0


def process(pid: int) -> Optional[Stat]:
    """Returns the stat of a process, None when it is gone.

    Its state is that of a living thread where the leader has ended: Z and X say that none is left.

    Args:
        pid: a process id.
    """
    leader = stat(pid)
    if leader is None or leader.state not in ENDED:
        return leader
    thread = living_thread(pid)
    other = stat(thread) if thread else None
    return leader if other is None else leader._replace(state=other.state)


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
    """Returns the thread ids of a process, empty when it is gone.

    Raises:
        FewFiles: no directory can be opened.
    """
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError as error:
        refuse_few_files(error)
        return []


def pipes_of_self() -> FrozenSet[str]:
    """Returns the pipes among the standard streams, as links in /proc name them."""
    found = set()
    for fd in (0, 1, 2):
        try:
            if stat_module.S_ISFIFO(os.fstat(fd).st_mode):
                found.add(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass  # closed
    return frozenset(found)


def holds_one_of(pid: int, files: FrozenSet[str]) -> bool:
    """Tells whether a process has one of some files open; not, where its links cannot be read.

    Args:
        pid: its process id.
        files: as links in /proc name them.
    """
    if not files:
        return False
    directory = f"/proc/{living_thread(pid)}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return False
    for name in names:
        try:
            if os.readlink(f"{directory}/{name}") in files:
                return True
        except OSError:
            continue
    return False


def command_line(pid: int) -> List[str]:
    """Returns the arguments of a process, at most 4 KiB of them."""
    thread = living_thread(pid) or pid
    try:
        with HOLDS.reading(pid):
            data = read_bytes(f"/proc/{thread}/cmdline")[:4096]
    except OSError:
        return []
    return [word.decode("utf-8", "backslashreplace") for word in data.rstrip(b"\0").split(b"\0")]


def rollup(pid: int) -> Dict[str, int]:
    """Returns the byte totals of smaps_rollup, empty when they cannot be read.

    The kernel walks every page table for it, with the process's mmap_lock held: 20 ms per GiB. The
    time is booked with `HOLDS`, which must have allowed it.

    Args:
        pid: a process id; hunter's own costs nobody else.
    """
    thread = living_thread(pid)
    try:
        with HOLDS.reading(pid, resident(thread)):
            return parse_rollup(read_bytes(f"/proc/{thread}/smaps_rollup"))
    except OSError:
        return {}


def counted_memory(pid: int) -> Dict[str, int]:
    """Returns rss_bytes, anon_bytes and swap_bytes as the kernel counts them anyway.

    From /proc/PID/status, which takes no lock of the process. What the kernel does not tell (before
    Linux 4.5 there is no RssAnon) is missing.

    Args:
        pid: a process id.
    """
    fields = status_fields(living_thread(pid))
    found = {}
    for name, key in (("VmRSS", "rss_bytes"), ("RssAnon", "anon_bytes"), ("VmSwap", "swap_bytes")):
        words = fields.get(name, "").split()
        if len(words) == 2 and words[0].isdigit():
            found[key] = int(words[0]) * 1024
    return found


def largest_mappings(pid: int, count: int, walk: bool) -> List[Mapping]:
    """Returns the mappings of a process with the most bytes, the largest first.

    Args:
        pid: a process id.
        count: how many at most; none when they cannot be read.
        walk: read what is resident of them, as dear as `rollup`; else they have sizes alone.
    """
    thread = living_thread(pid)
    name, parse, key = (
        ("smaps", parse_mappings, "rss_bytes") if walk else ("maps", parse_addresses, "size_bytes")
    )
    try:
        with HOLDS.reading(pid, resident(thread) if walk else 0):
            with open(f"/proc/{thread}/{name}", "rb") as file:
                return heapq.nlargest(count, parse(file), lambda found: int(found[key] or 0))
    except OSError:
        return []


def node_memory() -> int:
    """Returns MemTotal of /proc/meminfo in bytes, 0 when it cannot be read."""
    for line in read_text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
