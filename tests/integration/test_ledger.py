"""What is recorded, against the ledger that a program keeps of its own calls, with every engine.

From the told attach to the told end each call is there once, in order, with the times at which it
was made, or counted as lost: threads that are born meanwhile, calls in which threads sleep at the
attach, calls of the same number again, pauses that keep to a budget, records that are dropped.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans, integers, sampled_from

from hg_shared.messages import Goodbye, TracedProcess
from hg_shared.records import Abi, Kind
from hunter.engines.choose import ENGINES
from tests.integration.engines import EVERY_ENGINE, REFUSED
from tests.integration.hunter_session import HunterSession
from tests.integration.ledger import Judgement, judge, parse, periods
from tests.integration.tracee import Tracee

Start = Callable[..., Tracee]
Hunt = Callable[..., HunterSession]
Compiled = Callable[[str], Path]

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="numbers of calls in the ledger are x86_64's"
)
CALLS = "lseek,futex"
AHEAD = 86_400
"""Seconds that hunter's clock is ahead of the target's in a time namespace."""
USABLE = [each for each in ENGINES if each != "auto" and not (each == "ebpf" and REFUSED)]
SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
RECORDS = 40_000 if SOAK else 4_000
ROUNDS = 12 if SOAK else 3


def keep_ledger(
    start: Start,
    hunt: Hunt,
    compiled: Compiled,
    book: Path,
    engine: str,
    shape: Sequence[object],
    options: Sequence[object] = (),
    enough: Callable[[HunterSession], bool] = lambda hunter: hunter.count(Kind.SYSCALL) > RECORDS,
    prefix: Sequence[object] = (),
    ahead: int = 0,
) -> tuple[Judgement, HunterSession]:
    """Traces a ledger until there is enough of it, and judges the records.

    Args:
        start: starts a program.
        hunt: starts hunter.
        compiled: compiles a program.
        book: where the ledger is kept.
        engine: of hunter.
        shape: arguments of the program behind the file.
        options: more of hunter's.
        enough: tells when there is.
        prefix: what runs hunter.
        ahead: ns that hunter's clock is ahead of the program's.
    """
    tracee = start(compiled("ledger"), book, *shape)
    hunter = hunt(
        "--engine", engine, "--only-pids", "--pid", tracee.pid, "--frequency", "0.2",
        "--trace", CALLS, *options, prefix=prefix,
    )  # fmt: skip
    hunter.wait_attached(tracee.pid)
    tracee.tell("go")
    hunter.wait_for(lambda: enough(hunter), "enough of the ledger", 60)
    hunter.stop()
    threads = set(tracee.threads())
    tracee.ask("end")
    tracee.tell("exit")
    assert tracee.finish()[1] == 4
    attach = hunter.events("attach")[0].time_ns
    [detach] = [event for event in hunter.events("detach") if event.pid == tracee.pid]
    entries = parse(book.read_bytes(), ahead)
    if "--follow-forks" in options:
        # One child at a time: that of the attach is none of ours, also if it calls only afterwards.
        declared = threads | {each.pid for each in hunter.of(TracedProcess)}
        met = {each.tid for each in entries.values() if attach <= each.before < detach.time_ns}
        assert len(met - declared) <= 1
        entries = {at: entry for at, entry in entries.items() if entry.tid in declared}
    records = hunter.records()
    own = hunter.ordinal(tracee.pid)
    when = periods(attach, detach.time_ns, [each for each in records if each.process == own])
    return judge(entries, records, when, Abi.X86_64), hunter


SHAPES = {
    "threads": ((3, 20), ()),
    "births": ((1, 20, "births"), ()),
    "forks": ((1, 20, "forks"), ("--follow-forks",)),
    "execs": ((1, 20, "execs"), ("--follow-forks",)),
    "one CPU": ((2, 20), ("--placement", "off")),
}


@pytest.mark.parametrize("engine", EVERY_ENGINE)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_call_from_the_told_attach_to_the_told_end_is_there_once(
    engine: str, shape: str, start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    program, options = SHAPES[shape]
    judged, hunter = keep_ledger(start, hunt, compiled, tmp_path / "book", engine, program, options)
    assert judged.faults == []
    assert judged.missing == 0
    assert judged.recorded > RECORDS // 4
    assert hunter.decoder.errors == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="several tracers need 2 CPUs")
def test_the_same_holds_for_several_tracers(
    start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    judged, hunter = keep_ledger(start, hunt, compiled, tmp_path / "book", "ptrace", (4, 2, "busy"))
    assert {batch.source for batch in hunter.batches} > {0}
    assert judged.faults == []
    assert judged.missing == 0


@pytest.mark.parametrize("engine", EVERY_ENGINE)
@pytest.mark.long
def test_calls_around_pauses_are_whole_or_said_to_be_in_flight(
    engine: str, start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    share = 0.02 if engine == "ebpf" else 0.1
    judged, _ = keep_ledger(
        start, hunt, compiled, tmp_path / "book", engine, (1, 100, "births"),
        ("--max-overhead", share), lambda hunter: hunter.count(Kind.WINDOW) >= 2 * ROUNDS,
    )  # fmt: skip
    assert judged.faults == []
    assert judged.missing == 0
    assert judged.recorded > 1000


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_what_is_missing_is_counted_as_lost(
    engine: str, start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    judged, hunter = keep_ledger(
        start, hunt, compiled, tmp_path / "book", engine, (3, 3000), ("--buffer", 65536),
        lambda hunter: hunter.count(Kind.LOST) > 2,
    )  # fmt: skip
    assert judged.faults == []
    [goodbye] = hunter.of(Goodbye)
    assert judged.missing > 0
    # Other records may be lost too: of the program's start and end, and calls at both ends.
    assert judged.missing <= goodbye.lost <= judged.missing + 20
    notes = sum(each.args[0] for each in hunter.records() if each.kind == Kind.LOST)
    assert notes == goodbye.lost


@pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}")
@pytest.mark.skipif(os.geteuid() != 0, reason="time namespaces need root")
def test_in_a_time_namespace_ebpf_has_the_times_of_hunters_clock(
    start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    judged, _ = keep_ledger(
        start, hunt, compiled, tmp_path / "book", "ebpf", (1, 20),
        prefix=("unshare", "-T", "--monotonic", AHEAD, "--boottime", AHEAD, "--kill-child"),
        ahead=AHEAD * 10**9,
    )  # fmt: skip
    assert judged.faults == []
    assert judged.missing == 0
    assert judged.recorded > 1000


@pytest.mark.skipif(bool(REFUSED), reason=f"ebpf: {REFUSED}")
@pytest.mark.parametrize("shape", ["threads", "forks"])
def test_in_a_pid_namespace_nothing_is_missed_while_hunter_learns_its_number(
    shape: str, hunter_pyz: Path, compiled: Compiled, tmp_path: Path
) -> None:
    program, options = SHAPES[shape]
    script = Path(__file__).with_name("targets") / "ledger_in_pid_namespace.py"
    command = [
        "unshare", "--pid", "--fork", "--mount-proc", sys.executable, script, hunter_pyz,
        compiled("ledger"), tmp_path / "book", RECORDS, " ".join(options), *program,
    ]  # fmt: skip
    ran = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=90,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["[]", "0"]


@settings(
    max_examples=40 if SOAK else 3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)
@given(
    engine=sampled_from(USABLE),
    threads=integers(1, 12),
    burst=integers(1, 300),
    kind=sampled_from(("", "births", "forks", "execs")),
    placement=sampled_from(("auto", "off")),
    pauses=booleans(),
    buffer=sampled_from((1 << 16, 1 << 22)),
)
def test_random_ledgers(
    engine: str,
    threads: int,
    burst: int,
    kind: str,
    placement: str,
    pauses: bool,
    buffer: int,
    start: Start,
    hunt: Hunt,
    compiled: Compiled,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    options = ["--placement", placement, "--buffer", buffer]
    if kind in ("forks", "execs"):
        options.append("--follow-forks")
    if pauses:
        options += ["--max-overhead", 0.02 if engine == "ebpf" else 0.2]
    judged, hunter = keep_ledger(
        start, hunt, compiled, tmp_path_factory.mktemp("ledger") / "book", engine,
        (threads, burst, *filter(None, [kind])), options,
        lambda hunter: hunter.count(Kind.SYSCALL) > 1000,
    )  # fmt: skip
    assert judged.faults == []
    [goodbye] = hunter.of(Goodbye)
    assert judged.missing <= goodbye.lost
