"""What is recorded, against the real strace and against what the program says of itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from platform import machine

import pytest

from hg_shared.messages import FdTable
from hg_shared.records import Abi, Kind, Record
from hg_shared.syscalls import lookup, numbers
from tests.captures import decode_captures
from tests.integration.hunter_session import HunterSession, wait_until
from tests.integration.tracee import Tracee, status_field

pytestmark = pytest.mark.usefixtures("engine")
Hunt = Callable[..., HunterSession]
ATTEMPTS = 10
Start = Callable[..., Tracee]
Compiled = Callable[[str], Path]
Call = tuple[str, str]

LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (0x[0-9a-f]+|-?\d+|\?)(?: (E\w+))?(.*)$")
HALF = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
REST = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
# Thread ids and addresses differ between two runs.
OWN_VALUES = ("clone", "clone3", "mmap", "brk")


def result(name: str, value: int) -> Call:
    return name, "own" if name in OWN_VALUES and value > 0 else str(value)


def strace_calls(text: str) -> dict[int, list[Call]]:
    """Returns name and return value of each call by thread, from what strace -f -o wrote."""
    calls: dict[int, list[Call]] = {}
    open_calls: dict[str, str] = {}
    errors = {code: number for number, code in ERRNO_BY_NUMBER.items()}
    for line in text.splitlines():
        if half := HALF.match(line):
            open_calls[half[1]] = half[2]
            continue
        if rest := REST.match(line):
            line = f"{rest[1]} {open_calls.pop(rest[1])}{rest[2]}"
        if found := LINE.match(line):
            tid, name, _, value, error, _ = found.groups()
            if value == "?":
                continue
            number = -errors[error] if error else int(value, 0)
            calls.setdefault(int(tid), []).append(result(name, number))
    return calls


ERRNO_BY_NUMBER = {2: "ENOENT", 9: "EBADF", 17: "EEXIST", 11: "EAGAIN"}


def hunter_calls(records: list[Record]) -> dict[int, list[Call]]:
    calls: dict[int, list[Call]] = {}
    # Within the watermark records come in any order.
    for record in sorted(records, key=lambda record: record.start):
        if record.kind == Kind.SYSCALL:
            calls.setdefault(record.tid, []).append(result(name_of(record), record.rval))
    return calls


def name_of(record: Record) -> str:
    syscall = lookup(record.abi, record.nr)
    assert syscall is not None
    return syscall.name


def from_the_line_on(calls: dict[int, list[Call]]) -> list[list[Call]]:
    """Returns the calls by thread in the order of creation, from the end of the read of `go`."""
    threads = [calls[tid] for tid in sorted(calls)]
    threads[0] = threads[0][threads[0].index(("read", "3")) :]
    return threads


def test_calls_and_results_are_those_that_strace_sees(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing: nothing to compare with")
    program, folder = compiled("sequence"), tmp_path / "work"
    folder.mkdir()
    log = tmp_path / "strace.log"
    done = subprocess.run(
        [strace, "-f", "-o", log, program, folder], input=b"go\n", capture_output=True
    )
    assert done.returncode == 4
    tracee = start(program, folder)
    hunter = hunt_pid(tracee.pid)
    tracee.tell("go")
    assert tracee.finish() == ("", 4)
    hunter.wait_ended()
    seen = from_the_line_on(hunter_calls(hunter.records()))
    expected = from_the_line_on(strace_calls(log.read_text()))
    assert len(expected) == 3
    assert sum(map(len, expected)) > 150
    assert seen == expected
    ended = [name_of(r) for r in hunter.records() if r.kind == Kind.IN_FLIGHT]
    assert "exit_group" in ended, "a call that never returns"
    assert ended.count("exit") == 2


def test_captured_bytes_are_what_the_calls_were_given(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    tracee = start(compiled("sequence"), tmp_path)
    hunter = hunt_pid(tracee.pid, "--string-size", 20)
    tracee.tell("go")
    assert tracee.finish() == ("", 4)
    hunter.wait_ended()
    calls: dict[str, list[Record]] = {}
    for record in hunter.records():
        if record.kind == Kind.SYSCALL:
            calls.setdefault(name_of(record), []).append(record)

    def captured(name: str, index: int = 0) -> list[tuple[int, int, int, bytes | None]]:
        captures = decode_captures(calls[name][index].captures)
        return [(c.arg, c.hop, c.length, c.data) for c in captures]

    path = f"{tmp_path}/file0".encode()
    created = next(r for r in calls["openat"] if r.args[2] & 0o100)
    assert [c.data for c in decode_captures(created.captures)] == [path]
    assert captured("write") == [(1, 0, 10, b"0123456789")]
    reads = [r for r in calls["read"] if r.rval == 64]
    assert [(c.length, c.data) for c in decode_captures(reads[0].captures)] == [
        (64, b"5678901234" * 2)
    ]
    buffers = [c for c in captured("writev") if c[1] > 0]
    assert buffers == [(1, 1, 2, b"ab"), (1, 2, 4, b"cdef")]
    assert captured("unlink") == [(0, 0, len(path), path)]
    assert captured("mkdir") == [(0, 0, 13, b"/proc/nothing")]
    assert captured("sendto")[0] == (1, 0, 5, b"hello")
    assert captured("recvfrom")[0] == (1, 0, 5, b"hello")
    status = captured("newfstatat" if "newfstatat" in calls else "fstat")[-1]
    assert len(status[3] or b"") == 144
    for record in calls["clock_nanosleep"]:
        assert record.duration >= 2_000_000


def test_blocked_calls_are_told_while_they_block(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("blocked"))
    tids = tracee.line().split()
    (reader, poller, waiter), tube, epoll = map(int, tids[:3]), int(tids[3]), int(tids[4])
    word = int(tids[5], 16)
    for tid in (reader, poller, waiter):
        wait_until(lambda t=tid: status_field(t, "State")[0] == "S", f"{tid} sleeps")
    hunter = hunt_pid(tracee.pid)

    def in_flight(tid: int) -> Record:
        return hunter.wait_record(
            lambda r: r.kind == Kind.IN_FLIGHT and r.tid == tid, f"IN_FLIGHT of {tid}"
        )

    read, poll, futex = in_flight(reader), in_flight(poller), in_flight(waiter)
    assert (name_of(read), read.args[0], read.args[2]) == ("read", tube, 1)
    assert name_of(poll) in ("epoll_wait", "epoll_pwait")
    assert (poll.args[0], poll.args[2], poll.args[3] & 0xFFFFFFFF) == (epoll, 1, 0xFFFFFFFF)
    assert (name_of(futex), futex.args[0], futex.args[2]) == ("futex", word, 7)
    assert min(read.duration, poll.duration, futex.duration) >= 100_000_000
    tracee.tell("go")
    assert tracee.finish() == ("ok\n", 0)
    hunter.wait_ended()
    for announced in (read, poll, futex):
        again = [
            r
            for r in hunter.records()
            if (r.tid, r.start, r.kind) == (announced.tid, announced.start, Kind.SYSCALL)
        ]
        assert len(again) == 1
        assert again[0].nr == announced.nr
        assert again[0].args == announced.args
    last = [r for r in hunter.records() if name_of(r) == "exit_group"]
    assert [(r.kind, r.tid) for r in last] == [(Kind.IN_FLIGHT, tracee.pid)]


def test_calls_open_at_the_detach_are_told(
    start: Start, hunt_pid: Hunt, compiled: Compiled
) -> None:
    tracee = start(compiled("blocked"))
    reader, poller, waiter = map(int, tracee.line().split()[:3])
    for tid, name in ((reader, "read"), (poller, "epoll_wait"), (waiter, "futex")):
        # Asleep alone may also be on the way there, in the barrier.
        call = Path(f"/proc/{tid}/syscall")
        number = str(numbers(Abi.AARCH64 if machine() == "aarch64" else Abi.X86_64)[name])
        wait_until(lambda c=call, n=number: c.read_text().split()[0] == n, f"{tid} is in {name}")
    for _ in range(ATTEMPTS):
        hunter = hunt_pid(tracee.pid)
        hunter.stop()
        noted = {(r.tid, name_of(r)) for r in hunter.records() if r.kind == Kind.IN_FLIGHT}
        # A thread that is let go before the kernel has started its call again was in none.
        if noted >= {(reader, "read"), (waiter, "futex"), (tracee.pid, "read")}:
            break
    else:
        raise AssertionError(f"in none of {ATTEMPTS} hunts were all three calls told")
    # epoll_wait is never restarted (signal(7)): being let go ends it with EINTR, which is recorded.
    ended = [r for r in hunter.records() if r.kind == Kind.SYSCALL and r.tid == poller]
    assert (poller, "epoll_wait") in noted or [r.rval for r in ended][-1:] == [-4]
    assert {r.tid for r in hunter.records() if r.kind == Kind.DETACHED} == set(tracee.threads())
    tracee.tell("go")
    assert tracee.finish() == ("ok\n", 0)


def test_no_record_starts_before_a_watermark_that_was_given(
    start: Start, hunt: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    busy = start(compiled("counter"), tmp_path / "rounds", 3)
    idle = start(compiled("blocked"))
    hunter = hunt("--only-pids", "--pid", busy.pid, "--pid", idle.pid, "--frequency", "0.2")
    for tracee in (busy, idle):
        hunter.wait_attached(tracee.pid)
    hunter.wait_for(lambda: hunter.count(Kind.IN_FLIGHT) >= 4, "calls in flight")
    idle.line()
    idle.tell("go")
    assert idle.finish() == ("ok\n", 0)
    busy.tell("end")
    assert busy.finish() == ("ok\n", 0)
    hunter.wait_ended()
    watermarks: Counter[int] = Counter()  # of each tracer
    announced: set[tuple[int, int]] = set()
    checked = 0
    for batch in hunter.batches:
        for record in batch.records():
            key = (record.tid, record.start)
            if record.kind == Kind.IN_FLIGHT:
                announced.add(key)
            assert record.start >= watermarks[batch.source] or key in announced, record
            checked += 1
        watermarks[batch.source] = max(watermarks[batch.source], batch.watermark)
    assert checked > 1000
    for source in watermarks:
        mine = [batch.watermark for batch in hunter.batches if batch.source == source]
        marks = [mark for mark in mine if mark]
        assert all(earlier <= later for earlier, later in pairwise(marks))


def test_only_calls_that_were_asked_for_arrive(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    def names(*options: str) -> list[str]:
        tracee = start(compiled("sequence"), tmp_path)
        hunter = hunt_pid(tracee.pid, *options)
        tracee.tell("go")
        assert tracee.finish() == ("", 4)
        hunter.wait_ended()
        kinds = (Kind.SYSCALL, Kind.IN_FLIGHT)
        found = [name_of(r) for r in hunter.records() if r.kind in kinds]
        assert hunter.count(Kind.EXITED) == 3, "the life of threads is told whatever the filter"
        return found

    writes = names("--trace", "write,mkdir")
    assert writes.count("write") == 80
    assert set(writes) == {"write", "mkdir"}
    assert {"openat", "unlink", "mkdir"} <= set(names("--trace", "%file"))
    without = set(names("--trace", "!write,%network"))
    assert "close" in without
    assert not without & {"write", "socketpair", "sendto", "recvfrom"}


def test_the_filter_also_holds_for_the_call_that_is_open_at_the_detach(
    start: Start, hunt_pid: Hunt, compiled: Compiled, tmp_path: Path
) -> None:
    tracee = start(compiled("counter"), tmp_path / "rounds", 4)
    hunter = hunt_pid(tracee.pid, "--trace", "openat")
    hunter.wait_for(lambda: hunter.count(Kind.SYSCALL) > 100, "100 calls")
    hunter.stop()
    calls = [r for r in hunter.records() if r.kind in (Kind.SYSCALL, Kind.IN_FLIGHT)]
    assert {name_of(r) for r in calls} == {"openat"}
    tracee.tell("end")
    assert tracee.finish() == ("ok\n", 0)


def test_an_unknown_call_in_the_filter_is_one_line(hunt: Hunt) -> None:
    hunter = hunt("--only-pids", "--pid", "1", "--trace", "write,opennat")
    assert hunter.wait_ended() == 2
    lines = hunter.errors().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("hunter: error: ")
    assert "opennat" in lines[0]


def test_the_fd_table_names_what_descriptors_are(start: Start, hunt_pid: Hunt) -> None:
    script = (
        "import socket, os, sys\n"
        "server = socket.create_server(('127.0.0.1', 0)); port = server.getsockname()[1]\n"
        "client = socket.create_connection(('127.0.0.1', port)); pair = server.accept()[0]\n"
        "file = open('/proc/self/stat')\n"
        "print('ready'); print(file.fileno(), server.fileno(), client.fileno(), port, flush=True)\n"
        "print(client.getsockname()[1], flush=True)\n"
        "sys.stdin.readline()\n"
    )
    tracee = start("python3", "-c", script)
    file, server, client, port = tracee.line().split()
    local = tracee.line()
    hunter = hunt_pid(tracee.pid)
    hunter.wait_for(lambda: hunter.of(FdTable), "fd table")
    table = hunter.of(FdTable)[0]
    assert table.process == hunter.ordinal(tracee.pid)
    assert table.entries[file] == f"/proc/{tracee.pid}/stat"
    assert table.entries[server] == f"TCP:[127.0.0.1:{port}]"
    assert table.entries[client] == f"TCP:[127.0.0.1:{local}->127.0.0.1:{port}]"
    assert table.entries["0"].startswith("pipe:[")
    hunter.stop()
