from __future__ import annotations

import re
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.rendering.strace.args.descriptor_changes import address_text
from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.args.descriptors import Descriptors, shown
from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from hg_shared.records import CWD_ARGUMENT, FD_ARGUMENT, Record, encode_capture
from hg_shared.syscalls import numbers
from tests.unit.gatherer.rendering.strace.packed import feed

NR = numbers(0)
CWD = 0xFFFFFF9C
PATH = 0x1000


def call(
    name: str, start: int, rval: int, *args: int, captures: bytes = b"", took: int = 1, tid: int = 7
) -> Record:
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return Record(start, took, rval, six, tid, 1, NR[name], 0, 0, captures)  # type: ignore[arg-type]


def text(argument: int, value: bytes, hop: int = 0) -> bytes:
    return encode_capture(argument, hop, value, len(value))


def lines(*records: Record, entries: dict[str, str] | None = None) -> list[str]:
    """Returns what is printed of calls behind the time."""
    table = DescriptorTable()
    made = ProcessLines(0, CallRenderer(32, Descriptors()), 7, "x", "none", None, table)
    table.load(0, {"cwd": "/home", "0": "/dev/null\0char 1:3"} if entries is None else entries)
    feed(made, records, 0)
    printed = (feed(made, [], 1 << 40) + made.finish()).decode("ascii")
    texts = [line.split(None, 1)[1] for line in printed.splitlines()]
    return [re.sub(r" +=(?= )", " =", re.sub(r" <[\d.]+>$", "", text)) for text in texts]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("", ""),
        ("/etc/passwd", "</etc/passwd>"),
        ("/dev/null\0char 1:3", "</dev/null<char 1:3>>"),
        ("/tmp/x (deleted)", "</tmp/x>(deleted)"),
        ("/a\n\x01>7<z", "</a\\n\\1\\0767\\74z>"),
        ("/caf\udcc3\udca9", "</caf\\303\\251>"),
        ("pipe:[12]", "<pipe:[12]>"),
        ('UNIX-STREAM:[1->2,"/run/x"]', '<UNIX-STREAM:[1->2,"/run/x"]>'),
        ("anon_inode:[\x1b[2Jevil]", "<anon_inode:[\\33[2Jevil]>"),
    ],
)
def test_what_a_descriptor_refers_to_is_shown_as_strace_shows_it(entry: str, expected: str) -> None:
    assert shown(entry) == expected


@given(st.text())
def test_no_text_reaches_a_terminal_raw(entry: str) -> None:
    assert shown(entry.encode("utf-8", "replace").decode()).isprintable()
    assert shown("/" + entry.encode("utf-8", "replace").decode()).isascii()


def test_descriptors_are_followed_through_their_life() -> None:
    opened = text(1, b"../etc/hosts")
    assert lines(
        call("openat", 10, 3, CWD, PATH, captures=opened),
        call("read", 20, 0, 3, 0),
        call("dup", 30, 4, 3),
        call("fcntl", 40, 9, 4, 1030),
        call("dup2", 50, 5, 9, 5),
        call("close", 60, 0, 3),
        call("close", 70, -9, 3),
        call("close_range", 80, 0, 4, 5, 0),
        call("fsync", 90, -9, 4),
        call("fsync", 100, 0, 9),
        call("fsync", 110, 0, 0),
    ) == [
        'openat(AT_FDCWD</home>, "../etc/hosts", O_RDONLY) = 3</etc/hosts>',
        "read(3</etc/hosts>, NULL, 0) = 0",
        "dup(3</etc/hosts>) = 4</etc/hosts>",
        "fcntl(4</etc/hosts>, F_DUPFD_CLOEXEC, 0) = 9</etc/hosts>",
        "dup2(9</etc/hosts>, 5) = 5</etc/hosts>",
        "close(3</etc/hosts>) = 0",
        "close(3) = -1 EBADF (Bad file descriptor)",
        "close_range(4, 5, 0) = 0",
        "fsync(4) = -1 EBADF (Bad file descriptor)",
        "fsync(9</etc/hosts>) = 0",
        "fsync(0</dev/null<char 1:3>>) = 0",
    ]


def test_what_the_tracer_read_counts_more_than_what_the_arguments_tell() -> None:
    opened = text(1, b"link") + text(FD_ARGUMENT, b"/real/file")
    assert lines(
        call("chdir", 5, 0, PATH, captures=text(0, b"link") + text(CWD_ARGUMENT, b"/real")),
        call("openat", 10, 3, CWD, PATH, captures=opened),
        call("socket", 20, 4, 2, 1, 0, captures=text(FD_ARGUMENT, b"TCP:[77]")),
        call("fsync", 30, 0, 4),
    ) == [
        'chdir("link") = 0',
        'openat(AT_FDCWD</real>, "link", O_RDONLY) = 3</real/file>',
        "socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 4<TCP:[77]>",
        "fsync(4<TCP:[77]>) = 0",
    ]


def test_sockets_as_far_as_their_calls_tell() -> None:
    local = pack("<HH4s8x", 2, 0x901F, bytes((127, 0, 0, 1)))
    remote = pack("<HH4s8x", 2, 0x5000, bytes((10, 0, 0, 2)))
    names = [
        line.rpartition("fsync(")[2].partition(")")[0]
        for line in lines(
            call("socket", 10, 3, 2, 1, 0),
            call("bind", 20, 0, 3, PATH, 16, captures=text(1, local)),
            call("fsync", 30, 0, 3),
            call("accept", 40, 4, 3, PATH, PATH, captures=text(1, remote)),
            call("fsync", 50, 0, 4),
            call("socket", 60, 5, 2, 1, 0),
            call("connect", 70, -115, 5, PATH, 16, captures=text(1, remote)),
            call("fsync", 80, 0, 5),
            call("socketpair", 90, 0, 1, 1, 0, PATH, captures=text(3, pack("<ii", 6, 7))),
            call("fsync", 100, 0, 7),
        )
        if line.startswith("fsync")
    ]
    assert names == [
        "3<TCP:[127.0.0.1:8080]>",
        "4<TCP:[127.0.0.1:8080->10.0.0.2:80]>",
        "5<TCP:[?->10.0.0.2:80]>",
        "7<UNIX-STREAM>",
    ]
    assert address_text(pack("<HHI16s", 10, 0x5000, 0, bytes(15) + b"\1")) == "[::1]:80"
    assert address_text(b"\2") == address_text(b"") == address_text(pack("<H14s", 1, b"/x")) == ""


def test_descriptors_that_come_with_a_message() -> None:
    control = text(1, pack("<QIIii", 24, 1, 1, 7, 9), 3)
    read = text(FD_ARGUMENT, b"/passed") + text(FD_ARGUMENT, b"pipe:[5]", 1)
    printed = lines(
        call("recvmsg", 10, 1, 3, PATH, captures=control + read),
        call("fsync", 20, 0, 7),
        call("fsync", 30, 0, 9),
        call("recvmsg", 40, 1, 3, PATH, captures=control),
        call("fsync", 50, 0, 7),
    )
    assert printed[1:3] == ["fsync(7</passed>) = 0", "fsync(9<pipe:[5]>) = 0"]
    # The number was used again, and nobody read for what.
    assert printed[4] == "fsync(7) = 0"


def test_names_that_change() -> None:
    assert lines(
        call("unlink", 10, 0, PATH, captures=text(0, b"/home/a")),
        call("renameat", 20, 0, CWD, PATH, CWD, PATH, captures=text(1, b"d") + text(3, b"e")),
        call("fsync", 30, 0, 3),
        call("fsync", 40, 0, 4),
        entries={"cwd": "/home", "3": "/home/a", "4": "/home/d/inner"},
    )[2:] == ["fsync(3</home/a>(deleted)) = 0", "fsync(4</home/e/inner>) = 0"]


def test_arrays_of_descriptors() -> None:
    pipe = call("pipe2", 10, 0, PATH, 0, captures=text(0, pack("<ii", 3, 4)))
    asked = encode_capture(0, 0, pack("<iHH", 3, 1, 0), 8, True)
    poll = call("poll", 20, 0, PATH, 1, 0, captures=asked)
    waits = call("select", 30, 0, 5, PATH, 0, 0, 0, captures=encode_capture(
        1, 0, pack("<Q", 0b11000), 8, True
    ))  # fmt: skip
    assert lines(pipe, poll, waits) == [
        "pipe2([3<pipe>, 4<pipe>], 0) = 0",
        "poll([{fd=3<pipe>, events=POLLIN}], 1, 0) = 0 (Timeout)",
        "select(5, [3<pipe> 4<pipe>], NULL, NULL, NULL) = 0 (Timeout)",
    ]


def test_a_call_is_shown_as_it_was_when_it_began_and_when_it_ended() -> None:
    printed = lines(
        call("read", 10, 0, 3, 0, took=50, tid=8),
        call("close", 20, 0, 3),
        call("dup2", 30, 3, 4, 3),
        entries={"3": "/old", "4": "/new"},
    )
    assert printed == [
        "read(3</old>,  <unfinished ...>",
        "close(3</old>) = 0",
        "dup2(4</new>, 3) = 3</new>",
        "<... read resumed>NULL, 0) = 0",
    ]


def test_a_table_counts_from_when_it_was_read() -> None:
    table = DescriptorTable()
    table.load(100, {"3": "/first"})
    assert table.entries == {3: "/first"}
    table.take(call("dup2", 50, 5, 3, 5))
    table.load(200, {"3": "/later", "nonsense": "x", "99999999999": "y"})
    table.advance(60)
    assert table.entries == {3: "/first", 5: "/first"}
    table.advance(100)
    assert table.entries == {3: "/first"}
    table.advance(200)
    assert table.entries == {3: "/later"}
    child = DescriptorTable()
    child.inherit(table)
    table.entries[3] = "/changed"
    assert child.entries == {3: "/later"}


@given(
    st.sampled_from(sorted(NR)), st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6),
    st.integers(-4095, 2**31), st.binary(max_size=200),
)  # fmt: skip
def test_arbitrary_calls_neither_fail_nor_grow_the_table(
    name: str, args: list[int], rval: int, captures: bytes
) -> None:
    assert len(lines(call(name, 10, rval, *args, captures=captures))) <= 1
