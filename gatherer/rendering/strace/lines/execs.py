"""Threads that called execve, of processes in which another thread than the leader did."""

from __future__ import annotations

from hg_shared.records import Record


class Execs:
    """EXEC records that wait to be printed, whose calling thread took the id of the leader."""

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}

    def take(self, record: Record) -> None:
        """Takes an EXEC record."""
        if record.args[0] not in (0, record.tid):
            self._records[record.tid] = record

    def caller(self, tid: int, start: int, end: int) -> int:
        """Returns the tid a call was made under: execve gives its thread that of the leader.

        Args:
            tid: thread id at its end.
            start: of the call, CLOCK_MONOTONIC ns.
            end: of the call.
        """
        found = self._records.get(tid)
        if found is None or not start < found.start <= end:
            return tid
        return found.args[0] & 0xFFFFFFFF

    def forget(self, tid: int) -> None:
        """Forgets the execve that gave a thread the id of the leader, once it is printed."""
        self._records.pop(tid, None)
