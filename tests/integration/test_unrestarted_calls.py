"""Calls that a stop ends with EINTR: once at a ptrace attach, never by a pause, never with ebpf."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.records import Kind
from tests.integration.engines import EVERY_ENGINE
from tests.integration.hunter_session import HunterSession
from tests.integration.tracee import Tracee

SLEEPERS = 3
PAUSES = 3


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_pauses_end_no_call(
    engine: str,
    start: Callable[..., Tracee],
    hunt_pid: Callable[..., HunterSession],
    compiled: Callable[[str], Path],
) -> None:
    tracee = start(compiled("unrestarted"))
    share = 0.02 if engine == "ebpf" else 0.3
    hunter = hunt_pid(tracee.pid, "--engine", engine, "--max-overhead", share)
    hunter.wait_for(lambda: hunter.count(Kind.WINDOW) >= 2 * PAUSES, "pauses", 60)
    ended = int(tracee.ask("how many"))
    # signal(7): the kernel does not start these again. A thread may be about to sleep just then.
    assert ended <= (0 if engine == "ebpf" else SLEEPERS)
    on = [each for each in hunter.records() if each.kind == Kind.WINDOW and each.args[0]]
    assert len(on) >= PAUSES
    hunter.stop()
    assert tracee.finish()[1] == 0
