"""What the programs and hunter both know: layout of the maps' values. Pure.

Everything is little-endian and aligned to its size. `record` is the head of hg_shared.records.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from hg_shared.records import HEAD_SIZE

# The value of the map `state`, shared with hunter by mmap(2).
#   0      a byte for each hash of a tgid: 0, or the slot of the process, or TOMBSTONE
#   8176   since when calls are recorded, ns; 0 while they are not
#   8184   1 while the number of some process in the initial PID namespace is not known
#   8188   1 once a thread found no room in `threads`
#   8192   64 bytes for each slot: tgid, ordinal, records dropped, when tracing began (0 while it
#          has not), ordinal of the process that started it, children that were not followed, comm
#          at birth
# Where children are followed the table of hashes is not used, but the map `members`.
TABLE_SIZE = 4096
PROBES = 4
TOMBSTONE = 255
EPOCH = 8176
LEARNING = 8184
CROWDED = 8188
SLOTS = 255
PROCESSES = 8192
PROCESS_SIZE = 64
PROCESS_TGID = 0
PROCESS_ORDINAL = 4
PROCESS_LOST = 8
PROCESS_SINCE = 16
PROCESS_CREATOR = 24
PROCESS_MISSED = 32
PROCESS_COMM = 40
COMM_SIZE = 16
STATE_SIZE = PROCESSES + 256 * PROCESS_SIZE
FOLLOW_SLOTS = 4096
"""Slots where children are followed, and no byte need hold their numbers."""
FOLLOW_STATE_SIZE = PROCESSES + FOLLOW_SLOTS * PROCESS_SIZE

# The value of the map `threads`, by tid of the initial PID namespace.
#   0      the record's head so far: start, args, tid, process, nr, abi
#   88     0 until the thread has been seen to begin or end a call; then 1 in a call, 2 outside
#   92     plan at exit, route at exit (which program)
#   96     start of a clone whose THREAD record is still to be made
#   104    plan at entry
#   106    bytes of captures taken at entry
#   108    1: they are in `entries`, not here
#   112    captures taken at entry
THREAD_OPEN = 88
OPEN = 1
CLOSED = 2
THREAD_PLAN = 92
THREAD_ROUTE = 94
THREAD_CLONE = 96
THREAD_ENTRY_PLAN = 104
THREAD_ENTRY_LENGTH = 106
THREAD_ENTRY_LARGE = 108
THREAD_CAPTURES = 112
THREAD_CAPTURES_SIZE = 128
THREAD_SIZE = THREAD_CAPTURES + THREAD_CAPTURES_SIZE
THREAD = Struct("<QQq6QIIHBBIIHHQHHI")
MAX_THREADS = 4096

# Captures taken at entry that do not fit there: map `entries`.
ENTRY_SIZE = 8192
MAX_ENTRIES = 64

# A record is put together in the map `scratch`, one value for each CPU.
SCRATCH_USED = 0
SCRATCH_CAP = 4
SCRATCH_RVAL = 8
SCRATCH_ADDRESS = 16
SCRATCH_LENGTH = 24
SCRATCH_TAG = 28
SCRATCH_WORK = 32
SCRATCH_FIRST = 36
SCRATCH_RECORD = 64
SCRATCH_CAPTURES = SCRATCH_RECORD + HEAD_SIZE
MAX_PIECE = 4096
"""Bytes of one capture."""
MAX_USED = 12288
"""No capture begins behind so many bytes of captures."""
SCRATCH_SIZE = SCRATCH_CAPTURES + MAX_USED + 2 * MAX_PIECE

# A call in the map `calls`, indexed by ABI (0 native, 1 the 32-bit one) << 9 | number.
CALL = Struct("<BBHHBBI4x")
CALL_SIZE = 16
CALLS = 1024
CALL_WANTED = 1
CALL_MAYBE_WANTED = 2
CALL_SELECTS_AT_ENTRY = 4
CALL_SELECTS_AT_EXIT = 8

# A plan: up to 6 items behind 8 bytes.
ITEM = Struct("<BBBBIII")
ITEM_SIZE = 16
MAX_ITEMS = 6
PLAN_SIZE = 8 + ITEM_SIZE * (MAX_ITEMS + 1)

MEMBERS = FOLLOW_SLOTS
"""Entries of the map `members`, tgid in the initial PID namespace → slot."""
SPARES = 2048
"""Entries of the queue `spares`: slots for children that are not born yet."""

SENT = 128
"""Kind of a record that only hunter sees: a SIGNAL of which it is not known what becomes of it."""

# The value of the map `calibration`: pid of a process in hunter's namespace, 1 when its task_struct
# has been copied, its pid_tgid in the initial namespace, when that was by the kernel's clock, and
# the copy behind them.
CALIBRATION = Struct("<IIQQ")
TASK_SIZE = 8192
"""Bytes of a task_struct that are looked at to find pid, tgid and exit_code."""

SELECTION_KEY = Struct("<II")

LARGE_CAPTURES = 296
"""Captures of a record of the second ring, at most; longer ones go to the third."""


class Slot(NamedTuple):
    """Sizes of what the two rings of fixed slots hold.

    Attributes:
        small: bytes of captures in the first ring.
        large: bytes of captures in the second ring.
    """

    small: int
    large: int


def slot_sizes(string_size: int) -> Slot:
    """Returns how many bytes of captures fit into the rings' slots.

    Args:
        string_size: bytes of each string that are kept.
    """
    small = 8 + (max(32, min(string_size, 128)) + 7) // 8 * 8
    return Slot(small, LARGE_CAPTURES)
