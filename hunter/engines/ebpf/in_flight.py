"""Notes of calls in flight: which were made, and those that are due."""

from __future__ import annotations

from typing import Callable, Dict, FrozenSet, List, Optional, Set, Tuple

from hg_shared.records import BIG_NUMBER
from hunter.engines.ebpf.open_calls import OpenCall, OpenCalls, in_flight, parse_syscall
from hunter.engines.ebpf.outgoing import Outgoing
from hunter.engines.ebpf.process import Process
from hunter.memory import procfs


class InFlight:
    """Notes each open call once.

    Args:
        calls: the open calls that programs have seen.
        outgoing: where the records go.
        abi: the native one.
        wanted: numbers of the calls to record, None for all.
        limit: string size, bytes.
        crowded: tells whether there are threads of which programs know nothing.
    """

    def __init__(
        self,
        calls: OpenCalls,
        outgoing: Outgoing,
        abi: int,
        wanted: Optional[FrozenSet[int]],
        limit: int,
        crowded: Callable[[], bool],
    ) -> None:
        self._calls = calls
        self._outgoing = outgoing
        self._abi = abi
        self._wanted = wanted
        self._limit = limit
        self._crowded = crowded
        self._announced: Dict[int, int] = {}

    def has_announced(self, tid: int, start: int) -> bool:
        """Tells whether the call that a thread began at a time has been noted."""
        return self._announced.get(tid) == start

    def announce(self, processes: Dict[int, Process], before: int, now: int) -> None:
        """Notes calls that began before the watermark and have not been noted yet.

        Args:
            processes: those that are traced, by ordinal.
            before: the watermark, CLOCK_MONOTONIC ns.
            now: CLOCK_MONOTONIC ns.
        """
        blocked = [
            call
            for process in processes.values()
            if process.since < before
            for call in self._unseen(process)
        ]
        calls, known = self._calls.read(before)
        announced = {}
        for call in calls:
            process = processes.get(call.process)
            if process is None:
                continue
            if self._announced.get(call.tid) == call.start:
                announced[call.tid] = call.start
            elif self._calls.still_open(call):
                announced[call.tid] = call.start
                self._note(call, process, now)
        for call in blocked:
            if call.tid in known:
                continue
            process = processes[call.process]
            process.announced.add(call.tid)
            self._note(call, process, now)
        for process in processes.values():
            for tid in process.announced & process.initial:
                start = process.start_of(tid)
                if tid not in known:
                    announced[tid] = start
                elif self._announced.get(tid) == start:
                    announced.setdefault(tid, start)
        self._announced = announced

    def note_all(self, process: Process, now: int) -> Set[int]:
        """Notes all open calls of a process that is let go; returns its threads.

        Args:
            process: the process.
            now: CLOCK_MONOTONIC ns.
        """
        calls, known = self._open_calls(process)
        for call in calls:
            if self._announced.get(call.tid) != call.start:
                self._note(call, process, now)
        return process.threads | _threads_of(process, known)

    def note_pause(self, process: Process, now: int) -> Dict[int, int]:
        """Notes all open calls of a process whose ends may be missed; returns starts by thread.

        Args:
            process: the process.
            now: CLOCK_MONOTONIC ns.
        """
        calls, _ = self._open_calls(process)
        for call in calls:
            if self._announced.get(call.tid) != call.start:
                self._announced[call.tid] = call.start
                self._note(call, process, now)
        return {call.tid: call.start for call in calls}

    def _open_calls(self, process: Process) -> Tuple[List[OpenCall], Dict[int, int]]:
        """Returns the open calls of a process, and tid → ordinal of the threads seen so far."""
        blocked = self._unseen(process)
        for tid in process.announced & process.initial:
            # Noted already: what it is in is not read again.
            start = process.start_of(tid)
            blocked.append(OpenCall(b"", tid, process.ordinal, start, 0, self._abi, (), b""))
        calls, known = self._calls.read(1 << 63)
        own = [call for call in calls if call.process == process.ordinal]
        own += [call for call in blocked if call.tid not in known]
        return own, known

    def forget(self, process: Process) -> None:
        """Forgets the threads of a process that is traced no longer."""
        self._calls.forget(process.ordinal)

    def forget_all(self) -> None:
        """Forgets all threads, and so what they are in."""
        self._calls.forget()

    def _note(self, call: OpenCall, process: Process, now: int) -> None:
        self._outgoing.add(in_flight(call, now, process.reader(), self._limit))
        process.close_memory()

    def _unseen(self, process: Process) -> List[OpenCall]:
        """Returns the calls in which threads sleep that no program has seen yet.

        They are in them since before `process.since`: what a thread does later is seen.
        """
        found: List[OpenCall] = []
        if self._crowded():
            return found
        for tid in process.initial - process.announced:
            text = procfs.read_text(f"/proc/{process.pid}/task/{tid}/syscall")
            call = parse_syscall(text)
            if call is None or (self._wanted is not None and call[0] not in self._wanted):
                continue
            number, args = min(call[0], BIG_NUMBER), call[1]
            start, ordinal = process.start_of(tid), process.ordinal
            found.append(OpenCall(b"", tid, ordinal, start, number, self._abi, args, b""))
        return found


def _threads_of(process: Process, known: Dict[int, int]) -> Set[int]:
    return {tid for tid, ordinal in known.items() if ordinal == process.ordinal}
