"""Recognition of a hunter's or a gatherer's processes, which nobody traces, and of tracers.

All of them carry a mark (hg_shared.mark). What a container runtime or a user's shell starts for
gatherer has it only when its first line runs: a process that is small and has just begun is left
alone until it must have it.
"""

from __future__ import annotations

import os
import time
from typing import Mapping, NamedTuple

from hg_shared import mark
from hunter.memory import procfs
from hunter.memory.procfs import Stat

OURS = "it belongs to gatherer or hunter, which are never traced"
SMALL_BYTES = 32 << 20
"""What of ours has not set its mark yet is smaller: an interpreter that starts."""
YOUNG_SECONDS = 0.5
YOUNG_OUTSIDE_SECONDS = 2.0
"""The same for a process that came from outside, as by an exec of the container runtime."""
MAX_OWNER = 100


class Standing(NamedTuple):
    """The owner of a process, as far as it is known.

    Attributes:
        ours: it is a hunter's or a gatherer's.
        young: it may be, and has not set its mark yet.
    """

    ours: bool = False
    young: bool = False


def is_marked(status: Mapping[str, str]) -> bool:
    """Tells whether a process carries the mark.

    Args:
        status: fields of its /proc/PID/status.
    """
    return mark.is_marked(status.get("SigIgn", ""))


def standing(pid: int, rss: int, stat: Stat, status: Mapping[str, str]) -> Standing:
    """Returns what is known of who a process belongs to.

    Args:
        pid: its process id.
        rss: its resident bytes.
        stat: its /proc/PID/stat.
        status: fields of its /proc/PID/status.
    """
    if is_marked(status):
        return Standing(ours=True)
    if rss >= SMALL_BYTES or pid == 1:
        return Standing()
    started = stat.start_time / procfs.CLOCK_TICKS
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    if age < YOUNG_SECONDS or (age < YOUNG_OUTSIDE_SECONDS and _from_outside(pid, stat.ppid)):
        return Standing(young=True)
    # Where there is hardly any CPU an interpreter takes longer than that to its first line.
    for word in procfs.command_line(pid):
        if mark.PYTHON in word or mark.SHELL in word:
            return Standing(ours=True)
    return Standing()


def _from_outside(pid: int, parent: int) -> bool:
    """Tells whether a process has a parent in another container, or one that is not seen."""
    if not parent:
        return True
    return procfs.read_text(f"/proc/{pid}/cgroup") != procfs.read_text(f"/proc/{parent}/cgroup")


def foreign_tracer(status: Mapping[str, str]) -> int:
    """Returns the thread id of a process's tracer, 0 when it has none but this hunter.

    Args:
        status: fields of its /proc/PID/status.
    """
    tracer = status.get("TracerPid", "0")
    tid = int(tracer) if tracer.isdecimal() else 0
    if not tid or procfs.status_fields(tid).get("Tgid") == str(os.getpid()):
        return 0
    return tid


def tracer_message(tid: int) -> str:
    """Returns why a process cannot be traced that somebody else traces.

    Args:
        tid: the tracer's thread id.
    """
    return f"already traced by {describe_tracer(tid)}; it is traced here when that one lets it go"


def owner(pid: int) -> str:
    """Returns whose a hunter is, USER@HOST as its command line says; empty when it does not."""
    # Behind the program text of a bundled Python, which alone has 4 KiB.
    words = procfs.read_text(f"/proc/{pid}/cmdline").split("\0")
    for option, value in zip(words, words[1:]):
        if option == "--owner":
            return _harmless(value)
    return ""


def _harmless(text: str) -> str:
    """Returns what of a text can be shown: anybody may have made it up."""
    return "".join(c for c in text[:MAX_OWNER] if 32 < ord(c) < 127)


def describe_tracer(tid: int) -> str:
    """Returns who traces a process, as a sentence says it; read without touching the tracer.

    Args:
        tid: TracerPid of its /proc/PID/status, which is a thread.
    """
    status = procfs.status_fields(tid)
    tgid = status.get("Tgid", "")
    pid = int(tgid) if tgid.isdecimal() else tid
    stat = procfs.stat(pid)
    if not status or stat is None:
        return f"pid {pid}"
    offset = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
    started = time.gmtime(offset + stat.start_time / procfs.CLOCK_TICKS)
    uid = status.get("Uid", "?").split()[0]
    detail = f"(pid {pid}, uid {uid}, started {time.strftime('%Y-%m-%dT%H:%M:%SZ', started)})"
    if not is_marked(status):
        return f"{_harmless(stat.command) or 'a process'} {detail}"
    return f"the hunter of {owner(pid) or 'another capture'} {detail}"
