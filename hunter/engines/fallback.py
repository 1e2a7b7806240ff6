"""Two engines in one hunter: what the first refuses the second traces, where the rights allow.

An engine may be right for a container and wrong for one of its processes: ebpf sees none in a PID
namespace inside hunter's, ptrace(2) none that somebody else traces. The second engine is loaded
with the first process that needs it. Each has a source of its own in the stream.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

from hg_shared.batch import Batch, SlotBatch
from hunter.engines.base import TRACED_ALREADY, Counters, Engine, EngineEvent, Follow, sum_counters

SECOND_SOURCE = 16
"""Number of the second engine's source; the tracers of the first have lower ones."""

Load = Callable[[], Tuple[Optional[Engine], str]]
"""Returns the second engine, or None and why there is none."""


class Fallback:
    """An engine and the one that takes what it refuses; see `Engine`.

    Args:
        first: the engine of choice.
        load: loads the other; called once at most, by the control thread.
        may_share: whether the other traces what somebody else traces with ptrace(2).
    """

    def __init__(self, first: Engine, load: Load, may_share: bool) -> None:
        self.first = first
        self.name = first.name
        self.second: Optional[Engine] = None
        self._load = load
        self._may_share = may_share
        self._refusal = ""
        self._loaded = False
        self._stopping = False
        self._thread: Optional[threading.Thread] = None
        self._pids: Dict[int, int] = {}
        self._causes: Dict[int, str] = {}
        self._tracing: Optional[Tuple[bool, float]] = None

    @property
    def shares(self) -> bool:
        """Whether what somebody else traces can be traced too, as far as that is known."""
        return self.first.shares or (self._may_share and not self._refusal)

    @property
    def follow(self) -> Optional[Follow]:
        """Takes the children of traced processes in; None to leave them alone. Set before `run`."""
        return self.first.follow

    @follow.setter
    def follow(self, follow: Optional[Follow]) -> None:
        self.first.follow = follow

    @property
    def ended(self) -> bool:
        """Whether nothing is traced any more."""
        return self.first.ended and (self.second is None or self.second.ended)

    @property
    def interval(self) -> float:
        """Seconds after which the writer must look again."""
        return min(engine.interval for engine in self._engines())

    def _engines(self) -> List[Engine]:
        return [self.first] if self.second is None else [self.first, self.second]

    # Main thread.

    def run(self) -> None:
        """Traces until `stop`, then returns when every tracee has been let go."""
        self.first.run()
        if self._thread is not None:
            self._thread.join()

    # Control thread.

    def attach(self, ordinal: int, pid: int) -> None:
        """Asks for a process to be traced."""
        self._pids[ordinal] = pid
        self.first.attach(ordinal, pid)

    def detach(self, ordinal: int) -> None:
        """Asks for a process to be let go."""
        for engine in self._engines():
            engine.detach(ordinal)

    def stop(self) -> None:
        """Asks for everything to be let go and `run` to return."""
        self._stopping = True
        for engine in self._engines():
            engine.stop()

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        """Pauses the recording of calls, or goes on with it."""
        self._tracing = (on, loss)
        for engine in self._engines():
            engine.set_tracing(on, loss, now_ns)

    def stops(self) -> int:
        """Returns how often the target was held up so far."""
        return sum(engine.stops() for engine in self._engines())

    def poke(self) -> None:
        """Makes sure that requests are seen."""
        for engine in self._engines():
            engine.poke()

    def events(self) -> List[EngineEvent]:
        """Returns what happened since the last call; a refusal only when both refuse."""
        found: List[EngineEvent] = []
        for event in self.first.events():
            if event.kind == "attach_failed" and not self._hand_over(event):
                found.append(self._with_cause(event))
            elif event.kind != "attach_failed":
                found.append(event)
        if self.second is not None:
            found += map(self._of_second, self.second.events())
        return found

    def _hand_over(self, event: EngineEvent) -> bool:
        """Gives a process that the first engine refused to the second; tells whether it has it."""
        pid = self._pids.get(event.ordinal)
        if pid is None or self._stopping or event.text == TRACED_ALREADY:
            return False
        if not self._loaded:
            self._loaded = True
            self.second, self._refusal = self._load()
            if self.second is not None:
                self._begin(self.second)
        if self.second is None:
            return False
        self._causes[event.ordinal] = event.text
        self.second.attach(event.ordinal, pid)
        return True

    def _begin(self, engine: Engine) -> None:
        engine.follow = self.follow
        run = getattr(engine, "run_beside", engine.run)
        self._thread = threading.Thread(target=run, name=f"engine-{engine.name}", daemon=True)
        self._thread.start()
        wait_ready = getattr(engine, "wait_ready", None)
        if wait_ready is not None:
            wait_ready()
        if self._tracing is not None:
            engine.set_tracing(*self._tracing, time.monotonic_ns())

    def _with_cause(self, event: EngineEvent) -> EngineEvent:
        if not self._refusal or event.text == TRACED_ALREADY:
            return event
        return event._replace(text=f"{event.text}; {self._refusal}")

    def _of_second(self, event: EngineEvent) -> EngineEvent:
        assert self.second is not None
        if event.kind == "attached":
            cause, _, _ = self._causes.get(event.ordinal, "").partition("; ")
            because = f"{self.first.name}: {cause}"
            return event._replace(text=f"{self.second.name}; {because}")
        if event.kind == "attach_failed":
            cause = self._causes.get(event.ordinal, "")
            if cause and cause != event.text:
                return event._replace(text=f"{cause}; {self.second.name}: {event.text}")
        return event

    # Writer thread.

    def drain(self, now_ns: int, everything: bool = False) -> Sequence[Union[Batch, SlotBatch]]:
        """Returns the records taken since the last call; see `Engine.drain`."""
        taken = list(self.first.drain(now_ns, everything))
        second = self.second
        if second is None:
            return taken
        return [*taken, *second.drain(now_ns, everything)]

    def counters(self) -> Dict[int, Counters]:
        """Returns the counters by ordinal."""
        return sum_counters(self._engines())

    def queued_bytes(self) -> int:
        """Returns how many bytes of records wait to be drained."""
        return sum(engine.queued_bytes() for engine in self._engines())
