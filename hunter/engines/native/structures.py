"""Structures of hot_loop.c, by offset, and the capture plan in its form. Pure."""

from __future__ import annotations

from struct import Struct
from typing import FrozenSet, List, NamedTuple, Optional

from hunter.calls import capture_plan
from hunter.calls.capture_plan import CallPlan, Items

# struct context.
CONTEXT_SIZE = 304 + 66560
HEADS = 0
CAPTURES = 16
HEADS_WRITTEN = 32
HEADS_TAKEN = 48
CALLS = 64
ITEMS = 80
TABLE = 88
THREADS = 104
PROCESSES = 112
PROCESS_COUNT = 120
CLOCK = 128
ARCH_ABI = 136
LIMIT = 144
TID_STATUS = 152
NOW = 160
STOPS = 168
INFO = 184
WAKE = 272
QUIET = 280
PROGRESS = 288

# struct thread.
THREAD_SIZE = 448
THREAD_CALL = Struct("<QQ6Q")
THREAD_WHO = 64
THREAD_FLAGS = 76
ENTRY_LENGTH = 80
ENTRY_DATA = 128
ENTRY_MAX = 320
FLAG_LEAVING = 1
FLAG_PYTHON = 2
FLAG_ARMING = 4
THREAD_QUIET = 88

# struct process.
PROCESS_SIZE = 32

# Why hot_run returns.
STOP, ENTRY_FOR_PYTHON, EXIT_FOR_PYTHON, LEAVING, UNKNOWN = range(1, 6)

_CALL = Struct("<BBBxI")
_ITEM = Struct("<BBBBI")
_UNWANTED, _ENTRY_PYTHON, _EXIT_PYTHON = 1, 2, 4
# Forms whose numbers are (length argument, size), (0, size) or (size, 0).
_LENGTH_AND_SIZE = (
    capture_plan.BUF_ARG,
    capture_plan.BYTES_ARG,
    capture_plan.BYTES_PTR,
    capture_plan.ARRAY_ARG,
)
_SIZE_ONLY = (capture_plan.BUF_RET, capture_plan.BYTES_RET, capture_plan.ARRAY_RET)
_NO_NUMBERS = (capture_plan.PATH, capture_plan.STRING)


class Plan(NamedTuple):
    """A capture plan as the C loop reads it.

    Attributes:
        calls: struct call, indexed by syscall number.
        items: struct item.
        call_count: number of calls.
    """

    calls: bytes
    items: bytes
    call_count: int


def encode_plan(
    plan: List[Optional[CallPlan]],
    wanted: Optional[FrozenSet[int]],
    limit: int,
    for_python: FrozenSet[int] = frozenset(),
) -> Plan:
    """Returns a capture plan in C's form; what C cannot read is marked for Python.

    Args:
        plan: of one ABI, indexed by syscall number.
        wanted: numbers to record, None for all.
        limit: string size, bytes.
        for_python: numbers of calls whose exit Python handles whatever they capture.
    """
    calls: List[bytes] = []
    items: List[bytes] = []
    for nr, call in enumerate(plan):
        if wanted is not None and nr not in wanted:
            calls.append(_CALL.pack(_UNWANTED, 0, 0, 0))
            continue
        at_entry, at_exit = call if call is not None else ((), ())
        flags = 0
        entry_items = _encode_items(at_entry)
        if entry_items is None or _most_bytes(at_entry, limit) > ENTRY_MAX:
            flags |= _ENTRY_PYTHON
            entry_items = []
        exit_items = _encode_items(at_exit)
        if exit_items is None or nr in for_python:
            flags |= _EXIT_PYTHON
            exit_items = []
        calls.append(_CALL.pack(flags, len(entry_items), len(exit_items), len(items)))
        items += entry_items + exit_items
    return Plan(b"".join(calls), b"".join(items) or bytes(_ITEM.size), len(calls))


def _encode_items(items: Items) -> Optional[List[bytes]]:
    encoded = []
    for form, arg, n, m, out in items:
        if form == capture_plan.STRUCT:
            encoded.append(_ITEM.pack(form, arg, 0, out, n))
        elif form in _LENGTH_AND_SIZE:
            encoded.append(_ITEM.pack(form, arg, n, out, m))
        elif form in _SIZE_ONLY:
            encoded.append(_ITEM.pack(form, arg, 0, out, m))
        elif form in _NO_NUMBERS:
            encoded.append(_ITEM.pack(form, arg, 0, out, 0))
        else:
            return None
    return encoded


def _most_bytes(items: Items, limit: int) -> int:
    """Returns how many bytes captures can take at most; paths are too long to be kept in C."""
    total = 0
    for form, _, n, m, _ in items:
        total += 8
        if form == capture_plan.STRUCT:
            total += n
        elif form in (capture_plan.BYTES_ARG, capture_plan.BYTES_PTR, capture_plan.BYTES_RET):
            total += m
        elif form in (capture_plan.BUF_ARG, capture_plan.BUF_RET):
            total += limit + m
        elif form in (capture_plan.ARRAY_ARG, capture_plan.ARRAY_RET):
            total += limit * m
        else:
            return ENTRY_MAX + 1
    return total
