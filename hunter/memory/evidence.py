"""Evidence from /proc of a process that may not be traced: memory over time, mappings, its end.

The mappings are read when the process is chosen and then only after it has grown by a fifth and at
least 16 MiB, and what is resident of them (smaps) as far as `HOLDS` allows. Those of a process that
is too large for that have sizes alone (maps).
"""

from __future__ import annotations

from typing import Dict, List, Set, Union

from hg_shared.messages import Event, Sample
from hunter.memory import procfs
from hunter.memory.holds import HOLDS, MAX_HOLD_NS
from hunter.memory.procfs import ProcessKey
from hunter.memory.sampler import Sampler

GROWTH_BYTES = 16 << 20
GROWTH_SHARE = 1.2
MAX_MAPPINGS = 10


class Evidence:
    """Watches processes without touching them.

    Args:
        sampler: takes the samples.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._mapped_at: Dict[ProcessKey, int] = {}
        self._sized: Set[ProcessKey] = set()

    def begin(self, key: ProcessKey) -> None:
        """Watches a process from now on."""
        self._mapped_at.setdefault(key, 0)

    def watched(self) -> List[ProcessKey]:
        """Returns the processes that are watched now."""
        return list(self._mapped_at)

    def end(self, key: ProcessKey) -> None:
        """Leaves a process to a tracer, which tells more."""
        self._mapped_at.pop(key, None)
        self._sized.discard(key)

    def inspect(self, resident: Dict[int, int], time_ns: int) -> List[Union[Sample, Event]]:
        """Returns what is to be told of the watched processes now.

        Args:
            resident: resident bytes of every process, as the scan read them.
            time_ns: CLOCK_MONOTONIC of the scan.
        """
        told: List[Union[Sample, Event]] = []
        for key, mapped_at in list(self._mapped_at.items()):
            pid, start_time = key
            stat = procfs.process(pid)
            if stat is None or stat.start_time != start_time or stat.state in procfs.ENDED:
                self.end(key)
                # Which signal it was nobody tells; that the kernel killed there its cgroup does.
                oom = self._sampler.was_killed(pid, time_ns)
                self._sampler.forget(pid)
                told.append(Event(time_ns, "exit", pid, {"oom": True} if oom else {}))
                continue
            rss = resident.get(pid, 0)
            told.append(self._sampler.process(pid, rss, time_ns))
            if not mapped_at or rss > max(mapped_at * GROWTH_SHARE, mapped_at + GROWTH_BYTES):
                told += self._map(key, rss, time_ns)
        return told

    def _map(self, key: ProcessKey, rss: int, time_ns: int) -> List[Event]:
        """Returns the event that tells the mappings.

        Those of a process at first sight have sizes alone until what is resident of them may be
        read; later ones wait for that.
        """
        pid = key[0]
        walk = HOLDS.allows(pid, rss, time_ns)
        may_later = not walk and HOLDS.expected_ns(pid, rss) <= MAX_HOLD_NS
        if may_later and key in self._sized:
            return []
        if may_later:
            self._sized.add(key)
        else:
            self._mapped_at[key] = max(rss, 1)
        mappings = procfs.largest_mappings(pid, MAX_MAPPINGS, walk)
        return [Event(time_ns, "smaps", pid, {"mappings": mappings})] if mappings else []
