"""Captures of records, decoded as docs/wire-format.md says: by a reader of its own."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from hg_shared.records import AT_ENTRY, CAPTURE, UNREADABLE


class Capture(NamedTuple):
    """Bytes behind one pointer.

    Attributes:
        arg: argument index, 0 to 5.
        hop: 0 for what the argument points to, then what that points to.
        at_entry: whether it was taken before the call ran.
        length: true length in bytes, `UNKNOWN_LENGTH` when only known to be more.
        data: the captured bytes, None when the memory could not be read.
    """

    arg: int
    hop: int
    at_entry: bool
    length: int
    data: Optional[bytes]


def decode_captures(data: bytes) -> List[Capture]:
    """Returns the captures of one record; a cut tail is dropped, never raised about.

    Args:
        data: the record's `captures`.
    """
    captures = []
    at, end = 0, len(data)
    while at + 8 <= end:
        first, hop, got, length = CAPTURE.unpack_from(data, at)
        at += 8
        chunk = None
        if got != UNREADABLE:
            chunk = data[at : at + got]
            at += got
        captures.append(Capture(first & 0x7F, hop, first >= AT_ENTRY, length, chunk))
    return captures
