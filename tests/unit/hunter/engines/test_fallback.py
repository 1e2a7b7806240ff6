"""Two engines in one: who gets a process, what is told of it, and the sums."""

from __future__ import annotations

import threading
from typing import Dict, List, Optional, Tuple

from hg_shared.batch import Batch
from hunter.engines.base import TRACED_ALREADY, Counters, Engine, EngineEvent, Follow
from hunter.engines.fallback import Fallback


class Scripted:
    """An engine that refuses what it is told to refuse."""

    interval = 0.5

    def __init__(self, name: str, refuses: Dict[int, str], shares: bool = False) -> None:
        self.name = name
        self.shares = shares
        self.follow: Optional[Follow] = None
        self.attached: List[int] = []
        self.stopped = threading.Event()
        self.windows: List[bool] = []
        self._refuses = refuses
        self._events: List[EngineEvent] = []

    @property
    def ended(self) -> bool:
        return self.stopped.is_set()

    def run(self) -> None:
        self.stopped.wait()

    def attach(self, ordinal: int, pid: int) -> None:
        refusal = self._refuses.get(pid)
        if refusal is not None:
            self._events.append(EngineEvent("attach_failed", ordinal, 5, refusal))
        else:
            self.attached.append(pid)
            self._events.append(EngineEvent("attached", ordinal, 5, "", 1))

    def detach(self, ordinal: int) -> None:
        self._events.append(EngineEvent("ended", ordinal, 6, "detached"))

    def stop(self) -> None:
        self.stopped.set()

    def set_tracing(self, on: bool, loss: float, now_ns: int) -> None:
        self.windows.append(on)

    def stops(self) -> int:
        return 10

    def poke(self) -> None:
        pass

    def drain(self, now_ns: int, everything: bool = False) -> List[Batch]:
        return [Batch(len(self.name), 0, 0, b"", b"")]

    def events(self) -> List[EngineEvent]:
        found, self._events = self._events, []
        return found

    def counters(self) -> Dict[int, Counters]:
        return {1: Counters(3, 1)}

    def queued_bytes(self) -> int:
        return 7


class Loading:
    """Loads the second engine, and counts how often."""

    def __init__(self, engine: Optional[Scripted], cause: str = "") -> None:
        self.times = 0
        self._answer = engine, cause

    def __call__(self) -> Tuple[Optional[Engine], str]:
        self.times += 1
        return self._answer


def test_what_the_first_takes_is_its_own() -> None:
    loading = Loading(None)
    engine = Fallback(Scripted("ebpf", {}), loading, False)
    engine.attach(1, 100)
    assert engine.events() == [EngineEvent("attached", 1, 5, "", 1)]
    assert (loading.times, engine.second, engine.stops()) == (0, None, 10)
    assert len(engine.drain(9)) == 1


def test_what_it_refuses_the_second_takes_and_says_so() -> None:
    first = Scripted("ebpf", {100: "in another namespace", 101: "in another namespace"})
    second = Scripted("ptrace", {})
    loading = Loading(second)
    engine = Fallback(first, loading, False)
    engine.set_tracing(False, 0.5, 1)
    for ordinal, pid in ((1, 100), (2, 101), (3, 102)):
        engine.attach(ordinal, pid)
    assert engine.events() == [
        EngineEvent("attached", 3, 5, "", 1),
        EngineEvent("attached", 1, 5, "ptrace; ebpf: in another namespace", 1),
        EngineEvent("attached", 2, 5, "ptrace; ebpf: in another namespace", 1),
    ]
    assert loading.times == 1
    assert second.windows == [False]  # it begins in the window the first is in
    assert (engine.stops(), engine.queued_bytes()) == (20, 14)
    assert engine.counters() == {1: Counters(6, 2)}
    assert [batch.source for batch in engine.drain(9)] == [4, 6]
    engine.stop()
    engine.run()
    assert engine.ended


def test_what_both_refuse_is_told_once_with_both_causes() -> None:
    first, second = Scripted("ebpf", {100: "no"}), Scripted("ptrace", {100: "not permitted"})
    engine = Fallback(first, Loading(second), False)
    engine.attach(1, 100)
    assert engine.events() == [
        EngineEvent("attach_failed", 1, 5, "no; ptrace: not permitted"),
    ]
    engine.stop()
    engine.run()


def test_without_a_second_engine_its_cause_is_told_too_and_it_is_asked_for_once() -> None:
    loading = Loading(None, "CAP_BPF missing")
    engine = Fallback(Scripted("ptrace", {100: "taken", 101: "taken"}), loading, True)
    assert engine.shares
    engine.attach(1, 100)
    engine.attach(2, 101)
    texts = [event.text for event in engine.events()]
    assert texts == ["taken; CAP_BPF missing"] * 2
    assert loading.times == 1
    assert not engine.shares


def test_a_child_that_is_traced_already_is_no_refusal() -> None:
    loading = Loading(Scripted("ptrace", {}))
    engine = Fallback(Scripted("ebpf", {100: TRACED_ALREADY}), loading, False)
    engine.attach(1, 100)
    assert [event.text for event in engine.events()] == [TRACED_ALREADY]
    assert loading.times == 0


def test_nothing_is_loaded_while_it_ends() -> None:
    loading = Loading(Scripted("ptrace", {}))
    engine = Fallback(Scripted("ebpf", {100: "no"}), loading, False)
    engine.stop()
    engine.attach(1, 100)
    assert [event.kind for event in engine.events()] == ["attach_failed"]
    assert loading.times == 0
