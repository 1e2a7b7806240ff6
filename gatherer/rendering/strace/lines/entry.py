"""Records as a timeline holds them: tuples that sort by time."""

from __future__ import annotations

from collections.abc import Sequence

from gatherer.rendering.strace.calls.compiler import Head
from gatherer.rendering.strace.lines.stamps import FAR
from hg_shared.records import HEAD, Record

Entry = tuple[int, int, int, Head, bytes]
"""A record that is to be printed: time, thread id, place among all that were taken, head and
captures; the time is its start, of a call that was printed as unfinished its end."""


END: Entry = (FAR, 0, 0, (0,) * 15, b"")
"""What follows the last record."""


def record_of(entry: Entry) -> Record:
    """Returns the record of an entry."""
    head = entry[3]
    return Record(*head[:3], head[3:9], *head[9:14], entry[4])  # type: ignore[arg-type, call-arg]


def packed(entries: Sequence[Entry]) -> tuple[bytes, bytes]:
    """Returns the heads and the captures of entries, as a batch holds them."""
    heads = b"".join([HEAD.pack(*entry[3]) for entry in entries])
    return heads, b"".join([entry[4] for entry in entries])
