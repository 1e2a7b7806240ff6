"""CPU placement: masks are narrowed only while that helps, and come back on every way out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest

from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee

CPUS = sorted(os.sched_getaffinity(0))
KILLS = 50 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 2

pytestmark = pytest.mark.skipif(
    len(CPUS) < 2, reason="one CPU only: there is no other place to move a target from"
)


def masks(tracee: Tracee) -> list[list[int]]:
    return [sorted(os.sched_getaffinity(tid)) for tid in tracee.threads()]


def narrowed(tracee: Tracee) -> bool:
    return any(len(mask) == 1 for mask in masks(tracee))


@pytest.fixture
def busy(start: Callable[..., Tracee]) -> Tracee:
    return start(sys.executable, TARGETS / "busy.py")


def wait_narrowed(tracee: Tracee) -> None:
    # Five seconds until a program counts as settled, then a trial.
    wait_until(lambda: narrowed(tracee), "a trial of placement", 30)


def assert_as_before(tracee: Tracee) -> None:
    assert masks(tracee) == [CPUS] * len(tracee.threads())
    assert tracee.ask("fork") == ",".join(map(str, CPUS))
    assert tracee.ask("end") == "ok"


def test_masks_come_back_when_hunter_is_stopped(
    hunt_pid: Callable[..., HunterSession], busy: Tracee
) -> None:
    hunter = hunt_pid(busy.pid)
    wait_narrowed(busy)
    hunter.stop()
    assert_as_before(busy)


def test_children_of_a_narrowed_process_get_the_mask_it_had(
    hunt_pid: Callable[..., HunterSession], busy: Tracee
) -> None:
    hunter = hunt_pid(busy.pid)
    wait_narrowed(busy)
    for _ in range(20):
        assert busy.ask("fork") == ",".join(map(str, CPUS))
    hunter.stop()
    assert_as_before(busy)


def test_masks_come_back_when_hunter_is_killed(
    hunt_pid: Callable[..., HunterSession], busy: Tracee
) -> None:
    for _ in range(KILLS):
        hunter = hunt_pid(busy.pid)
        wait_narrowed(busy)
        hunter.kill()
        wait_until(lambda: not narrowed(busy), "the watchdog restores the masks")
    assert_as_before(busy)


def test_off_means_off(hunt_pid: Callable[..., HunterSession], busy: Tracee) -> None:
    hunter = hunt_pid(busy.pid, "--placement", "off")
    seen = hunter.count(0)
    hunter.wait_for(lambda: hunter.count(0) > seen + 20000, "records of a busy target")
    assert masks(busy) == [CPUS] * len(busy.threads())
    assert hunter.events("placement") == []
    hunter.stop()
    assert_as_before(busy)
