"""Calls that have not returned, as the map of threads and /proc show them."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

from hg_shared.records import HEAD, Kind
from hunter.calls import capture_plan, captures
from hunter.engines.ebpf import layout, loader


class OpenCall(NamedTuple):
    """A call that has not returned.

    Attributes:
        key: of its thread in the map.
        tid: of its thread in hunter's PID namespace.
        process: ordinal.
        start: CLOCK_MONOTONIC ns.
        nr: number.
        abi: calling convention.
        args: six arguments.
        captures: what was captured at its entry.
    """

    key: bytes
    tid: int
    process: int
    start: int
    nr: int
    abi: int
    args: Tuple[int, ...]
    captures: bytes


class OpenCalls:
    """Reads the map of threads.

    Args:
        threads: the map.
        entries: the map of what was captured at entry and is long.
    """

    def __init__(self, threads: int, entries: int) -> None:
        self._threads = threads
        self._entries = entries
        self._elements = loader.Elements(threads, 4, layout.THREAD_SIZE, layout.MAX_THREADS)

    def read(self, before: int) -> Tuple[List[OpenCall], Dict[int, int]]:
        """Returns the calls that began before a time, and tid → ordinal of the threads seen so far.

        Seen are those that have begun or ended a call since calls are recorded.

        Args:
            before: CLOCK_MONOTONIC ns.
        """
        keys, values = self._elements.read()
        size = layout.THREAD_SIZE
        unpack = layout.THREAD.unpack_from
        calls: List[OpenCall] = []
        known: Dict[int, int] = {}
        for number in range(len(values) // size):
            fields = unpack(values, number * size)
            if not fields[15]:
                continue
            known[fields[9]] = fields[10]
            if fields[15] == layout.OPEN and 0 < fields[0] < before:
                key = bytes(keys[number * 4 : number * 4 + 4])
                at = number * size + layout.THREAD_CAPTURES
                inline = bytes(values[at : at + fields[20]])
                calls.append(self._call(key, fields, inline))
        return calls, known

    def _call(self, key: bytes, fields: Tuple[int, ...], inline: bytes) -> OpenCall:
        if fields[21]:
            long = loader.lookup(self._entries, key, layout.ENTRY_SIZE)
            inline = long[: fields[20]] if long is not None else b""
        return OpenCall(
            key, fields[9], fields[10], fields[0], fields[11], fields[13], fields[3:9], inline
        )

    def still_open(self, call: OpenCall) -> bool:
        """Tells whether a call is open still; what `read` saw may have been half overwritten."""
        value = loader.lookup(self._threads, call.key, layout.THREAD_SIZE)
        if value is None:
            return False
        fields = layout.THREAD.unpack_from(value)
        opened = fields[15] == layout.OPEN
        return opened and fields[0] == call.start and fields[3:9] == call.args

    def forget(self, ordinal: Optional[int] = None) -> None:
        """Removes the threads of a process.

        Args:
            ordinal: the process; None for all.
        """
        keys, values = self._elements.read()
        for number in range(len(values) // layout.THREAD_SIZE):
            owner = layout.THREAD.unpack_from(values, number * layout.THREAD_SIZE)[10]
            if ordinal in (None, owner):
                key = bytes(keys[number * 4 : number * 4 + 4])
                loader.delete(self._threads, key)
                loader.delete(self._entries, key)


def in_flight(call: OpenCall, now: int, read: captures.Read, limit: int) -> bytes:
    """Returns head and captures of an IN_FLIGHT record.

    Args:
        call: the call.
        now: CLOCK_MONOTONIC ns.
        read: reads the process's memory.
        limit: string size, bytes.
    """
    data = call.captures
    plan = capture_plan.call_plan(call.abi, call.nr)
    if plan is not None:
        data += captures.read_in_flight(plan[1], call.args, read, limit)
    return HEAD.pack(
        call.start, max(now - call.start, 0), 0, *call.args, call.tid, call.process, call.nr,
        Kind.IN_FLIGHT, call.abi, len(data),
    ) + data  # fmt: skip


def parse_syscall(text: str) -> Optional[Tuple[int, Tuple[int, ...]]]:
    """Returns number and arguments of the call in which a thread sleeps, None when in none. Pure.

    Args:
        text: contents of /proc/PID/task/TID/syscall.
    """
    words = text.split()
    if len(words) < 9 or not words[0].isdecimal():
        return None
    return int(words[0]), tuple(int(word, 16) for word in words[1:7])
