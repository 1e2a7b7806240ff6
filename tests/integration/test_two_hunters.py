"""Two hunters in one container, as of two people who look at it: each pair of engines."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from hg_shared import mark
from hg_shared.messages import Sample, TracedProcess
from hg_shared.records import Kind
from hunter.scan.recognition import OURS
from tests.integration.engines import EVERY_ENGINE, REFUSED
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee, status_field, tracers
from tests.pulse import Pulse

Hunt = Callable[..., HunterSession]
SECONDS = 20.0 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 2.0
STANDSTILL = 2.0
"""Seconds that the counter may not move, whatever two hunters do."""
EVERYTHING = ("--memory", 1, "--frequency", "0.2")


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


EBPF = pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}")


def taken_by(hunter: HunterSession, pid: int) -> tuple[str, str]:
    """Returns the engine that has a process and why, as its attach event says; empty for none."""
    fields = hunter.wait_event("attach", pid).fields
    return str(fields.get("engine", "")), str(fields.get("reason", ""))


@EBPF
def test_auto_takes_ebpf_for_what_another_traces_with_ptrace(
    container: Container, hunt: Hunt
) -> None:
    # The lock of the one hunter of this node that traces with ebpf is held by this test, or by
    # another one.
    with open("/proc/self/ns/time") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        one = hunt("--engine", "ptrace", *EVERYTHING, prefix=container.enter)
        one.wait_attached(1)
        two = hunt("--engine", "auto", *EVERYTHING, prefix=container.enter)
        assert two.wait_hello().engine == "ptrace"
        engine, reason = taken_by(two, 1)
        assert engine == "ebpf"
        assert reason.startswith("ptrace: PTRACE_SEIZE")
        two.wait_record(lambda record: record.kind == Kind.SYSCALL, "a call")
        goodbye = two.stop()
        assert goodbye.seen == len([r for r in two.records() if r.kind != Kind.LOST])
        assert goodbye.lost == 0
        assert two.events("attach_failed") == []
        one.stop()


@EBPF
@pytest.mark.parametrize("engine", ["auto", "ebpf"])
def test_a_process_in_a_namespace_inside_hunters(
    engine: str, container: Container, start: Callable[..., Tracee], hunt: Hunt, tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "-T", "true"], capture_output=True).returncode:
        pytest.skip("no time namespaces here: another hunter may have the lock")
    file = tmp_path / "inner"
    file.write_bytes(bytes(8))
    inside = (*container.enter, "unshare", "--pid", "--fork", "--kill-child")
    nested = start(*inside, sys.executable, "-I", "-S", TARGETS / "ticking.py", file)
    inner = psutil.Process(nested.pid).children(recursive=True)[-1].pid
    pid = int(status_field(inner, "NSpid").split()[-2])
    hunter = hunt(
        *("--engine", engine, "--only-pids", "--pid", 1, "--pid", pid, "--frequency", "0.2"),
        prefix=("unshare", "-T", "--", *container.enter),
    )
    assert hunter.wait_hello().engine == "ebpf"
    assert taken_by(hunter, 1) == ("", "")
    cause = "it is in a PID namespace inside hunter's"
    if engine == "ebpf":
        refused = hunter.wait_event("attach_failed", pid).fields
        assert refused["denied"] is True
        assert refused["cause"].startswith(cause)
        hunter.wait_for(lambda: [s for s in hunter.of(Sample) if s.pid == pid], "its samples")
    else:
        taken, reason = taken_by(hunter, pid)
        assert (taken, reason.startswith(f"ebpf: {cause}")) == ("ptrace", True)
    tids = {1} if engine == "ebpf" else {1, pid}
    hunter.wait_for(
        lambda: {r.tid for r in hunter.records() if r.kind == Kind.SYSCALL} >= tids, "both"
    )
    goodbye = hunter.stop()
    assert goodbye.seen == len([r for r in hunter.records() if r.kind != Kind.LOST])
    assert goodbye.lost == 0


LATE = """\
import sys, time, os
print("ready", flush=True)
for line in sys.stdin:
    if line.startswith("mark"):
        exec(open(sys.argv[1]).read())
    elif line.startswith("child") and os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", sys.argv[2], sys.argv[1]])
    print("done", flush=True)
"""
CHILD = """\
import sys, time
exec(open(sys.argv[1]).read())
time.sleep(60)
"""


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_what_turns_out_to_be_ours_is_let_go_at_once(
    engine: str, start: Callable[..., Tracee], hunt: Hunt, tmp_path: Path
) -> None:
    lines = tmp_path / "mark.py"
    lines.write_text(mark.PYTHON)
    target = start(sys.executable, "-I", "-S", "-c", LATE, lines, CHILD)
    hunter = hunt(
        "--engine", engine, "--only-pids", "--pid", target.pid, "--frequency", "0.2",
        "--follow-forks",
    )  # fmt: skip
    hunter.wait_attached(target.pid)
    assert target.ask("child") == "done"
    child = hunter.wait_for(
        lambda: [event.pid for event in hunter.events("attach") if event.pid != target.pid],
        "the child is followed",
    )[0]
    assert hunter.wait_event("detach", child).fields["cause"] == OURS
    assert hunter.events("detach")[0].pid == child  # the program itself is traced on
    psutil.Process(child).kill()
    assert target.ask("mark") == "done"
    assert hunter.wait_event("detach", target.pid).fields["cause"] == OURS
    wait_until(lambda: tracers(target.pid) == {0}, "it is let go")
    assert hunter.wait_event("scan", target.pid)
    hunter.stop()


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_another_hunter_cannot_be_traced_by_its_pid(engine: str, hunt: Hunt) -> None:
    other = hunt("--only-pids", "--pid", os.getpid())
    other.wait_hello()
    hunter = hunt("--engine", engine, "--only-pids", "--pid", other.process.pid)
    assert hunter.wait_ended() == 3
    assert hunter.errors() == (
        f"hunter: error: process {other.process.pid}: {OURS};"
        " name the program that is to be traced\n"
    )
    assert tracers(other.process.pid) == {0}


def test_a_program_of_ours_that_comes_from_outside_is_never_attached(
    container: Container, hunt: Hunt, tmp_path: Path
) -> None:
    """As a bootstrap by exec: unmarked at first, and where there is no CPU for rather long."""
    hunter = hunt(*EVERYTHING, "--engine", "ptrace", prefix=container.enter)
    hunter.wait_attached(1)
    slow = f"import time\ntime.sleep(1)\n{mark.PYTHON}\ntime.sleep(60)"
    quick = f"{mark.PYTHON}\nimport time\ntime.sleep(60)"
    started = [
        subprocess.Popen([*container.enter, sys.executable, "-I", "-S", "-c", text])
        for text in (slow, quick, quick)
    ]
    try:
        hunter.wait_for(
            lambda: (
                len([e for e in hunter.events("scan") if e.fields.get("excluded") == OURS]) >= 3
            ),
            "all three are known",
        )
        assert {event.pid for event in hunter.events("attach")} == {1}
        hunter.stop()
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_local_capture_of_everything_traces_nothing_of_its_own(
    container: Container, tmp_path: Path
) -> None:
    capture = GathererProcess(
        tmp_path / "logs", ("-m", "3Mi", "--engine", "ptrace"), prefix=container.enter
    )
    try:
        capture.wait_for("attach")
        # Some scans, at which all processes of the capture are there and over the threshold.
        path = capture.output / "memory.jsonl"
        wait_until(lambda: path.read_text().count('"container"') >= 8, "eight samples")
        inside = psutil.Process(capture.process.pid).children(recursive=True)
        assert len(inside) >= 3  # gatherer, hunter and the renderer
        assert all(tracers(process.pid) == {0} for process in inside)
        for process in inside:
            if "gatherer" in process.cmdline():
                process.send_signal(signal.SIGINT)
        assert capture.finish()[0] == 0
        assert [entry["pid"] for entry in capture.session()["processes"]] == [1]
    finally:
        capture.close()
