"""Processes that hunter is to look at and cannot see, which is said and not passed over.

/proc may be mounted with hidepid (proc(5)), so that other users' processes are hidden or cannot be
read; and a container's cgroup may hold processes of a PID namespace that is not below hunter's.
What is in the cgroup is in its cgroup.procs, whoever may see it.
"""

from __future__ import annotations

import os
import re
from typing import AbstractSet, Dict, List, Optional, Set, Tuple

from hg_shared.messages import Event
from hunter.memory import procfs

_NAMES = {"1": "noaccess", "2": "invisible", "4": "ptraceable"}
_OPTION = re.compile(r"(?:^|,)hidepid=(\w+)")
_GROUP = re.compile(r"(?:^|,)gid=(\d+)")
ANOTHER_NAMESPACE = "they are in a PID namespace that is not visible from hunter's"


def hidepid(mountinfo: str) -> Tuple[str, Optional[int]]:
    """Returns how /proc hides other users' processes, and the group that sees them. Pure.

    Args:
        mountinfo: contents of /proc/self/mountinfo.

    Returns:
        `noaccess`, `invisible` or `ptraceable`, empty for not at all; the group None for none.
    """
    found: Tuple[str, Optional[int]] = ("", None)
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not separator or len(fields) < 5 or len(kind) < 3 or kind[0] != "proc":
            continue
        if fields[4] == "/proc":
            # The last mount covers those before it.
            option, group = _OPTION.search(kind[2]), _GROUP.search(kind[2])
            value = option[1] if option else ""
            name = _NAMES.get(value, "" if value in ("0", "off") else value)
            found = (name, int(group[1]) if group else None)
    return found


class Hidden:
    """Looks for what cannot be seen, at each scan.

    Args:
        capabilities: hunter's, without `CAP_`.
    """

    def __init__(self, capabilities: List[str]) -> None:
        how, group = hidepid(procfs.read_text("/proc/self/mountinfo"))
        exempt = "SYS_PTRACE" in capabilities or group in (os.getegid(), *os.getgroups())
        self._hidepid = "" if exempt and how != "ptraceable" else how
        self._before: Set[int] = set()
        self._elsewhere = 0
        self._told: Optional[Tuple[str, Optional[int]]] = None

    def inspect(self, resident: Dict[int, int], directory: str, now_ns: int) -> Optional[Event]:
        """Returns an event when what is hidden has changed, None when it has not.

        Args:
            resident: the processes that the scan saw.
            directory: of the container's cgroup, empty when there is none.
            now_ns: CLOCK_MONOTONIC of the scan.
        """
        count = self._count(resident.keys(), directory)
        if self._hidepid:
            cause = (
                f"/proc is mounted with hidepid={self._hidepid}: other users' processes are hidden"
            )
            remedy = "give hunter SYS_PTRACE, or take --inject ephemeral with a profile that has it"
        elif count:
            cause, remedy = ANOTHER_NAMESPACE, "capture the container that they belong to"
        else:
            return None
        number = count or None
        if self._told == (cause, number):
            return None
        self._told = cause, number
        return Event(
            now_ns, "hidden", None, {"processes": number, "cause": cause, "remedy": remedy}
        )

    def _count(self, seen: AbstractSet[int], directory: str) -> int:
        """Returns how many processes of the container's cgroup the scan did not see.

        One that was not seen twice, and so has neither just begun nor just ended.
        """
        if not directory:
            return 0
        pids = [
            int(word)
            for word in procfs.read_text(f"{directory}/cgroup.procs").split()
            if word.isdigit()
        ]
        missed = {pid for pid in pids if pid and pid not in seen}
        both, self._before = missed & self._before, missed
        # Version 2 lists processes that have no number here as 0.
        zeros = pids.count(0)
        elsewhere, self._elsewhere = min(zeros, self._elsewhere), zeros
        return len(both) + elsewhere
