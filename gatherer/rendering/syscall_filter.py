"""The calls that are shown: a filter in front of the lines of one process."""

from __future__ import annotations

from functools import lru_cache

from gatherer.rendering.renderer import Lines
from hg_shared.records import HEAD, HEAD_SIZE, Abi, Kind, iter_records
from hg_shared.syscalls.filter import syscall_set

_ABIS = (Abi.X86_64, Abi.AARCH64, Abi.I386)
_CALLS = (Kind.SYSCALL, Kind.IN_FLIGHT)


@lru_cache(maxsize=8)
def wanted_calls(trace_set: str) -> frozenset[tuple[int, int]]:
    """Returns ABI and number of the calls that an expression selects.

    Args:
        trace_set: as strace's -e takes it.

    Raises:
        ValueError: it selects nothing that there is.
    """
    return frozenset((int(abi), nr) for abi in _ABIS for nr in syscall_set(trace_set, abi))


class Selected:
    """Hands the calls of a set to the lines of a process, and everything that is no call.

    Args:
        lines: renders them.
        trace_set: as strace's -e takes it.
    """

    def __init__(self, lines: Lines, trace_set: str) -> None:
        self._lines = lines
        self._wanted = wanted_calls(trace_set)
        self.note = lines.note
        self.table = lines.table
        self.finish = lines.finish

    @property
    def undecoded(self) -> int:
        """Calls that were printed raw; see renderer.Lines."""
        return self._lines.undecoded

    @property
    def waits(self) -> bool:
        """Whether a later watermark alone could let lines out."""
        return self._lines.waits

    def feed_rows(self, heads: bytes, captures: bytes, watermark: int) -> bytes:
        """Takes records and returns the lines that can be written now; see renderer.Lines."""
        rows, held = [], []
        at = 0
        for index, head in enumerate(HEAD.iter_unpack(heads)):
            end = at + head[14]
            if head[12] not in _CALLS or (head[13], head[11]) in self._wanted:
                rows.append(heads[index * HEAD_SIZE : index * HEAD_SIZE + HEAD_SIZE])
                held.append(captures[at:end])
            elif self.table is not None:
                # What is not shown still changes what descriptors refer to.
                [record] = iter_records(
                    heads[index * HEAD_SIZE : index * HEAD_SIZE + HEAD_SIZE], captures[at:end]
                )
                if record.kind == Kind.SYSCALL:
                    self.table.take(record)
            at = end
        return self._lines.feed_rows(b"".join(rows), b"".join(held), watermark)
