"""Memory of real processes: what sampling costs them, and processes whose leader has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hg_shared.messages import FdTable, Sample, TracedProcess
from hg_shared.records import Kind
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee, tracers

Hunt = Callable[..., HunterSession]
Start = Callable[..., Tracee]
Compiled = Callable[[str], Path]
MIB = 1 << 20
BLOCKED_US = 5000
ENGINES = ("ebpf", "ptrace", "ptrace-python")


def samples(session: HunterSession, pid: int) -> list[dict[str, int | None]]:
    return [sample.values for sample in session.of(Sample) if sample.pid == pid]


def blocked(answer: str) -> tuple[int, int, int]:
    """Returns calls, and the microseconds they were blocked for: at p99.9 and at most."""
    count, _, _, most_of_them, longest = map(int, answer.split())
    return count, most_of_them, longest


@pytest.mark.long
def test_a_large_process_is_not_held_up_while_it_is_sampled(
    hunt: Hunt, start: Start, compiled: Compiled
) -> None:
    target = start(compiled("mapper"), 4096)
    rollup = Path(f"/proc/{target.pid}/smaps_rollup")
    assert target.ask("300") == "mapping"
    rollup.read_bytes()
    longest = blocked(target.line())[2]
    assert longest > 2 * BLOCKED_US, "a walk of its page tables is what holds it up"
    session = hunt("--memory", "1073741824", "--frequency", "0.1", "--engine", "ebpf")
    session.wait_attached(target.pid)
    assert target.ask("3000") == "mapping"
    count, most_of_them, longest = blocked(target.line())
    goodbye = session.stop()
    assert count > 1000
    assert most_of_them < BLOCKED_US
    assert longest < 2 * BLOCKED_US
    found = samples(session, target.pid)
    assert len(found) > 10
    for values in found:
        assert values["pss_bytes"] is None
        assert 4096 * MIB <= values["anon_bytes"] <= values["rss_bytes"] < 4200 * MIB
        assert values["swap_bytes"] == 0
    [process] = [
        each for each in goodbye.processes if each["ordinal"] == session.ordinal(target.pid)
    ]
    assert 0 < process["held_ns"] < 0.01 * 3e9


@pytest.mark.parametrize("engine_name", ["ebpf", "ptrace"])
@pytest.mark.long
def test_a_small_process_is_walked_within_one_percent_of_the_time(
    hunt: Hunt, start: Start, compiled: Compiled, engine_name: str
) -> None:
    target = start(compiled("mapper"), 60)
    session = hunt(
        "--only-pids", "--pid", target.pid, "--frequency", "0.05", "--engine", engine_name
    )
    session.wait_attached(target.pid)
    assert target.ask("2000") == "mapping"
    target.line()
    goodbye = session.stop()
    found = samples(session, target.pid)
    known = [values["pss_bytes"] for values in found if values["pss_bytes"] is not None]
    # The first has it; then it is read as often as its price allows, which a busy machine raises.
    assert found[0]["pss_bytes"] is not None
    assert 1 <= len(known) < len(found)
    assert all(60 * MIB <= pss < 70 * MIB for pss in known)
    [process] = goodbye.processes
    # One read may have taken longer than the ones before it.
    assert 0 < process["held_ns"] < 0.01 * 2.5e9 + 25_000_000


def test_it_is_sampled_at_attach_and_at_the_end_however_long_the_scans_are_apart(
    hunt: Hunt, start: Start, compiled: Compiled
) -> None:
    target = start(compiled("mapper"), 20)
    session = hunt("--only-pids", "--pid", target.pid, "--frequency", "3600")
    session.wait_attached(target.pid)
    session.wait_for(lambda: samples(session, target.pid), "the sample at the attach")
    session.stop()
    found = samples(session, target.pid)
    assert len(found) == 2
    assert all(20 * MIB <= values["pss_bytes"] <= values["rss_bytes"] for values in found)


# A process whose leader has ended.


@pytest.fixture
def headless(start: Start, compiled: Compiled) -> Tracee:
    """A process of 200 MiB without its first thread."""
    target = start(compiled("dead_leader"), 200)
    wait_until(lambda: target.state() == "Z", "the leader has ended")
    return target


@pytest.mark.parametrize(
    ("engine_name", "how"),
    [*((name, "size") for name in ENGINES), ("ebpf", "pid"), ("ptrace", "growth")],
)
def test_a_process_without_its_leader_is_found_traced_and_sampled(
    hunt: Hunt, headless: Tracee, engine_name: str, how: str
) -> None:
    options = {
        "size": ["--memory", 190 * MIB],
        "pid": ["--only-pids", "--pid", headless.pid],
        "growth": ["--memory", 190 * MIB, "--growth", "1"],
    }[how]
    session = hunt(*options, "--frequency", "0.2", "--engine", engine_name, "--decode-fds")
    session.wait_attached(headless.pid)
    headless.ask("20")
    wait_until(lambda: len(samples(session, headless.pid)) > 2, "samples")
    goodbye = session.stop()
    ordinal = session.ordinal(headless.pid)
    calls = [r for r in session.records() if r.kind == Kind.SYSCALL and b"/absent-" in r.captures]
    assert [call.process for call in calls] == [ordinal] * 20
    for values in samples(session, headless.pid):
        assert values["rss_bytes"] > 200 * MIB
        assert values["anon_bytes"] > 200 * MIB
    assert samples(session, headless.pid)[0]["pss_bytes"] > 200 * MIB
    [declared] = [each for each in session.of(TracedProcess) if each.pid == headless.pid]
    assert declared.command == "dead_leader"
    assert declared.cmdline[1:] == ["200"]
    [table, *_] = [each for each in session.of(FdTable) if each.process == ordinal]
    assert table.entries["cwd"] == str(Path.cwd())
    assert table.entries["0"].startswith("pipe:")
    [process] = [each for each in goodbye.processes if each["ordinal"] == ordinal]
    assert process["end_reason"] == "detached"
    assert session.events("attach_failed") == []
    assert tracers(headless.pid) == {0}


@pytest.mark.parametrize("engine_name", ENGINES)
def test_a_leader_that_ends_while_it_is_traced_does_not_end_the_process(
    hunt: Hunt, start: Start, compiled: Compiled, engine_name: str
) -> None:
    target = start(compiled("dead_leader"), 20, "later")
    session = hunt(
        "--only-pids", "--pid", target.pid, "--frequency", "0.1", "--engine", engine_name
    )
    session.wait_attached(target.pid)
    assert target.ask("") == "ready"
    before = len(samples(session, target.pid))
    target.ask("20")
    wait_until(lambda: len(samples(session, target.pid)) > before + 5, "samples")
    assert samples(session, target.pid)[-1]["rss_bytes"] > 20 * MIB
    goodbye = session.stop()
    calls = [r for r in session.records() if r.kind == Kind.SYSCALL and b"/absent-" in r.captures]
    assert len(calls) == 20
    assert [process["end_reason"] for process in goodbye.processes] == ["detached"]
    assert tracers(target.pid) == {0}
    assert target.ask("1") == "done 21"


@pytest.mark.parametrize("engine_name", ENGINES)
@pytest.mark.parametrize("verb", ["exit", "exec"])
def test_the_end_and_a_new_program_of_a_process_without_its_leader(
    hunt: Hunt, start: Start, compiled: Compiled, engine_name: str, verb: str
) -> None:
    target = start(compiled("dead_leader"), 20)
    session = hunt(
        "--only-pids", "--pid", target.pid, "--frequency", "0.1", "--engine", engine_name
    )
    session.wait_attached(target.pid)
    if verb == "exec":
        assert target.ask("exec") == "ready"
        session.wait_event("exec", target.pid)
        target.ask("5")
    target.tell("exit")
    assert session.wait_ended() == 0
    [event] = session.events("exit")
    assert (event.pid, event.fields) == (target.pid, {"code": 3})
    made = [r for r in session.records() if r.kind == Kind.SYSCALL and b"/absent-" in r.captures]
    assert len(made) == (5 if verb == "exec" else 0)
