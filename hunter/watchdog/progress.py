"""Progress of the tracers, and whom they hold: shared memory that the watchdog reads.

It is there for a reader that cannot ask hunter, because hunter does not run any more. Each word is
written by one thread alone, with one store.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
from typing import Dict, List

MAX_TRACERS = 4
MAX_IDS = 16384
"""Ids that one table of a tracer holds."""

_WORDS = 8
_BEAT, _ACTIVE, _STEPS = 0, 1, 2
_THREAD, _STOPS, _WAITING, _OVERFLOW = 0, 1, 2, 3
_HEADER_BYTES = 8 * _WORDS * (1 + MAX_TRACERS)
_TABLE_BYTES = 4 * MAX_IDS
_GONE = 0xFFFFFFFF
_MOST_EMPTY = 16
_BYTES = _HEADER_BYTES + 2 * MAX_TRACERS * _TABLE_BYTES


class IdTable:
    """A set of thread or process ids, as a list with holes. One writer; any number of readers.

    Args:
        memory: 32-bit words, all 0: an id each, `_GONE` where one was, 0 behind the last.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._fresh = itertools.count()
        self._free: List[int] = []
        self._slots: Dict[int, int] = {}

    def add(self, number: int) -> bool:
        """Enters an id; returns whether there was room.

        A signal handler may enter another one between any two steps.
        """
        if number in self._slots:
            return True
        try:
            slot = self._free.pop()
        except IndexError:
            slot = next(self._fresh)
        if slot >= len(self._memory):
            return False
        self._slots[number] = slot
        self._memory[slot] = number
        return True

    def discard(self, number: int) -> None:
        """Takes an id out, if it is there."""
        slot = self._slots.pop(number, -1)
        if slot >= 0:
            self._memory[slot] = _GONE
            self._free.append(slot)

    def read(self) -> List[int]:
        """Returns the ids, as any process that shares the memory sees them."""
        found: List[int] = []
        empty = 0
        for number in self._memory:
            if number == 0:
                # Somebody may be about to fill one that was taken before the next.
                empty += 1
                if empty == _MOST_EMPTY:
                    break
            elif number != _GONE:
                found.append(number)
        return found


class TracerProgress:
    """One ptrace tracer: how many stops it has taken, and whom it holds.

    Args:
        words: 64-bit words of this tracer.
        held: memory of `held`.
        listening: memory of `listening`.
        address: of the word that counts stops; the next one says whether the tracer waits. A loop
            in C writes both.

    Attributes:
        held: processes that may be traced, and threads of which the first stop has not come. An id
            too many does no harm: the kernel tells who traces it.
        listening: threads in a group-stop that was answered by PTRACE_LISTEN. The kernel does not
            tell it from any other stop (before 5.17).
    """

    def __init__(
        self, words: memoryview, held: memoryview, listening: memoryview, address: int
    ) -> None:
        self._words = words
        self.held = IdTable(held)
        self.listening = IdTable(listening)
        self.address = address
        self.words = words[_STOPS : _WAITING + 1]
        """Stops taken, and 1 while the tracer waits for one: for a loop in Python."""

    @property
    def thread(self) -> int:
        """Thread id of the tracer, 0 before it runs."""
        return int(self._words[_THREAD])

    @thread.setter
    def thread(self, tid: int) -> None:
        self._words[_THREAD] = tid

    @property
    def stops(self) -> int:
        """Stops it has taken so far."""
        return int(self._words[_STOPS])

    @property
    def waiting(self) -> bool:
        """Whether it is in wait4(2), or on its way into it."""
        return bool(self._words[_WAITING])

    @property
    def overflowed(self) -> bool:
        """Whether a group-stop found no room in `listening`."""
        return bool(self._words[_OVERFLOW])

    def listen(self, tid: int) -> None:
        """Notes a group-stop, before it is answered by PTRACE_LISTEN."""
        if not self.listening.add(tid):
            self._words[_OVERFLOW] = 1


class ProgramsProgress:
    """The BPF programs: whether they are at their tracepoints, and that hunter looks after them.

    Args:
        words: 64-bit words.
    """

    def __init__(self, words: memoryview) -> None:
        self._words = words

    @property
    def active(self) -> bool:
        """Whether the programs run."""
        return bool(self._words[_ACTIVE])

    @active.setter
    def active(self, active: bool) -> None:
        self._words[_ACTIVE] = active

    @property
    def steps(self) -> int:
        """The number of times their rings were read and their processes checked so far."""
        return int(self._words[_STEPS])

    def count_step(self) -> None:
        """Counts one more time."""
        self._words[_STEPS] += 1


class Progress:
    """All of it, in memory that a forked process shares.

    Attributes:
        tracers: one for each ptrace tracer there may be.
        programs: of the ebpf engine.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _BYTES)
        view = memoryview(self._memory)
        words = view[:_HEADER_BYTES].cast("Q")
        tables = view[_HEADER_BYTES:].cast("I")
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        size = _TABLE_BYTES // 4
        self._words = words[:_WORDS]
        self.programs = ProgramsProgress(self._words)
        self.tracers = [
            TracerProgress(
                words[_WORDS * number : _WORDS * (number + 1)],
                tables[size * (2 * number - 2) : size * (2 * number - 1)],
                tables[size * (2 * number - 1) : size * 2 * number],
                start + 8 * (_WORDS * number + _STOPS),
            )
            for number in range(1, MAX_TRACERS + 1)
        ]

    @property
    def beat(self) -> int:
        """The number of times the watchdog has looked."""
        return int(self._words[_BEAT])

    def count_look(self) -> None:
        """Counts one more look of the watchdog."""
        self._words[_BEAT] += 1
