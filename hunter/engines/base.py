"""Engines: ways to get raw records of what a process does.

All engines give the same records (hg_shared.records) in batches; they differ in rights and price.
An engine runs in the main thread, takes requests from the control thread and is drained by the
writer thread.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Protocol, Sequence, Union

from hg_shared.batch import Batch, SlotBatch
from hg_shared.records import Abi

MACHINE_ABI: Dict[str, Abi] = {"x86_64": Abi.X86_64, "aarch64": Abi.AARCH64}
"""The ABI of a machine's own calls, by what uname(2) says, of the machines hunter runs on."""
INTERVAL = 0.05
"""Seconds between two drains of an engine whose queue hunter fills itself."""
TRACED_ALREADY = "it is traced already, as a child of another process"
"""Text of an attach_failed event that is no failure."""
IDLE_INTERVAL = 0.5
"""The same while nothing is traced: what is put into the writer's hands wakes it."""


class EngineEvent(NamedTuple):
    """An event of an engine about one process, for the control thread.

    Attributes:
        kind: attached, followed, unfollowed, attach_failed, exec or ended.
        ordinal: the process.
        time_ns: CLOCK_MONOTONIC.
        text: attached: the engine and why, where it is not the one of the others; attach_failed:
            the error; unfollowed: how many children were not; exec: the new
            command; ended: exited or detached.
        value: attached: number of threads; followed: ordinal of the process that started it;
            ended: wait status of the last thread.
    """

    kind: str
    ordinal: int
    time_ns: int
    text: str = ""
    value: int = 0


class Counters(NamedTuple):
    """Records of one process: seen = drained + lost once the engine has been drained.

    Attributes:
        seen: records taken.
        lost: of these, dropped because the queue was full.
    """

    seen: int
    lost: int


def sum_counters(engines: Iterable[Engine]) -> Dict[int, Counters]:
    """Returns the counters by ordinal of several engines together."""
    found: Dict[int, Counters] = {}
    for engine in engines:
        for ordinal, count in engine.counters().items():
            before = found.get(ordinal, Counters(0, 0))
            found[ordinal] = Counters(before.seen + count.seen, before.lost + count.lost)
    return found


class Follow(Protocol):
    """Takes the children of traced processes in."""

    def reserve(self) -> int:
        """Returns an ordinal for a child that is not born yet; 0 when no more are followed."""
        ...

    def declare(
        self, ordinal: int, pid: int, creator: int, born_ns: int, command: str = ""
    ) -> None:
        """Announces a child, before anything of it is drained. Called by any thread.

        Args:
            ordinal: its number, from `reserve`.
            pid: its process id.
            creator: ordinal of the process that started it, 0 when it is not known.
            command: its name when it was born; empty for a child that is held.
            born_ns: when, CLOCK_MONOTONIC; 0 for a child that is held and so has its pid still.
        """
        ...


class Engine(Protocol):
    """An engine, as the rest of hunter knows it."""

    name: str
    follow: Optional[Follow]
    """Takes the children of traced processes in; None to leave them alone. Set before `run`."""

    @property
    def shares(self) -> bool:
        """Whether a process that somebody else traces with ptrace(2) can be traced too."""
        ...

    @property
    def ended(self) -> bool:
        """Whether `run` has returned, or is about to: nothing is traced any more."""
        ...

    @property
    def interval(self) -> float:
        """Seconds after which `drain` must be called again."""
        ...

    def run(self) -> None:
        """Traces until `stop`; called once, by the main thread."""
        ...

    def attach(self, ordinal: int, pid: int) -> None:
        """Asks for a process to be traced; an EngineEvent tells the outcome."""
        ...

    def detach(self, ordinal: int) -> None:
        """Asks for a process to be let go; an EngineEvent tells when it is."""
        ...

    def stop(self) -> None:
        """Asks for everything to be let go and `run` to return."""
        ...

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Pauses the recording of calls, or goes on with it, and notes that in the records.

        Args:
            on: whether calls are recorded from now on.
            loss: share of its time that the target was estimated to lose.
            now_ns: CLOCK_MONOTONIC.
        """
        ...

    def stops(self) -> int:
        """Returns how often the target was held up so far: twice for each record."""
        ...

    def poke(self) -> None:
        """Makes sure that requests are seen; called every few tens of milliseconds."""
        ...

    def drain(self, now_ns: int, everything: bool = False) -> Sequence[Union[Batch, SlotBatch]]:
        """Returns the records taken since the last call, in batches, oldest first.

        Args:
            now_ns: CLOCK_MONOTONIC.
            everything: calls that are still open are noted whatever their age.
        """
        ...

    def events(self) -> List[EngineEvent]:
        """Returns what happened since the last call."""
        ...

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal of all processes so far."""
        ...

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        ...
