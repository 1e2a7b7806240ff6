"""Programs that read strace's logs read ours, of one run that both have traced.

hunter traces with ebpf, which leaves the process free for strace's ptrace.
"""

from __future__ import annotations

import logging
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from random import Random

import pytest
import strace_process_tree
from straceprof.cli import get_processes_from_log
from stracetools import StraceAnalyzer, StraceParser, TraceEvent, TraceEventType

from gatherer.rendering.strace.lines.process_lines import ProcessLines
from hg_shared import rights
from hg_shared.records import Kind, Record
from hunter.engines.ebpf import loading
from hunter.memory import procfs
from tests.integration.gatherer_process import GathererProcess
from tests.integration.hunter_session import wait_until
from tests.integration.workload_runs import traced_by
from tests.unit.gatherer.rendering.strace.packed import feed

MISSING = "" if shutil.which("strace") else "strace is missing: nothing to compare with"
REFUSED = loading.missing(
    platform.machine(),
    platform.release(),
    rights.parse_rights(procfs.status_fields("self"), "").capabilities,
)
pytestmark = pytest.mark.skipif(bool(MISSING or REFUSED), reason=MISSING or f"ebpf: {REFUSED}")
SCRIPT = """\
read line
/bin/true
/bin/sh -c 'exit 3'
(echo one | cat > /dev/null)
/bin/sleep 0.01 &
wait
kill -USR1 $$ 2> /dev/null
exec /bin/echo done
"""
NOTE = re.compile(r"(?:LOST|WINDOW|RENAMED|GAP|DROPPED) ")


class Run:
    """One run of a shell script that strace and gatherer have traced.

    Args:
        folder: for the logs.
        option: strace's for its time stamps.
        timestamps: gatherer's for the same.
    """

    def __init__(self, folder: Path, option: str, timestamps: str) -> None:
        folder.mkdir()
        self.theirs, self.ours = folder / "strace.log", folder / "ours.log"
        shell = subprocess.Popen(
            ["/bin/sh", "-c", f"trap '' USR1\n{SCRIPT}"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )  # fmt: skip
        self.pid = shell.pid
        gatherer = GathererProcess(
            folder / "logs",
            ["--engine", "ebpf", "--follow-forks", "--timestamps", timestamps, "--pid", shell.pid],
        )
        strace = None
        try:
            gatherer.wait_for("attach")
            strace = subprocess.Popen(
                ["strace", "-f", option, "-T", "-s", "32", "-o", self.theirs, "-p", str(self.pid)],
                stderr=subprocess.DEVNULL,
            )
            wait_until(lambda: traced_by([self.pid]), "strace traces the shell")
            shell.communicate(b"go\n", 60)
            assert gatherer.finish() == (0, "")
            assert strace.wait(60) == 0
        finally:
            gatherer.close()
            for process in (shell, strace):
                if process is not None:
                    process.kill()
                    process.communicate()
        logs = [path.read_text() for path in sorted((folder / "logs").glob("*.log"))]
        lines = [line for log in logs for line in log.splitlines()]
        lines.sort(key=lambda line: line.split()[1])
        assert any("+++ RENAMED sh to echo +++" in line for line in lines)
        self.ours.write_text("".join(f"{line}\n" for line in self.with_notes(lines, timestamps)))

    def with_notes(self, lines: list[str], timestamps: str) -> Iterator[str]:
        """Yields lines with notes of lost records and of windows between them."""
        random = Random(1)
        for line in lines:
            yield line
            if random.randrange(9) == 0:
                kind = random.choice((Kind.LOST, Kind.WINDOW))
                note = Record(0, 0, 0, (random.randrange(2), 0, 0, 0, 0, 0), 0, 1, 0, kind, 0, b"")
                shown = ProcessLines(0, pid=self.pid, timestamps=timestamps, zone=UTC)
                pid, _, text = feed(shown, [note], 1).decode().rstrip("\n").split(maxsplit=2)
                yield f"{pid} {line.split()[1]} {text}"


@pytest.fixture(scope="module")
def by_clock(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Logs with -tt."""
    return Run(tmp_path_factory.mktemp("readers") / "time", "-tt", "time")


@pytest.fixture(scope="module")
def by_seconds(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Logs with -ttt."""
    return Run(tmp_path_factory.mktemp("readers") / "unix", "-ttt", "unix")


@pytest.mark.parametrize("run", ["by_clock", "by_seconds"])
def test_strace_process_tree(run: str, request: pytest.FixtureRequest) -> None:
    logs: Run = request.getfixturevalue(run)
    trees = []
    for path in (logs.theirs, logs.ours):
        with path.open() as file:
            tree = strace_process_tree.parse_stream(strace_process_tree.events(file))
        # Times are those since the first line, and strace came later.
        trees.append(re.sub(r" \[[^]]*s\]", "", str(tree)))
    assert trees[1] == trees[0]
    assert trees[0].count("\n") == 8
    assert "/bin/sleep 0.01" in trees[0]


def events(path: Path, caplog: pytest.LogCaptureFixture) -> list[TraceEvent]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = StraceParser().parse_file(str(path))
    assert [record.message for record in caplog.records] == []
    return found


def by_process(found: list[TraceEvent]) -> dict[int, list[tuple[object, ...]]]:
    """Returns what happened to each process, from the end of the read of `go` on."""
    processes: dict[int, list[tuple[object, ...]]] = {}
    for event in found:
        if event.event_type == TraceEventType.EXIT and NOTE.match(event.args[0]):
            continue
        told = (event.event_type, event.name, event.return_value, event.error_msg)
        arguments = tuple(event.args)
        processes.setdefault(event.pid, []).append((*told, arguments))
    for seen in processes.values():
        start = next((i for i, each in enumerate(seen) if '"\\n"' in each[4]), -1)
        del seen[: start + 1]
    return processes


def test_stracetools(by_clock: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    theirs, ours = events(by_clock.theirs, caplog), events(by_clock.ours, caplog)
    expected, seen = by_process(theirs), by_process(ours)
    assert sorted(seen) == sorted(expected)
    assert len(expected) == 7
    total = same = 0
    for pid, calls in expected.items():
        assert [each[:4] for each in seen[pid]] == [each[:4] for each in calls]
        total += len(calls)
        same += sum(a == b for a, b in zip(seen[pid], calls, strict=True))
    # What ebpf cannot read, memory that is not resident, is an address among the arguments.
    assert same >= 0.95 * total
    # It takes each note for an end; the number of calls and their names are not touched by that.
    assert StraceAnalyzer(ours).get_syscall_names() == StraceAnalyzer(theirs).get_syscall_names()


def test_straceprof(by_seconds: Run) -> None:
    theirs = {each.pid: each for each in get_processes_from_log(str(by_seconds.theirs))}
    ours = {each.pid: each for each in get_processes_from_log(str(by_seconds.ours))}
    assert {each.program for each in theirs.values()} >= {"/bin/true", "/bin/sleep", "/bin/echo"}
    assert sorted(ours) == sorted(theirs)
    for pid, expected in theirs.items():
        found = ours[pid]
        assert (found.program, found.full_command) == (expected.program, expected.full_command)
        assert abs(found.start_time - expected.start_time) < 5
        assert abs(found.end_time - expected.end_time) < 5
