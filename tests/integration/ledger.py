"""The ledger that targets/ledger.c keeps of its calls, and a tracer's records judged by it: pure.

What is right: from the attach that was told to the end that was told, but for pauses that were
told, every call of the ledger has one record, in its thread's order, within the times between which
the program made it; what has none is counted as lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hg_shared.records import Abi, Kind, Record
from hg_shared.syscalls import numbers

_HEAD = 32
_ENTRY = struct.Struct("<IIQQq")
TIMER_SLACK = 0.9


class Entry(NamedTuple):
    """One call as the program made it.

    Attributes:
        tid: thread.
        nr: number of the call.
        before: CLOCK_MONOTONIC right before it, ns.
        after: right after it, 0 when it has not returned.
        asked: ns that it was to block.
    """

    tid: int
    nr: int
    before: int
    after: int
    asked: int


def parse(data: bytes, ahead: int = 0) -> dict[int, Entry]:
    """Returns the entries of a ledger by number.

    Args:
        data: the file.
        ahead: ns that are added to its times.
    """
    count = int.from_bytes(data[:4], "little")
    found = {}
    for number in range(1, min(count, (len(data) - _HEAD) // _ENTRY.size)):
        tid, nr, before, after, asked = _ENTRY.unpack_from(data, _HEAD + number * _ENTRY.size)
        if before:
            found[number] = Entry(tid, nr, before + ahead, after and after + ahead, asked)
    return found


@dataclass(frozen=True)
class Period:
    """When calls of a process are recorded.

    Attributes:
        begin: told, CLOCK_MONOTONIC ns.
        end: told.
    """

    begin: int
    end: int

    def holds(self, entry: Entry) -> bool:
        """Tells whether a call was made within it, from beginning to end."""
        return self.begin <= entry.before and 0 < entry.after <= self.end


def periods(attach: int, end: int, records: Iterable[Record]) -> list[Period]:
    """Returns when the calls of a process are recorded.

    Args:
        attach: when it was told to be attached.
        end: when it was told to be let go.
        records: of that process, with its windows.
    """
    found, begin, on = [], attach, True
    for record in sorted(records, key=lambda each: each.start):
        if record.kind == Kind.WINDOW and not record.args[3]:
            if on and not record.args[0]:
                found.append(Period(begin, record.start))
            elif not on and record.args[0]:
                begin = record.start
            on = bool(record.args[0])
    if on:
        found.append(Period(begin, end))
    return found


class Judgement(NamedTuple):
    """What the records of one process are worth.

    Attributes:
        faults: what is wrong, in words; nothing when all is right.
        recorded: how many calls of the ledger have a record.
        missing: how many that should have one have none.
    """

    faults: list[str]
    recorded: int
    missing: int


def number_of(record: Record, abi: int = Abi.X86_64) -> int:
    """Returns the number that a call of the ledger has, 0 for another call."""
    known = numbers(abi)
    if record.nr == known["lseek"] and record.args[0] & 0xFFFFFFFF == 0xFFFFFFFF:
        return record.args[1]
    if record.nr == known["futex"] and record.args[1] == 128 and record.args[2] == 0:
        return record.args[4]
    return 0


def judge(
    entries: dict[int, Entry], records: Sequence[Record], when: Sequence[Period], abi: int
) -> Judgement:
    """Compares the records of processes with the ledger.

    Args:
        entries: the ledger's, of these processes.
        records: theirs.
        when: when their calls were to be recorded.
        abi: of the calls.
    """
    faults: list[str] = []
    returned: dict[int, Record] = {}
    open_calls: dict[int, Record] = {}
    for record in records:
        if record.kind not in (Kind.SYSCALL, Kind.IN_FLIGHT):
            continue
        number = number_of(record, abi)
        entry = entries.get(number)
        if not number or entry is None:
            continue
        if (record.tid, record.nr) != (entry.tid, entry.nr):
            faults.append(f"{number}: {record} is not {entry}")
            continue
        kind = returned if record.kind == Kind.SYSCALL else open_calls
        if number in kind:
            faults.append(f"{number} is there twice: {kind[number]} and {record}")
        kind[number] = record
        end = record.start + record.duration
        if record.start < entry.before:
            faults.append(f"{number} began {entry.before - record.start} ns too early: {record}")
        if record.kind == Kind.SYSCALL and entry.after and end > entry.after:
            faults.append(f"{number} ended {end - entry.after} ns too late: {record}")
        if record.kind == Kind.SYSCALL and entry.asked and record.rval != -110:
            if not -516 <= record.rval <= -512:
                faults.append(f"{number} returned {record.rval}")
        elif (
            record.kind == Kind.SYSCALL
            and entry.asked
            and record.duration < TIMER_SLACK * entry.asked
            and any(period.begin <= entry.before < period.end for period in when)
        ):
            faults.append(f"{number} took {record.duration} ns of {entry.asked}: {record}")
    for number in returned.keys() & open_calls.keys():
        if returned[number].start != open_calls[number].start:
            faults.append(f"{number} began twice: {returned[number]} and {open_calls[number]}")
    missing = {
        number
        for number, entry in entries.items()
        if number not in returned and any(period.holds(entry) for period in when)
    }
    # One that began within a period and ended behind it is there, at least as in flight.
    missing |= {
        number
        for number, entry in entries.items()
        if number not in returned
        and number not in open_calls
        and any(period.begin <= entry.before < period.end for period in when)
    }
    order: dict[int, list[tuple[int, int]]] = {}
    for number, record in returned.items():
        order.setdefault(record.tid, []).append((record.start, number))
    for tid, found in order.items():
        seen = [number for _, number in sorted(found)]
        if seen != sorted(seen):
            faults.append(f"calls of {tid} are not in order")
    return Judgement(faults, len(returned), len(missing))
