"""Which way in is taken, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gatherer.inject.plan import (
    Injection,
    Refusal,
    inside,
    limit_of_all,
    may_trace,
    on_disk,
    room_beside,
    why_no_headroom,
)
from gatherer.kube.objects.models import Container, Pod
from gatherer.probe.facts import ContainerFacts, Memory, Process, WritableDir
from gatherer.probe.interpreters import Interpreter
from hg_shared.rights import Rights

PYTHON = Interpreter("/usr/bin/python3", (3, 11, 2))
OLD = Interpreter("/usr/bin/python3", (3, 6, 8))
TMP, SHM = WritableDir("/tmp", True), WritableDir("/dev/shm", False, True)
NOEXEC = WritableDir("/tmp", False)
TMPFS = WritableDir("/tmp", True, True)
ROOM = Memory(2, 256 << 20, 100 << 20, 0)
TIGHT = Memory(2, 64 << 20, 40 << 20, 8 << 20)


def seen(**changes: Any) -> ContainerFacts:
    base = ContainerFacts(
        asked="sh",
        shell="sh",
        rights=Rights(0, [], 0, False, None),
        memory=ROOM,
        places=(TMP, SHM),
        interpreters=(PYTHON,),
    )
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({}, "copy", "/usr/bin/python3 3.11.2 runs it from a file without a name in /tmp"),
        # Python needs no right to execute what it reads.
        ({"places": (NOEXEC,)}, "copy", "in /tmp"),
        ({"places": (SHM,)}, "memory", "from memory, as nothing on its disk is writable"),
        ({"places": ()}, "memory", "from memory"),
        ({"interpreters": ()}, "bundle", "it has no Python"),
        ({"interpreters": (OLD,)}, "bundle", "it has only /usr/bin/python3 3.6.8, older than 3.8"),
        ({"interpreters": (), "killed": ("/usr/bin/python3", 31)}, "bundle", "signal 31"),
        ({"interpreters": (OLD, PYTHON)}, "copy", "3.11.2"),
        ({"memory": None}, "copy", "in /tmp"),
        ({"memory": Memory(2, None, 40 << 20, 0)}, "copy", "in /tmp"),
    ],
)
def test_the_automatic_way(changes: dict[str, Any], kind: str, words: str) -> None:
    way = inside(seen(**changes))
    assert isinstance(way, Injection)
    assert way.kind == kind
    assert words in way.reason
    assert (way.python is None) == (kind == "bundle")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interpreters": (), "places": ()}, "no Python, and no writable place to run one from"),
        ({"interpreters": (), "places": (NOEXEC, SHM)}, "no writable place to run one from"),
        ({"interpreters": (), "shell": ""}, "no Python and no shell to bring one with"),
        ({"memory": TIGHT}, "only 32.0 MiB are left below its memory limit of 64.0 MiB"),
    ],
)
def test_no_way_leads_in(changes: dict[str, Any], words: str) -> None:
    way = inside(seen(**changes))
    assert isinstance(way, Refusal)
    assert words in way.cause
    assert way.lacks_headroom is ("memory" in changes)


def test_a_container_in_which_nothing_runs() -> None:
    assert inside(None) == Refusal("it has no shell and no Python that can be run")


@pytest.mark.parametrize(
    ("asked", "changes", "expected"),
    [
        ("copy", {"places": (SHM,)}, "copy"),
        ("memory", {}, "memory"),
        ("bundle", {}, "bundle"),
        ("copy", {"places": ()}, "nothing in it is writable"),
        ("copy", {"interpreters": ()}, "it has no Python"),
        ("memory", {"interpreters": ()}, "it has no Python"),
        ("bundle", {"places": (SHM,)}, "no writable place to run one from"),
    ],
)
def test_a_way_that_is_asked_for(asked: str, changes: dict[str, Any], expected: str) -> None:
    way = inside(seen(**changes), asked)
    assert expected in (way.kind if isinstance(way, Injection) else way.cause)


@pytest.mark.parametrize("asked", ["auto", "copy", "memory", "bundle"])
def test_force_overrides_the_want_of_headroom(asked: str) -> None:
    assert isinstance(inside(seen(memory=TIGHT), asked), Refusal)
    assert isinstance(inside(seen(memory=TIGHT), asked, force=True), Injection)


def test_headroom_counts_the_inactive_page_cache_as_free() -> None:
    # 100 - (60 - 8) = 48 MiB: just enough.
    assert why_no_headroom(seen(memory=Memory(1, 100 << 20, 60 << 20, 8 << 20))) == ""
    assert why_no_headroom(seen(memory=Memory(1, 100 << 20, 60 << 20, (8 << 20) - 1))) != ""
    assert why_no_headroom(seen(memory=Memory(1, 100 << 20, None, 0))) == ""


def test_a_bundle_goes_to_a_disk_before_it_goes_to_memory() -> None:
    way = inside(seen(places=(TMPFS, WritableDir("/data", True), NOEXEC), interpreters=()))
    assert isinstance(way, Injection)
    assert [place.path for place in way.places] == ["/data", "/tmp"]


def test_shared_memory_is_no_disk() -> None:
    assert on_disk(seen(places=(SHM, WritableDir("/dev/shm/x", True)))) == ()
    assert on_disk(seen(places=(SHM, WritableDir("/development", True)))) == (
        WritableDir("/development", True),
    )


def process(**changes: Any) -> Process:
    return replace(Process(1, "app", 1 << 20, {}, True), **changes)


def test_whether_the_biggest_process_may_be_traced() -> None:
    assert may_trace(seen())
    assert may_trace(seen(processes=(process(),)))
    assert not may_trace(seen(processes=(process(opens=False), process(pid=2))))
    assert not may_trace(seen(processes=(process(),), calls={"ptrace": 1}))
    assert may_trace(seen(processes=(process(),), calls={"ptrace": 3}))
    traced = process(opens=False, status={"TracerPid": "7"})
    assert may_trace(seen(processes=(traced, process(pid=2))))


def test_the_limit_of_a_pods_own_cgroup() -> None:
    limited, free = Container("a", memory_limit=10), Container("b")
    sidecar = Container("s", "init", memory_limit=7, restart_policy="Always")
    early = Container("i", "init")
    assert limit_of_all(Pod("n", "p", containers=(limited,), init_containers=(early,))) == 10
    assert limit_of_all(Pod("n", "p", containers=(limited,), init_containers=(sidecar,))) == 17
    assert limit_of_all(Pod("n", "p", containers=(limited, free))) is None
    assert limit_of_all(Pod("n", "p", containers=(limited, free), memory_limit=99)) == 99
    assert limit_of_all(Pod("n", "p")) is None


def test_the_room_for_an_ephemeral_container() -> None:
    target, other = Container("a", memory_limit=100), Container("b", memory_limit=50)
    used = Memory(2, 100, 70, 10)
    assert room_beside(Pod("n", "p", containers=(target,)), target, used) == 40
    # What others use is not known: all that they may.
    assert room_beside(Pod("n", "p", containers=(target, other)), target, used) == 40
    assert room_beside(Pod("n", "p", containers=(target,)), target, None) == 100
    assert room_beside(Pod("n", "p", containers=(target, Container("c"))), target, used) is None
    full = Memory(2, 100, 170, 0)
    assert room_beside(Pod("n", "p", containers=(target,)), target, full) == 0
