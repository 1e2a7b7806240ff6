"""--follow-forks: every child has a log from its first call to its end, with every engine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.messages import Goodbye, TracedProcess
from hg_shared.records import Kind
from hg_shared.syscalls import numbers
from tests.integration.engines import EVERY_ENGINE
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee, status_field, tracers

pytestmark = pytest.mark.usefixtures("engine")
Hunt = Callable[..., HunterSession]
Start = Callable[..., Tracee]
Compiled = Callable[[str], Path]

CLOSE = numbers(0)["close"]
WAYS = ("fork", "vfork", "clone", "clone3", "exec", "thread", "orphan", "crowd")


@pytest.fixture(params=EVERY_ENGINE)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def family(start: Start, compiled: Compiled) -> Tracee:
    return start(compiled("family"))


def births(family: Tracee, how: str, count: int) -> range:
    """Has children made; returns the numbers that they close."""
    first, last = map(int, family.ask(f"{how} {count}").split())
    return range(first, last)


def closes(hunter: HunterSession) -> dict[int, list[int]]:
    """Returns ordinals by the number that was closed."""
    found: dict[int, list[int]] = {}
    for record in hunter.records():
        if record.kind == Kind.SYSCALL and record.nr == CLOSE and record.args[0] >= 1000:
            assert record.rval == -9
            found.setdefault(record.args[0], []).append(record.process)
    return found


def assert_books_balance(hunter: HunterSession, goodbye: Goodbye) -> None:
    """What hunter says of each process is what arrived: seen = received + lost."""
    received = Counter(
        record.process for record in hunter.records() if record.kind not in (Kind.LOST, Kind.WINDOW)
    )
    totals = {entry["ordinal"]: entry for entry in goodbye.processes}
    assert {each.ordinal for each in hunter.of(TracedProcess)} == set(totals)
    for ordinal, entry in totals.items():
        assert entry["seen"] == received[ordinal] + entry["lost"], entry
        assert entry["end_reason"] in ("exited", "detached")
    assert goodbye.seen == sum(received.values()) + goodbye.lost


@pytest.mark.parametrize("how", WAYS)
def test_children_are_traced_from_their_first_call(
    hunt_pid: Hunt, family: Tracee, how: str
) -> None:
    hunter = hunt_pid(family.pid, "--follow-forks")
    expected = [*births(family, how, 10), *births(family, how, 30)]
    goodbye = hunter.stop()
    assert goodbye.lost == 0
    assert_books_balance(hunter, goodbye)
    owners = closes(hunter)
    assert sorted(owners) == expected
    assert all(len(found) == 1 for found in owners.values())
    ordinals = [found[0] for found in owners.values()]
    assert len(set(ordinals)) == len(expected)
    declared = {each.ordinal: each for each in hunter.of(TracedProcess)}
    root = hunter.ordinal(family.pid)
    assert root not in ordinals
    for ordinal in ordinals:
        child = declared[ordinal]
        assert child.parent == root if how != "orphan" else child.parent != ordinal
        records = [record for record in hunter.records() if record.process == ordinal]
        kinds = [record.kind for record in sorted(records)]
        assert Kind.ATTACHED in kinds
        [end] = [record for record in records if record.kind == Kind.EXITED]
        assert os.waitstatus_to_exitcode(end.rval) >= 0
        assert end.tid == child.pid
    attached = {event.pid for event in hunter.events("attach")}
    assert attached == {each.pid for each in declared.values()}
    assert tracers(family.pid) == {0}
    assert len(births(family, "fork", 1)) == 1


def test_a_child_is_declared_before_its_records(hunt_pid: Hunt, family: Tracee) -> None:
    hunter = hunt_pid(family.pid, "--follow-forks")
    known: set[int] = set()
    births(family, "crowd", 150)
    hunter.stop()
    # Frames came in this order: declarations among messages, records in batches.
    known = {each.ordinal for each in hunter.of(TracedProcess)}
    assert {record.process for record in hunter.records()} <= known
    assert len(known) == 1201


def test_without_it_children_are_let_go(hunt_pid: Hunt, family: Tracee) -> None:
    hunter = hunt_pid(family.pid)
    births(family, "fork", 20)
    births(family, "exec", 5)
    goodbye = hunter.stop()
    assert [each.pid for each in hunter.of(TracedProcess)] == [family.pid]
    assert closes(hunter) == {}
    assert_books_balance(hunter, goodbye)


@pytest.mark.long
def test_killed_children_and_a_hunter_that_stops_in_the_middle(
    hunt_pid: Hunt, family: Tracee
) -> None:
    for _ in range(4):
        hunter = hunt_pid(family.pid, "--follow-forks")
        births(family, "killed", 30)
        family.tell("crowd 60")
        wait_for_children(hunter, 60)
        goodbye = hunter.stop()
        assert_books_balance(hunter, goodbye)
        assert family.line()
    assert tracers(family.pid) == {0}
    assert nothing_is_stopped(family.pid)


def wait_for_children(hunter: HunterSession, count: int) -> None:
    hunter.wait_for(lambda: len(hunter.of(TracedProcess)) > count, "children")


def descendants(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                group = int((entry / "stat").read_text().rpartition(")")[2].split()[2])
            except OSError:
                continue
            if group == pid:
                found.append(int(entry.name))
    return found


def nothing_is_stopped(pid: int) -> bool:
    """Whether nobody in a process's group is stopped or traced."""
    states = []
    for each in descendants(pid):
        try:
            states.append((status_field(each, "State")[0], status_field(each, "TracerPid")))
        except (OSError, KeyError):
            continue
    return all(state not in "tT" and tracer == "0" for state, tracer in states)


@pytest.mark.long
def test_a_killed_hunter_leaves_nothing_stopped(hunt_pid: Hunt, family: Tracee) -> None:
    for _ in range(10):
        hunter = hunt_pid(family.pid, "--follow-forks")
        family.tell("crowd 40")
        wait_for_children(hunter, 20)
        hunter.kill()
        hunter.wait_ended()
        assert family.line()
        wait_until(lambda: nothing_is_stopped(family.pid), "all run untraced")
    assert len(births(family, "fork", 3)) == 3


def test_output_and_exit_code_are_those_of_an_untraced_run(hunt_pid: Hunt, start: Start) -> None:
    results = []
    for traced in (False, True):
        target = start("/bin/sh", TARGETS / "forks.sh")
        hunter = hunt_pid(target.pid, "--follow-forks") if traced else None
        target.tell("go")
        results.append(target.finish())
        if hunter is not None:
            hunter.wait_ended()
            goodbye = hunter.of(Goodbye)[0]
            assert goodbye.reason == "no_targets"
            assert_books_balance(hunter, goodbye)
            assert len(hunter.of(TracedProcess)) > 200
    assert results[0] == results[1]
    assert results[0][1] == 5


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU only: nothing is narrowed")
def test_masks_of_children_are_as_before(hunt_pid: Hunt, start: Start, engine: str) -> None:
    if engine == "ebpf":
        return  # it narrows nothing
    cpus = sorted(os.sched_getaffinity(0))
    busy = start(sys.executable, TARGETS / "busy.py")
    hunter = hunt_pid(busy.pid, "--follow-forks")

    def narrowed() -> bool:
        return any(len(os.sched_getaffinity(tid)) == 1 for tid in busy.threads())

    wait_until(narrowed, "a trial of placement", 30)
    for _ in range(20):
        assert busy.ask("fork") == ",".join(map(str, cpus))
    hunter.stop()
    assert [sorted(os.sched_getaffinity(tid)) for tid in busy.threads()] == [cpus] * len(
        busy.threads()
    )
    assert busy.ask("fork") == ",".join(map(str, cpus))
    assert busy.ask("end") == "ok"


@pytest.mark.long
def test_losses_are_accounted_for_each_process(hunt_pid: Hunt, family: Tracee) -> None:
    hunter = hunt_pid(family.pid, "--follow-forks", "--buffer", 1 << 17)
    hunter.pause_reading()
    births(family, "crowd", 250)
    hunter.resume_reading()
    goodbye = hunter.stop()
    assert goodbye.lost > 0
    assert_books_balance(hunter, goodbye)
    noted: Counter[int] = Counter()
    for record in hunter.records():
        if record.kind == Kind.LOST:
            noted[record.process] += record.args[0]
    assert noted == {
        entry["ordinal"]: entry["lost"] for entry in goodbye.processes if entry["lost"]
    }


CALL = re.compile(r"^\d+ +(?:[\d:.]+ )?(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")


def calls(text: str) -> list[str]:
    """Returns the names of the calls in a log, in order of their ends."""
    names = []
    for line in text.splitlines():
        found = CALL.match(line)
        if found and not line.endswith("<unfinished ...>"):
            names.append(found[1])
    return names


def logs_of(folder: Path, pattern: str) -> list[list[str]]:
    return sorted(calls(path.read_text()) for path in folder.glob(pattern))


def test_each_log_is_that_of_strace(
    tmp_path: Path, start: Start, compiled: Compiled, engine: str
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: there is nothing to compare with")
    orders = [f"{how} 3" for how in WAYS if how not in ("orphan", "thread")]
    program = compiled("family")
    folder = tmp_path / "strace"
    folder.mkdir()
    words = [strace, "-ff", "-o", str(folder / "log"), str(program)]
    subprocess.run(words, input="\n".join(orders).encode(), check=True, capture_output=True)
    by_strace = []
    for path in folder.iterdir():
        # strace -ff writes no pid in front.
        text = "".join(f"1 {line}\n" for line in path.read_text().splitlines())
        by_strace.append(calls(text))

    target = start(program)
    capture = GathererProcess(tmp_path / "logs", ("--pid", target.pid, "-F", "--engine", engine))
    capture.wait_for("start")
    capture.wait_for("attach")
    for order in orders:
        target.ask(order)
    target.finish()
    assert capture.finish() == (0, "")
    root = capture.output / f"family-{target.pid}.log"
    children = [path for path in capture.output.glob("*.log") if path != root]
    by_gatherer = sorted(calls(path.read_text()) for path in children)
    of_root = max(by_strace, key=lambda names: names.count("wait4"))
    by_strace.remove(of_root)
    assert by_gatherer == sorted(by_strace)
    session = capture.session()
    assert (session["complete"], session["end_reason"]) == (True, "target ended")
    for entry in session["processes"]:
        assert entry["log"] == f"family-{entry['pid']}.log"
        assert entry["end_reason"] == "exited"
        assert entry["lost"] == 0
    renamed = [path for path in children if "+++ RENAMED family to exe +++" in path.read_text()]
    assert len(renamed) == 3
    events = [event for event in capture.events() if event["event"] == "attach"]
    assert {event.get("parent") for event in events} == {None, target.pid}


def test_a_signal_for_a_child_is_in_its_log(hunt_pid: Hunt, family: Tracee) -> None:
    hunter = hunt_pid(family.pid, "--follow-forks")
    births(family, "killed", 5)
    hunter.stop()
    ends = [record.rval & 0x7F for record in hunter.records() if record.kind == Kind.EXITED]
    assert ends == [signal.SIGKILL] * 5
