"""Raw records: what every engine gives for what a traced thread did.

A record is numbers and captured bytes, nothing decoded. In memory and on the wire it is a head of
88 bytes and, behind all heads of its batch, its captures.

    offset size field
    0      8    start: CLOCK_MONOTONIC of the node, ns
    8      8    duration, ns; of an IN_FLIGHT call, its age when it was noted
    16     8    rval: return value, signed; EXITED: the wait status
    24     48   args: six syscall arguments as the kernel got them
    72     4    tid
    76     4    process: ordinal that a PROCESS frame declared, from 1
    80     2    nr: syscall number; SIGNAL and STOPPED: signal; THREAD: ptrace event
    82     1    kind
    83     1    abi
    84     4    length of the captures, bytes

A capture is 8 bytes and the captured bytes:

    0      1    argument 0..5; 6: what descriptors that the call made or changed refer to, and
                7: the current directory after it; bit 7: taken at the syscall-enter-stop
    1      1    hop: 0 = what the argument points to, 1 and up = what that points to
    2      2    bytes captured; 0xffff = the memory could not be read
    4      4    true length; 0xffffffff = unknown, more than was captured

A syscall number of 0xffff and more is 0xffff in the head, and 8 bytes in a capture taken at the
syscall-enter-stop, argument 0, hop 255.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Iterator, NamedTuple, Tuple

HEAD = Struct("<QQq6QIIHBBI")
HEAD_SIZE = HEAD.size
CAPTURE = Struct("<BBHI")
AT_ENTRY = 0x80
FD_ARGUMENT, CWD_ARGUMENT = 6, 7
UNREADABLE = 0xFFFF
UNKNOWN_LENGTH = 0xFFFFFFFF
MAX_CAPTURE = 0xFFFE
BIG_NUMBER = 0xFFFF
"""Syscall number from which on it stands in a capture."""
NUMBER_HOP = 255


class Kind(IntEnum):
    """The kind of a record."""

    SYSCALL = 0
    """A call that returned."""
    IN_FLIGHT = 1
    """A call that has not returned yet; a SYSCALL of the same tid and start may follow."""
    SIGNAL = 2
    """signal-delivery-stop: nr is the signal, capture (0, 0) its siginfo_t."""
    STOPPED = 3
    """group-stop: nr is the stopping signal."""
    EXITED = 4
    """The thread is gone: rval is its wait status."""
    THREAD = 5
    """PTRACE_EVENT_FORK, VFORK or CLONE: nr is the event, args[0] the new tid."""
    EXEC = 6
    """PTRACE_EVENT_EXEC: args[0] is the former tid, capture (0, 0) the new comm, (0, 1) the exe."""
    ATTACHED = 7
    """The thread was seized."""
    DETACHED = 8
    """The thread was let go."""
    LOST = 9
    """args[0] records of this process were dropped here, args[1] says why (`LossCause`)."""

    WINDOW = 10
    """Tracing of this process pauses (args[0] = 0) or goes on (1) to keep to an overhead budget;
    args[1] is the share of its time that the target was estimated to lose, in 1/1000."""


NOTES = (Kind.LOST, Kind.WINDOW)
"""Kinds that tell about the record stream itself: they are not counted as records."""


class LossCause(IntEnum):
    """The cause for which records were dropped."""

    QUEUE_FULL = 0


LOSS_TEXT = {LossCause.QUEUE_FULL: "output queue full"}


class Abi(IntEnum):
    """The calling convention of one call, which chooses its syscall table."""

    X86_64 = 0
    AARCH64 = 1
    I386 = 2
    X32 = 3
    ARM = 4


class Record(NamedTuple):
    """One raw record; the fields are those of the module's table."""

    start: int
    duration: int
    rval: int
    args: Tuple[int, int, int, int, int, int]
    tid: int
    process: int
    nr: int
    kind: int
    abi: int
    captures: bytes


def encode_capture(
    arg: int, hop: int, data: bytes | None, length: int, at_entry: bool = False
) -> bytes:
    """Returns one capture's bytes.

    Args:
        arg: argument index, 0 to 5.
        hop: see the module.
        data: what was read, at most `MAX_CAPTURE` bytes; None when it was unreadable.
        length: true length in bytes.
        at_entry: taken at the syscall-enter-stop.
    """
    first = arg | AT_ENTRY if at_entry else arg
    if data is None:
        return CAPTURE.pack(first, hop, UNREADABLE, length)
    return CAPTURE.pack(first, hop, len(data), length) + data


def iter_records(heads: bytes, captures: bytes) -> Iterator[Record]:
    """Yields the records of one batch.

    Args:
        heads: the heads, back to back.
        captures: the captures of all of them, back to back, in the same order.
    """
    at = 0
    new = tuple.__new__  # Record() takes twice as long
    for (
        start, duration, rval, a0, a1, a2, a3, a4, a5, tid, process, nr, kind, abi, length,
    ) in HEAD.iter_unpack(heads):  # fmt: skip
        end = at + length
        yield new(Record, (
            start, duration, rval, (a0, a1, a2, a3, a4, a5), tid, process, nr, kind, abi,
            captures[at:end] if length else b"",
        ))  # fmt: skip
        at = end
