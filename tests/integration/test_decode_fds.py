"""--decode-fds against strace -yy: what descriptors refer to, with every engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.engines import EVERY_ENGINE
from tests.integration.gatherer_process import ROOT, GathererProcess
from tests.integration.tracee import TARGETS, Tracee

TARGET = TARGETS / "descriptors.py"
# Numbers that two runs do not share: inodes, ports, process ids, addresses.
OWN = re.compile(
    r"(?<=[\[:>-])\d{4,}|0x[0-9a-f]{6,}|(?<=hunter-)\d+|(?<=htons\()\d+|(?<=getpid\(\) = )\d+"
)
TIMES = re.compile(r" <\d+\.\d{6}>$")
HEAD = re.compile(r"^\d+ +[\d:.]+ ")
SHOWN = re.compile(r"\d<[/A-Za-z]|AT_FDCWD<")


def between_marks(text: str) -> list[str]:
    """Returns the lines between the two calls that mark what is compared, made comparable."""
    lines = [TIMES.sub("", HEAD.sub("", line)) for line in text.splitlines()]
    begin = next(at for at, line in enumerate(lines) if line.startswith("close(1000)"))
    end = next(at for at, line in enumerate(lines) if line.startswith("close(1001)"))
    kept = []
    for line in lines[begin + 1 : end]:
        call, _, rest = line.rpartition(" = ")
        kept.append(OWN.sub("N", f"{call.rstrip()} = {rest}"))
    return kept


@pytest.fixture(scope="module")
def by_strace(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What strace -yy prints."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: there is nothing to compare with")
    folder = tmp_path_factory.mktemp("strace")
    log, place = folder / "log", folder / "place"
    place.mkdir()
    words = [strace, "-f", "-yy", "-tt", "-T", "-o", str(log), sys.executable, str(TARGET)]
    subprocess.run([*words, str(place)], input=b"go\n", check=True, capture_output=True)
    return between_marks(log.read_text().replace(str(place), "/PLACE"))


def capture(
    tmp_path: Path, start: Callable[..., Tracee], *options: object
) -> tuple[GathererProcess, str]:
    """Returns a capture that has ended, and its log."""
    place = tmp_path / "place"
    place.mkdir()
    target = start(sys.executable, TARGET, place)
    made = GathererProcess(tmp_path / "logs", ("--pid", target.pid, "-y", *options))
    made.wait_for("start")
    made.wait_for("attach")
    assert target.ask("go") == "done"
    made.interrupt()
    assert made.finish() == (0, "")
    return made, made.log().read_text().replace(str(place), "/PLACE")


def different(ours: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    assert len(ours) == len(theirs) > 60
    return [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]


@pytest.mark.parametrize("engine", ["ptrace", "ptrace-python"])
@pytest.mark.long
def test_descriptors_are_those_of_strace(
    tmp_path: Path, start: Callable[..., Tracee], engine: str, by_strace: list[str]
) -> None:
    made, log = capture(tmp_path, start, "--engine", engine, "--raw")
    # Bound sockets that do not listen are in no table of /proc, and who accepts a connection to a
    # unix socket is known later than its connect.
    unknown = {
        "listen(13<TCP:[N]>, 3) = 0": "listen(13<TCP:[127.0.0.1:N]>, 3) = 0",
        "listen(17<TCPv6:[N]>, 1) = 0": "listen(17<TCPv6:[[::1]:N]>, 1) = 0",
        'recvfrom(23<UNIX-STREAM:[N]>, "q", 1, 0, NULL, NULL) = 1': (
            'recvfrom(23<UNIX-STREAM:[N->N]>, "q", 1, 0, NULL, NULL) = 1'
        ),
    }
    assert dict(different(between_marks(log), by_strace)) == unknown
    again = render(made.output)
    assert again == made.log().read_bytes()
    plain = render("--no-decode-fds", made.output).decode()
    assert [line for line in between_marks(plain) if SHOWN.search(line)] == []
    assert len(between_marks(plain)) == len(by_strace)


PROTOCOL = re.compile(r"<(pipe|TCP|TCPv6|UDP|UDPv6|UNIX-STREAM|UNIX)(?::\[.*?\])?>(?!\d)")


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_what_the_calls_tell_is_shown_by_every_engine(
    tmp_path: Path, start: Callable[..., Tracee], engine: str, by_strace: list[str]
) -> None:
    _, log = capture(tmp_path, start, "--engine", engine)
    ours, theirs = ([PROTOCOL.sub(r"<\1>", line) for line in lines] for lines in (
        between_marks(log), by_strace
    ))  # fmt: skip
    found = different(ours, theirs)
    if engine == "ebpf":
        # Where a symbolic link leads is not in any record, nor what comes with a message, unless a
        # scan has seen it.
        found = [
            (a, b) for a, b in found
            if "/PLACE/sub/link" not in a and not a.startswith(("recvmsg(", "read(21,"))
        ]  # fmt: skip
    assert found == []


def test_calls_that_keep_the_table_are_not_shown(
    tmp_path: Path, start: Callable[..., Tracee]
) -> None:
    made, log = capture(tmp_path, start, "-e", "write,read", "--raw", "--engine", "ptrace")
    assert 'write(3</PLACE/file>, "text", 4)' in log
    assert "read(7</PLACE/sub/renamed>" in log
    calls = {line.split()[2].partition("(")[0] for line in log.splitlines() if "(" in line}
    assert {call for call in calls if call.isidentifier()} <= {"write", "read"}
    assert render(made.output) == made.log().read_bytes()


def test_children_begin_with_the_descriptors_of_their_parent(
    tmp_path: Path, start: Callable[..., Tracee], compiled: Callable[[str], Path]
) -> None:
    target = start(compiled("family"))
    made = GathererProcess(
        tmp_path / "logs", ("--pid", target.pid, "-y", "-F", "--engine", "ptrace")
    )
    made.wait_for("start")
    made.wait_for("attach")
    target.ask("orphan 3")
    target.ask("exec 2")
    target.finish()
    assert made.finish() == (0, "")
    logs = [path.read_text() for path in made.output.glob("family-*.log")]
    piped = [log for log in logs if "write(4<pipe:[" in log]
    assert len(piped) == 3
    executed = [log for log in logs if "RENAMED" in log]
    assert len(executed) == 2
    assert all("libc.so.6>" in log for log in executed)


def render(*words: object) -> bytes:
    """Returns what gatherer render prints."""
    command = [sys.executable, "-m", "gatherer", "render", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout
