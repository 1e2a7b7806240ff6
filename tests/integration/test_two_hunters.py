"""Two hunters in one container, as of two people who look at it: each pair of engines."""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hg_shared import mark
from hg_shared.messages import Sample, TracedProcess
from hg_shared.records import Kind
from hunter.recognition import OURS
from tests.integration.engines import EVERY_ENGINE
from tests.integration.hunter_session import HunterSession
from tests.integration.tracee import TARGETS, Tracee, status_field

Hunt = Callable[..., HunterSession]
SECONDS = 20.0 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 2.0
STANDSTILL = 2.0
"""Seconds that the counter may not move, whatever two hunters do."""
EVERYTHING = ("--memory", 1, "--frequency", "0.2")


class Pulse:
    """Watches a counter in shared memory for the longest time it stood still.

    Args:
        memory: where it is.
    """

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._end = threading.Event()
        self.longest = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before, since = b"", time.monotonic()
        while not self._end.wait(0.02):
            now, count = time.monotonic(), self._memory[:]
            if count != before:
                before, since = count, now
            self.longest = max(self.longest, now - since)

    def stop(self) -> float:
        """Ends it and returns seconds."""
        self._end.set()
        self._thread.join()
        return self.longest


class Container:
    """A PID namespace whose first process counts.

    Args:
        start: starts programs.
        file: where it counts.
    """

    def __init__(self, start: Callable[..., Tracee], file: Path) -> None:
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self.memory = mmap.mmap(opened.fileno(), 8)
        namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        self.tracee = start(*namespace, sys.executable, "-I", "-S", TARGETS / "ticking.py", file)
        (self.process,) = psutil.Process(self.tracee.pid).children()
        self.enter = ("nsenter", "--target", str(self.process.pid), "--pid", "--mount")


@pytest.fixture
def container(start: Callable[..., Tracee], tmp_path: Path) -> Container:
    return Container(start, tmp_path / "count")


def own_pids(hunters: list[HunterSession]) -> set[int]:
    """Returns the pids of hunters, their watchdogs and what else they made, in their namespace."""
    pids = set()
    for process in psutil.process_iter():
        try:
            if mark.is_marked(status_field(process.pid, "SigIgn")):
                pids.add(int(status_field(process.pid, "NSpid").split()[-1]))
        except (OSError, KeyError):
            continue
    assert len(pids) >= len(hunters)
    return pids


@pytest.mark.parametrize("second", EVERY_ENGINE)
@pytest.mark.parametrize("first", EVERY_ENGINE)
def test_neither_holds_the_target_or_the_other(
    first: str, second: str, container: Container, hunt: Hunt
) -> None:
    pulse = Pulse(container.memory)
    options = (*EVERYTHING, "--owner")
    one = hunt("--engine", first, *options, "ann@one", prefix=container.enter)
    one.wait_attached(1)
    two = hunt("--engine", second, *options, "bob@two", prefix=container.enter)
    both_may = "ebpf" in (first, second)
    if both_may:
        two.wait_attached(1)
    else:
        refusal = two.wait_event("attach_failed", 1).fields
        tracer = int(status_field(container.process.pid, "TracerPid"))
        pid = int(status_field(tracer, "NSpid").split()[-1])
        assert refusal["denied"] is True
        assert refusal["cause"].startswith(
            f"already traced by the hunter of ann@one (pid {pid}, uid 0, started 2"
        )
        two.wait_for(lambda: two.events("smaps"), "the mappings of what it may not trace")
        two.wait_for(lambda: [s for s in two.of(Sample) if s.pid == 1], "samples of it")
    end = time.monotonic() + SECONDS
    # Each has looked at the other's processes by then.
    for hunter in (one, two):
        hunter.wait_for(
            lambda hunter=hunter: [
                event for event in hunter.events("scan") if event.fields.get("excluded") == OURS
            ],
            "it knows the other hunter",
        )
    ours = own_pids([one, two])
    time.sleep(max(0.0, end - time.monotonic()))
    one.stop()
    two.wait_attached(1)
    two.wait_record(lambda r: r.kind == Kind.SYSCALL, "a call of the target")
    two.stop()
    assert pulse.stop() < STANDSTILL
    for hunter in (one, two):
        assert {event.pid for event in hunter.events("attach")} == {1}
        assert {process.pid for process in hunter.of(TracedProcess)} == {1}
        assert {record.tid for record in hunter.records()}.isdisjoint(ours)
        assert hunter.of(TracedProcess)[0].command != "hunter"
    assert container.process.is_running()
