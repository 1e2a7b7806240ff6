"""One scan: the processes there are, who they are, and which of them to trace."""

from __future__ import annotations

import os
import time
from typing import Dict, List, NamedTuple, Optional, Set, Tuple, Union

from hunter.config import Config
from hunter.memory import cgroup_files, procfs
from hunter.memory.container import Container
from hunter.memory.procfs import ProcessKey
from hunter.scan import policy, recognition

MAX_LISTED = 12
"""Processes that are named where the one that was asked for does not exist."""


def _numbered(pids: List[int]) -> str:
    return f"{'process' if len(pids) == 1 else 'processes'} {', '.join(map(str, pids))}"


class MatchedProcess(NamedTuple):
    """A process that is to be traced.

    Attributes:
        key: pid and start time, which no two processes share.
        command: comm.
        rss: resident set size, bytes.
        decision: why.
        against: what percent was of.
    """

    key: ProcessKey
    command: str
    rss: int
    decision: policy.Decision
    against: policy.Denominator


class Scan(NamedTuple):
    """The findings of one scan.

    Attributes:
        matched: processes to attach now.
        held: processes that somebody traces already, and the tracer's thread id.
        excluded: processes over the threshold that must not be traced, and why.
        young: whether a process must be looked at again soon, when it is known whose it is.
        resident: resident bytes of every process by pid.
        processes: how many processes there are.
    """

    matched: List[MatchedProcess]
    held: List[Tuple[MatchedProcess, int]]
    excluded: List[Tuple[MatchedProcess, str]]
    young: bool
    resident: Dict[int, int]
    processes: int


class Scanner:
    """Looks at all processes each time it is asked.

    Args:
        config: thresholds and exclusions.
        container: whose processes are looked at.
    """

    def __init__(self, config: Config, container: Container) -> None:
        self._config = config
        self._container = container
        self._node = procfs.node_memory()
        self._before: Dict[int, int] = {}
        self._before_ns = 0
        self._backoff = policy.Backoff()
        self._young = False
        self._mine = self._own_processes()
        self._pipes = procfs.pipes_of_self()
        self._denominators: Dict[str, policy.Denominator] = {}
        # Read once for each pid: a process that is moved to another group is judged by its old
        # one until it is over that one's threshold, when everything about it is read anew.
        self._groups: Dict[Union[int, str], str] = {}
        self._known: Dict[int, int] = {}

    def _own_processes(self) -> Set[int]:
        parents: Dict[int, int] = {}
        for start in (os.getpid(), *self._config.exclude):
            pid = start
            while pid > 0 and pid not in parents:
                stat = procfs.stat(pid)
                parents[pid] = stat.ppid if stat else 0
                pid = parents[pid]
        mine = {pid for start in (os.getpid(),) for pid in policy.ancestors(start, parents)}
        # In a container, init is an ancestor of nothing that was brought in by exec.
        return mine | set(self._config.exclude)

    def leave_out(self, pid: int) -> None:
        """Leaves a process out from now on: one that hunter has made.

        Args:
            pid: its process id.
        """
        self._mine.add(pid)

    def denominator(self, pid: int | str) -> policy.Denominator:
        """Returns what percent is of for one process.

        Args:
            pid: a process id, or `self`.
        """
        key = "self" if pid == "self" else self._group(pid)
        known = self._denominators.get(key)
        if known is None:
            memory = self._container.memory(None if pid == "self" else int(pid))
            known = self._denominators[key] = policy.denominator(
                self._config.threshold.of, memory.limit, memory.source, self._node
            )
        return known

    def may_try(self, key: ProcessKey) -> bool:
        """Tells whether it is time to try a process that could not be attached once more."""
        return self._backoff.may_try(key)

    def nothing_to_trace(self) -> str:
        """Returns why none of the processes that were asked for can be traced, and the remedy.

        Empty while one of them may be.
        """
        gone: List[int] = []
        for pid in self._config.pids:
            if procfs.stat(pid) is None:
                gone.append(pid)
            elif not recognition.is_marked(procfs.status_fields(pid)):
                return ""
        ours = [pid for pid in self._config.pids if pid not in gone]
        if ours:
            return f"{_numbered(ours)}: {recognition.OURS}; name the program that is to be traced"
        return f"no {_numbered(gone)} in the container; there are {self._listed()}"

    def _listed(self) -> str:
        """Returns the processes that could be traced, those with the most memory first."""
        found: List[Tuple[int, int, str]] = []
        for pid, rss in procfs.resident_bytes().items():
            if not rss or pid in self._mine or not self._includes(pid):
                continue
            stat = procfs.stat(pid)
            if stat is not None and not recognition.is_marked(procfs.status_fields(pid)):
                found.append((-rss, pid, stat.command))
        words = [f"{pid} ({command})" for _, pid, command in sorted(found)[:MAX_LISTED]]
        if len(found) > MAX_LISTED:
            words.append(f"{len(found) - MAX_LISTED} more")
        return ", ".join(words) or "none but hunter itself"

    def failed(self, key: ProcessKey) -> None:
        """Notes that a process could not be attached: it is tried again later, ever more rarely."""
        self._backoff.failed(key)

    def scan(self, traced: Set[ProcessKey]) -> Scan:
        """Looks at all processes once.

        Args:
            traced: processes that are being traced already.
        """
        now = time.monotonic_ns()
        resident = procfs.resident_bytes()
        elapsed = (now - self._before_ns) / 1e9 if self._before_ns else 0.0
        self._denominators.clear()
        for gone in [pid for pid in self._groups if pid not in resident]:
            del self._groups[gone]
        for pid in [pid for pid in self._known if pid not in resident]:
            del self._known[pid]
        traced_pids = {pid for pid, _ in traced}
        matched: List[MatchedProcess] = []
        held: List[Tuple[MatchedProcess, int]] = []
        self._young = False
        excluded: List[Tuple[MatchedProcess, str]] = []
        seen: Set[ProcessKey] = set()
        for pid, rss in self._candidates(resident):
            if pid in traced_pids or (pid in self._mine and pid not in self._config.pids):
                continue
            process = self._evaluate(pid, rss, elapsed)
            if process is None:
                continue
            seen.add(process.key)
            tracer, reason = self._standing(process)
            if reason:
                excluded.append((process, reason))
            elif tracer:
                held.append((process, tracer))
            elif tracer is None:
                continue
            elif self._backoff.may_try(process.key):
                matched.append(process)
        self._backoff.forget(seen)
        self._before, self._before_ns = resident, now
        return Scan(matched, held, excluded, self._young, resident, len(resident))

    def _candidates(self, resident: Dict[int, int]) -> List[Tuple[int, int]]:
        """Returns the processes that may match, at the least cost for all the others."""
        config = self._config
        named = [(pid, resident[pid]) for pid in config.pids if pid in resident]
        if config.only_pids:
            return named
        if config.threshold.growth is not None:
            mine = {pid: rss for pid, rss in resident.items() if rss and self._includes(pid)}
            return list({**mine, **dict(named)}.items())
        floors: Dict[str, int] = {}
        groups = self._groups
        found = []
        for pid, rss in resident.items():
            key = groups.get(pid)
            if (key is None or key not in floors) and not self._includes(pid):
                continue
            if key is None or key not in floors:
                against = self.denominator(pid)
                key = groups[pid]
                floor = policy.threshold_bytes(config.threshold, against)
                floors[key] = 1 << 62 if floor is None else max(floor, 1)
            if rss >= floors[key]:
                found.append((pid, rss))
        return found + [item for item in named if item not in found]

    def _includes(self, pid: int) -> bool:
        """Tells whether a process is in the container; its group is read once."""
        return self._container.includes(self._group(pid))

    def _group(self, pid: int | str) -> str:
        key = self._groups.get(pid)
        if key is None:
            key = self._groups[pid] = cgroup_files.membership(pid)
        return key

    def _evaluate(self, pid: int, rss: int, elapsed: float) -> Optional[MatchedProcess]:
        config = self._config
        against = self.denominator(pid)
        decision: Optional[policy.Decision] = None
        if pid in config.pids:
            percent = round(100 * rss / against.size, 2) if against.size else None
            decision = policy.Decision("pid", None, percent, None)
        else:
            growth = None
            if config.threshold.growth is not None:
                if pid not in self._known:
                    # Needed when it grows: is it still the process of the scan before?
                    first = procfs.stat(pid)
                    if first is not None:
                        self._known[pid] = first.start_time
                elif elapsed and pid in self._before:
                    growth = (rss - self._before[pid]) / elapsed
            decision = policy.evaluate(config.threshold, against, rss, growth)
        if decision is None:
            return None
        stat = procfs.process(pid)
        if stat is None:
            return None
        if self._known.get(pid) != stat.start_time:
            # A new process, perhaps under an old pid: the group that was read may be another's.
            self._known[pid] = stat.start_time
            self._groups.pop(pid, None)
            if pid not in config.pids and not self._includes(pid):
                return None
            return self._evaluate(pid, rss, 0.0)
        return MatchedProcess((pid, stat.start_time), stat.command, rss, decision, against)

    def _standing(self, process: MatchedProcess) -> Tuple[Optional[int], str]:
        """Returns who traces a process and why it must not be traced.

        Returns:
            The tracer's thread id, 0 without one, None for a process that is to be passed over; and
            the reason, empty when it may be traced.
        """
        pid = process.key[0]
        if pid in self._mine:
            return 0, "hunter itself, a process it was started by, or one that is left out"
        stat = procfs.process(pid)
        if stat is None:
            return 0, "gone"
        status = procfs.status_fields(procfs.living_thread(pid))
        standing = recognition.standing(pid, process.rss, stat, status)
        if standing.ours:
            if pid not in self._config.pids and self._is_of_this_capture(pid, stat.ppid):
                return None, ""
            return 0, recognition.OURS
        if standing.young and pid not in self._config.pids:
            self._young = True
            return None, ""
        reason = policy.exclusion(stat.state, stat.is_kernel_thread)
        if not reason and procfs.holds_one_of(pid, self._pipes):
            # Stopped, it would not take what hunter writes of it, or not hand on what hunter reads.
            reason = "it holds an end of hunter's pipes"
        return recognition.foreign_tracer(status), reason

    def _is_of_this_capture(self, process: int, pid: int) -> bool:
        """Tells whether a process that is ours was started by this gatherer, or with this hunter.

        Args:
            process: its process id.
            pid: that of its parent.
        """
        try:
            session = os.getsid(process)
        except OSError:
            session = 0
        if session and session == os.getsid(0):
            return True  # the bootstrap, or a watchdog
        seen: Set[int] = set()
        while pid > 1 and pid not in seen:
            if pid in self._config.exclude or pid == os.getpid():
                return True
            seen.add(pid)
            stat = procfs.stat(pid)
            pid = stat.ppid if stat is not None else 0
        return False
