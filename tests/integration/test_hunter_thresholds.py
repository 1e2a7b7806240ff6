"""Which processes are chosen, and what is said about the choice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from hg_shared.messages import Hello, Sample
from hg_shared.records import Kind
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import TARGETS, Tracee, tracers

Hunt = Callable[..., HunterSession]
Start = Callable[..., Tracee]
MIB = 1 << 20
MEMORY = Path("/sys/fs/cgroup/memory")


class Cgroup:
    """A memory cgroup, version 1.

    Args:
        path: its folder.
        limit: bytes.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        path.mkdir()
        (path / "memory.limit_in_bytes").write_text(str(limit))

    def prefix(self) -> tuple[str, ...]:
        """Returns what starts a program inside of it."""
        return "/bin/sh", "-c", f'echo $$ > {self.path}/cgroup.procs; exec "$@"', "sh"

    def remove(self) -> None:
        """Removes it, when the last process in it is gone."""
        wait_until(lambda: not (self.path / "cgroup.procs").read_text(), "the cgroup is empty")
        self.path.rmdir()


@pytest.fixture
def cgroup() -> Iterator[Callable[[int], Cgroup]]:
    """Makes memory cgroups with a limit."""
    if not (MEMORY / "memory.limit_in_bytes").exists() or not os.access(MEMORY, os.W_OK):
        pytest.skip("no writable memory cgroup of version 1: limits cannot be set here")
    made: list[Cgroup] = []

    def make(limit: int) -> Cgroup:
        path = MEMORY / f"hunter-test-{os.getpid()}-{time.monotonic_ns()}"
        made.append(Cgroup(path, limit))
        return made[-1]

    yield make
    for each in made:
        each.remove()


class Pod:
    """A memory.py as PID 1 of a PID namespace of its own, as in a container.

    Hunter is brought in with nsenter, as by `kubectl exec`, and sees nobody else.

    Args:
        start: starts programs.
        size: bytes that memory.py keeps.
        prefix: what starts it, such as inside a cgroup.
    """

    def __init__(self, start: Start, size: int, prefix: Sequence[str] = ()) -> None:
        python = (sys.executable, "-I", "-S", TARGETS / "memory.py", size)
        namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        self.tracee = start(*prefix, *namespace, *python)
        (child,) = psutil.Process(self.tracee.pid).children()
        self.process = child
        self.enter = ("nsenter", "--target", str(child.pid), "--pid", "--mount")


@pytest.fixture
def at_80_mib(cgroup: Callable[[int], Cgroup], start: Start) -> Pod:
    """A process with 80 MiB of resident memory in a cgroup that is limited to 128 MiB."""
    pod = Pod(start, 72 * MIB, cgroup(128 * MIB).prefix())
    assert 78 * MIB < pod.process.memory_info().rss < 88 * MIB
    return pod


def test_a_percentage_of_the_limit_of_the_process_s_own_cgroup(at_80_mib: Pod, hunt: Hunt) -> None:
    hunter = hunt("--memory", "50%", "--frequency", "0.2", prefix=at_80_mib.enter)
    hunter.wait_attached(1)
    event = hunter.wait_event("scan", 1)
    assert event.fields["reason"] == "memory"
    assert event.fields["of"] == "limit"
    assert event.fields["of_bytes"] == 128 * MIB
    assert event.fields["threshold_bytes"] == 64 * MIB
    assert event.fields["source"].startswith(f"{MEMORY}/hunter-test-")
    assert event.fields["source"].endswith("/memory.limit_in_bytes")
    rss = at_80_mib.process.memory_info().rss
    assert abs(event.fields["rss_bytes"] - rss) < MIB
    assert event.fields["percent"] == pytest.approx(100 * rss / (128 * MIB), abs=1)
    hunter.stop()


def test_below_the_percentage_nothing_is_traced(at_80_mib: Pod, hunt: Hunt) -> None:
    hunter = hunt("--memory", "80%", "--frequency", "0.1", prefix=at_80_mib.enter)

    def scans() -> int:
        return sum(sample.pid is None for sample in hunter.of(Sample))

    hunter.wait_for(lambda: scans() >= 4, "four scans")
    assert hunter.events("scan") == []
    assert tracers(at_80_mib.process.pid) == {0}
    assert at_80_mib.tracee.ask(f"grow {30 * MIB}") == "grown"
    hunter.wait_attached(1)
    assert hunter.events("scan")[0].fields["percent"] > 80
    goodbye = hunter.stop()
    assert [each["end_reason"] for each in goodbye.processes] == ["detached"]


def test_a_size(at_80_mib: Pod, hunt: Hunt) -> None:
    hunter = hunt("--memory", 75 * MIB, "--frequency", "0.2", prefix=at_80_mib.enter)
    hunter.wait_attached(1)
    fields = hunter.events("scan")[0].fields
    assert (fields["reason"], fields["threshold_bytes"]) == ("memory", 75 * MIB)
    samples = hunter.wait_for(
        lambda: [s for s in hunter.of(Sample) if s.pid == 1], "memory samples"
    )
    oracle = at_80_mib.process.memory_full_info()
    values = samples[0].values
    assert values["rss_bytes"] == pytest.approx(oracle.rss, abs=2 * MIB)
    assert values["pss_bytes"] == pytest.approx(oracle.pss, abs=2 * MIB)
    assert values["anon_bytes"] > 72 * MIB
    hunter.stop()


def test_percent_of_the_node(at_80_mib: Pod, hunt: Hunt) -> None:
    total = psutil.virtual_memory().total
    percent = f"{100 * 70 * MIB / total:.5f}%"
    hunter = hunt("--memory", percent, "--of", "node", "--frequency", "0.2", prefix=at_80_mib.enter)
    hunter.wait_attached(1)
    fields = hunter.events("scan")[0].fields
    assert (fields["of"], fields["of_bytes"]) == ("node", total)
    assert fields["source"] == "/proc/meminfo MemTotal"
    hunter.stop()


def test_growth(start: Start, hunt: Hunt) -> None:
    pod = Pod(start, MIB)
    hunter = hunt("--growth", 20 * MIB, "--frequency", "0.2", prefix=pod.enter)

    def scans() -> int:
        return sum(sample.pid is None for sample in hunter.of(Sample))

    hunter.wait_for(lambda: scans() >= 3, "three scans")
    assert hunter.events("scan") == []
    assert pod.tracee.ask(f"grow {40 * MIB}") == "grown"
    hunter.wait_attached(1)
    fields = hunter.events("scan")[0].fields
    assert fields["reason"] == "growth"
    assert fields["growth_bytes_per_second"] > 20 * MIB
    hunter.stop()


def test_a_process_that_has_a_tracer_is_left_alone_and_the_tracer_named(
    start: Start, hunt: Hunt
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: there is no other tracer")
    tracee = start(sys.executable, "-I", "-S", TARGETS / "memory.py", MIB)
    other = subprocess.Popen(
        [strace, "-f", "-o", "/dev/null", "-p", str(tracee.pid)], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: tracers(tracee.pid) == {other.pid}, "strace traces it")
        hunter = hunt("--only-pids", "--pid", tracee.pid, "--frequency", "0.1")
        event = hunter.wait_event("attach_failed", tracee.pid)
        assert event.fields["denied"] is True
        assert re.fullmatch(
            rf"already traced by strace \(pid {other.pid}, uid 0, started \S+Z\);"
            " it is traced here when that one lets it go",
            event.fields["cause"],
        )
        assert hunter.events("attach") == []
        hunter.wait_for(lambda: hunter.events("smaps"), "its largest mappings")
        hunter.wait_for(lambda: [s for s in hunter.of(Sample) if s.pid == tracee.pid], "a sample")
        assert len(hunter.events("attach_failed")) == 1
    finally:
        other.terminate()
        other.wait(10)
    hunter.wait_attached(tracee.pid)
    hunter.stop()


def test_hunter_and_what_started_it_are_never_traced(hunt: Hunt) -> None:
    hunter = hunt("--only-pids", "--pid", os.getpid(), "--pid", os.getppid(), "--frequency", "0.1")
    for pid in (os.getpid(), os.getppid()):
        event = hunter.wait_event("scan", pid)
        assert event.fields["excluded"].startswith("hunter itself")
    goodbye = hunter.stop()
    assert goodbye.processes == []


def test_zombies_and_kernel_threads_are_not_traced(hunt: Hunt) -> None:
    child = subprocess.Popen(["/bin/true"])
    wait_until(lambda: psutil.Process(child.pid).status() == "zombie", "a zombie")
    kernel = [p.pid for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == 2][:1]
    pids = [word for pid in (child.pid, *kernel) for word in ("--pid", pid)]
    hunter = hunt("--only-pids", *pids, "--frequency", "0.1")
    assert hunter.wait_event("scan", child.pid).fields["excluded"] == "zombie"
    for pid in kernel:
        assert hunter.wait_event("scan", pid).fields["excluded"] == "kernel thread"
    hunter.stop()
    child.wait()


def test_a_process_that_does_not_exist_is_one_line_and_exit_code_3(hunt: Hunt) -> None:
    hunter = hunt("--only-pids", "--pid", 4_000_000)
    assert hunter.wait_ended() == 3
    line = hunter.errors()
    assert line.startswith("hunter: error: no process 4000000 in the container; there are ")
    assert line.count("\n") == 1
    assert re.search(r" \d+ \([^)]+\), ", line)
    assert hunter.of(Hello) == []


def test_without_headroom_hunter_refuses_and_names_both_figures(
    cgroup: Callable[[int], Cgroup], start: Start, hunt: Hunt
) -> None:
    group = cgroup(80 * MIB)
    tracee = start(*group.prefix(), sys.executable, "-I", "-S", TARGETS / "memory.py", 40 * MIB)
    options = ("--only-pids", "--pid", tracee.pid, "--frequency", "0.2")
    refused = hunt(*options, prefix=group.prefix())
    assert refused.wait_ended() == 3
    line = refused.errors()
    assert line.count("\n") == 1
    assert "memory limit of 80 MiB" in line
    assert "48 MiB are asked for" in line
    assert "--force" in line
    left = int(line.split("only ")[1].split(" MiB")[0])
    assert 20 <= left <= 40
    assert refused.of(Hello) == []
    forced = hunt(*options, "--force", prefix=group.prefix())
    forced.wait_attached(tracee.pid)
    hello = forced.of(Hello)[0]
    assert hello.memory_limit_bytes == 80 * MIB
    assert 40 * MIB < (hello.memory_usage_bytes or 0) < 80 * MIB
    assert hello.memory_source == f"{group.path}/memory.limit_in_bytes"
    goodbye = forced.stop()
    assert goodbye.peak_pss_bytes < 32 * MIB


def test_the_end_by_the_oom_killer_is_told(
    cgroup: Callable[[int], Cgroup], start: Start, hunt_pid: Hunt
) -> None:
    group = cgroup(100 * MIB)
    (group.path / "memory.memsw.limit_in_bytes").write_text(str(100 * MIB))
    tracee = start(*group.prefix(), sys.executable, "-I", "-S", TARGETS / "memory.py", MIB)
    hunter = hunt_pid(tracee.pid, prefix=group.prefix())
    tracee.tell(f"grow {120 * MIB}")
    assert tracee.process.wait(20) == -9
    assert hunter.wait_event("exit", tracee.pid).fields == {
        "signal": "SIGKILL",
        "oom": True,
    }
    hunter.wait_ended()
    assert {r.rval for r in hunter.records() if r.kind == Kind.EXITED} == {9}


def test_an_oom_kill_in_a_cgroup_that_is_not_hunter_s(
    cgroup: Callable[[int], Cgroup], start: Start, hunt_pid: Hunt
) -> None:
    group = cgroup(100 * MIB)
    (group.path / "memory.memsw.limit_in_bytes").write_text(str(100 * MIB))
    tracee = start(*group.prefix(), sys.executable, "-I", "-S", TARGETS / "memory.py", MIB)
    hunter = hunt_pid(tracee.pid)
    hello = hunter.wait_hello()
    assert (hello.memory_limit_bytes, hello.memory_source) == (
        100 * MIB, f"{group.path}/memory.limit_in_bytes",
    )  # fmt: skip
    tracee.tell(f"grow {120 * MIB}")
    assert tracee.process.wait(20) == -9
    told = hunter.wait_event("exit", tracee.pid).fields
    assert told == {"signal": "SIGKILL", "oom": True}
    assert hunter.wait_event("oom").fields == {"kills": 1}
    hunter.wait_ended()
    container = [sample.values for sample in hunter.of(Sample) if sample.pid is None]
    assert {values["limit_bytes"] for values in container} == {100 * MIB}
    assert (container[0]["oom_kills"], container[-1]["oom_kills"]) == (0, 1)
    assert {values["hunter_bytes"] for values in container} == {0}


def test_a_sigkill_is_no_oom_kill(
    cgroup: Callable[[int], Cgroup], start: Start, hunt_pid: Hunt
) -> None:
    group = cgroup(100 * MIB)
    tracee = start(*group.prefix(), sys.executable, "-I", "-S", TARGETS / "memory.py", MIB)
    hunter = hunt_pid(tracee.pid)
    tracee.process.kill()
    told = hunter.wait_event("exit", tracee.pid).fields
    assert told == {"signal": "SIGKILL", "oom": False}
    hunter.wait_ended()


@pytest.mark.parametrize("visible", [True, False])
def test_the_limit_of_a_parent_cgroup_is_found_and_named(
    cgroup: Callable[[int], Cgroup], start: Start, hunt: Hunt, visible: bool
) -> None:
    """Visible here, or outside of what is mounted, as a pod's is for its containers."""
    # Hunter, which asks for 48 MiB below the limit, is in it too.
    parent = cgroup(160 * MIB)
    child = Cgroup(parent.path / "child", 1 << 62)
    inside = f'mount --bind {child.path} {MEMORY}; exec "$@"'
    prefix = child.prefix() if visible else ("unshare", "--mount", "/bin/sh", "-c", inside, "sh")
    tracee = start(*child.prefix(), sys.executable, "-I", "-S", TARGETS / "memory.py", 84 * MIB)
    hunter = hunt(
        "--memory", "50%", "--pid", tracee.pid, "--only-pids", "--frequency", "0.2", prefix=prefix
    )
    event = hunter.wait_event("scan", tracee.pid)
    hunter.stop()
    tracee.finish()
    child.remove()
    assert (event.fields["of"], event.fields["of_bytes"]) == ("limit", 160 * MIB)
    if visible:
        wanted = f"{parent.path}/memory.limit_in_bytes of a parent cgroup"
    else:
        wanted = (
            f"{MEMORY}/memory.stat hierarchical_memory_limit of a parent cgroup not visible here"
        )
    assert event.fields["source"] == wanted


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder for every user; nobody but root may look into what pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.parametrize("how", ["noaccess", "invisible"])
def test_processes_that_hidepid_hides_are_said(hunt: Hunt, how: str, readable: Path) -> None:
    inside = (
        f"mount -t proc -o hidepid={how} proc /proc; sleep 100 & "
        'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"'
    )
    prefix = (
        "unshare",
        "--pid",
        "--fork",
        "--mount",
        "--kill-child",
        "/bin/sh",
        "-c",
        inside,
        "sh",
    )
    copied = readable / "hunter.pyz"
    subprocess.run(
        [sys.executable, Path(__file__).resolve().parents[2] / "build" / "make_zipapp.py", copied],
        check=True, capture_output=True,
    )  # fmt: skip
    hunter = hunt("--memory", MIB, "--frequency", "0.2", prefix=prefix, pyz=copied)
    event = hunter.wait_event("hidden")
    assert f"hidepid={how}" in event.fields["cause"]
    hunter.stop()
