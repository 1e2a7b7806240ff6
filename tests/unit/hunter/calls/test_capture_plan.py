"""The capture plan and the reading of captures over a scripted memory."""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hg_shared.records import UNKNOWN_LENGTH, Abi
from hg_shared.syscalls import lookup, numbers
from hunter.calls.capture_plan import (
    BUF_ARG,
    BUF_RET,
    PATH,
    POINTED,
    SELECT,
    STRUCT,
    call_plan,
    plan,
)
from hunter.calls.captures import RECORD_MAX, read_captures, read_in_flight, read_string
from tests.captures import Capture, decode_captures

PAGE = 4096


class Memory:
    """Mapped pages; a read ends at the first page that is not mapped."""

    def __init__(self) -> None:
        self.pages: Dict[int, bytearray] = {}

    def write(self, address: int, data: bytes) -> int:
        for i, byte in enumerate(data):
            page = self.pages.setdefault((address + i) // PAGE, bytearray(PAGE))
            page[(address + i) % PAGE] = byte
        return address

    def read(self, address: int, length: int) -> Optional[bytes]:
        got = b""
        while len(got) < length:
            page = self.pages.get((address + len(got)) // PAGE)
            if page is None:
                break
            at = (address + len(got)) % PAGE
            got += bytes(page[at : at + length - len(got)])
        return got or None


def captured(
    memory: Memory, name: str, args: Tuple[int, ...], rval: int = 0, limit: int = 32,
    at_entry: bool = False, abi: Abi = Abi.X86_64,
) -> List[Capture]:  # fmt: skip
    found = call_plan(abi, numbers(abi)[name])
    assert found is not None
    full = (*args, 0, 0, 0, 0, 0, 0)[:6]
    items = found[0] if at_entry else found[1]
    return decode_captures(read_captures(items, full, rval, memory.read, limit, at_entry))


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64, Abi.I386])
def test_every_named_call_has_a_plan_of_small_integers(abi: Abi) -> None:
    made = plan(abi)
    assert len(made) > 460
    for nr, entry in enumerate(made):
        if entry is None:
            continue
        syscall = lookup(abi, nr)
        assert syscall is not None
        for items in entry:
            for form, arg, n, m, out in items:
                assert 0 <= form <= POINTED
                assert 0 <= arg < 6
                if form == POINTED:
                    assert m in (0x1000, 0x100000)
                elif form != SELECT:
                    assert -16 <= m <= 1024
                    assert 0 <= n <= 400
                    assert out in (0, 1, 2)


def test_the_commonest_calls_are_one_item_at_exit() -> None:
    nr = numbers(Abi.X86_64)
    made = plan(Abi.X86_64)
    assert made[nr["openat"]] == ((), ((PATH, 1, 0, 0, 0),))
    assert made[nr["read"]] == ((), ((BUF_RET, 1, 0, 0, 1),))
    assert made[nr["write"]] == ((), ((BUF_ARG, 1, 2, 0, 0),))
    assert made[nr["newfstatat"]] == ((), ((PATH, 1, 0, 0, 0), (STRUCT, 2, 144, 0, 1)))
    for silent in ("close", "mmap", "munmap", "brk", "exit_group", "getpid", "vfork", "lseek"):
        assert made[nr[silent]] is None, silent


def test_structure_sizes_differ_by_abi() -> None:
    sizes = {
        abi: call_plan(abi, numbers(abi)["fstat"]) for abi in (Abi.X86_64, Abi.AARCH64, Abi.I386)
    }
    assert [made[1][0][2] for made in sizes.values() if made] == [144, 128, 64]


@pytest.mark.parametrize(
    ("name", "at_entry"),
    [
        ("execve", [0, 1, 2]), ("rt_sigaction", [1]), ("nanosleep", [0]), ("select", [1, 2, 3, 4]),
        ("poll", [0]), ("accept", [2]), ("recvfrom", [5]), ("ppoll", [0, 2]), ("recvmsg", [1]),
    ],
)  # fmt: skip
def test_what_the_call_may_change_is_read_at_entry(name: str, at_entry: List[int]) -> None:
    found = call_plan(Abi.X86_64, numbers(Abi.X86_64)[name])
    assert found is not None
    assert [item[1] for item in found[0]] == at_entry


def test_unknown_numbers_and_abis_have_no_plan() -> None:
    assert call_plan(Abi.X86_64, 400) is None
    assert call_plan(Abi.X86_64, 65535) is None
    assert call_plan(Abi.X86_64, -1) is None
    assert plan(Abi.ARM) == []


def test_read_keeps_what_was_returned_up_to_the_limit() -> None:
    memory = Memory()
    memory.write(0x5000, b"x" * 100)
    assert captured(memory, "read", (3, 0x5000, 4096), rval=5) == [
        Capture(1, 0, False, 5, b"xxxxx")
    ]
    assert captured(memory, "read", (3, 0x5000, 4096), rval=100, limit=8) == [
        Capture(1, 0, False, 100, b"x" * 8)
    ]
    assert captured(memory, "read", (3, 0x5000, 4096), rval=0) == [Capture(1, 0, False, 0, b"")]
    assert captured(memory, "read", (3, 0x5000, 4096), rval=-9) == []


def test_write_keeps_its_buffer_even_when_it_failed() -> None:
    memory = Memory()
    memory.write(0x5000, b"hello")
    assert captured(memory, "write", (1, 0x5000, 5), rval=-32) == [
        Capture(1, 0, False, 5, b"hello")
    ]
    assert captured(memory, "write", (1, 0x9000, 5), rval=-14) == [Capture(1, 0, False, 5, None)]
    assert captured(memory, "write", (1, 0, 5), rval=-14) == []


def test_a_path_may_end_just_before_an_unmapped_page() -> None:
    memory = Memory()
    path = b"/etc/passwd\0"
    address = memory.write(2 * PAGE - len(path), path)
    asked: List[Tuple[int, int]] = []

    def read(at: int, length: int) -> Optional[bytes]:
        asked.append((at, length))
        assert (at % PAGE) + length <= PAGE
        return memory.read(at, length)

    assert read_string(read, address, PAGE) == (b"/etc/passwd", 11)
    assert asked == [(address, len(path))]


@pytest.mark.parametrize("offset", [0, 1, 100, 4000, 4095])
@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 4095])
def test_a_path_of_any_length_is_read_whole(offset: int, length: int) -> None:
    memory = Memory()
    memory.write(8 * PAGE + offset, b"p" * length + b"\0")
    assert captured(memory, "chdir", (8 * PAGE + offset,)) == [
        Capture(0, 0, False, length, b"p" * length)
    ]


def test_a_path_longer_than_path_max_is_cut() -> None:
    memory = Memory()
    memory.write(8 * PAGE, b"p" * 5000 + b"\0")
    assert captured(memory, "chdir", (8 * PAGE,)) == [
        Capture(0, 0, False, UNKNOWN_LENGTH, b"p" * 4096)
    ]


def test_a_path_without_end_before_an_unmapped_page_is_unreadable() -> None:
    memory = Memory()
    memory.write(9 * PAGE - 3, b"abc")
    assert captured(memory, "chdir", (9 * PAGE - 3,)) == [Capture(0, 0, False, 0, None)]


def test_execve_takes_path_arguments_and_the_count_of_the_environment() -> None:
    memory = Memory()
    memory.write(0x1000, b"/bin/echo\0hello\0" + b"w" * 40 + b"\0")
    memory.write(0x2000, struct.pack("<4Q", 0x1005, 0x100A, 0x1010, 0))
    memory.write(0x3000, struct.pack("<3Q", 0x1000, 0x1000, 0))
    assert captured(memory, "execve", (0x1000, 0x2000, 0x3000), at_entry=True) == [
        Capture(0, 0, True, 9, b"/bin/echo"),
        Capture(1, 0, True, 3, struct.pack("<3Q", 0x1005, 0x100A, 0x1010)),
        Capture(1, 1, True, 4, b"echo"),
        Capture(1, 2, True, 5, b"hello"),
        Capture(1, 3, True, UNKNOWN_LENGTH, b"w" * 32),
        Capture(2, 0, True, 2, b""),
    ]


def test_writev_takes_the_vector_and_its_buffers() -> None:
    memory = Memory()
    memory.write(0x1000, b"abcdef" + b"z" * 50)
    vector = struct.pack("<4Q", 0x1000, 6, 0x1006, 50)
    memory.write(0x2000, vector)
    assert captured(memory, "writev", (1, 0x2000, 2), rval=56) == [
        Capture(1, 0, False, 32, vector),
        Capture(1, 1, False, 6, b"abcdef"),
        Capture(1, 2, False, 50, b"z" * 32),
    ]


def test_readv_gives_every_buffer_its_share_of_the_return_value() -> None:
    memory = Memory()
    memory.write(0x1000, b"abcdefgh")
    memory.write(0x2000, struct.pack("<4Q", 0x1000, 4, 0x1004, 100))
    got = captured(memory, "readv", (1, 0x2000, 2), rval=6)
    assert [(c.hop, c.length, c.data) for c in got[1:]] == [(1, 4, b"abcd"), (2, 2, b"ef")]


def test_recvmsg_takes_name_vector_control_and_buffers() -> None:
    memory = Memory()
    name = memory.write(0x1000, b"\x01\x00/sock\0")
    data = memory.write(0x1100, b"payload-unused")
    vector = memory.write(0x1200, struct.pack("<2Q", data, 14))
    control = memory.write(0x1300, b"C" * 24)
    header = struct.pack("<QI4xQQQQI4x", name, 8, vector, 1, control, 24, 0)
    memory.write(0x2000, header)
    assert captured(memory, "recvmsg", (3, 0x2000, 0), rval=7) == [
        Capture(1, 0, False, 56, header),
        Capture(1, 1, False, 8, b"\x01\x00/sock\0"),
        Capture(1, 3, False, 24, b"C" * 24),
        Capture(1, 2, False, 16, struct.pack("<2Q", data, 14)),
        Capture(1, 4, False, 7, b"payload"),
    ]


def test_sendmmsg_numbers_the_hops_of_every_message() -> None:
    memory = Memory()
    data = memory.write(0x1100, b"onetwo")
    first = memory.write(0x1200, struct.pack("<2Q", data, 3))
    second = memory.write(0x1210, struct.pack("<2Q", data + 3, 3))
    messages = b"".join(
        struct.pack("<QI4xQQQQI4xI4x", 0, 0, vector, 1, 0, 0, 0, 3) for vector in (first, second)
    )
    memory.write(0x2000, messages)
    got = captured(memory, "sendmmsg", (3, 0x2000, 2, 0), rval=2)
    assert [(c.hop, c.data) for c in got if len(c.data or b"") == 3] == [(4, b"one"), (24, b"two")]


def test_accept_reads_the_length_before_and_after() -> None:
    memory = Memory()
    memory.write(0x1000, b"\x02\x00" + bytes(14))
    memory.write(0x2000, struct.pack("<I", 16))
    assert captured(memory, "accept", (3, 0x1000, 0x2000), at_entry=True) == [
        Capture(2, 0, True, 4, struct.pack("<I", 16))
    ]
    assert [c.arg for c in captured(memory, "accept", (3, 0x1000, 0x2000), rval=4)] == [1, 2]
    assert captured(memory, "accept", (3, 0, 0), rval=4) == []
    assert captured(memory, "accept", (3, 0x1000, 0x2000), rval=-11) == []


def test_nanosleep_reads_the_rest_only_when_interrupted() -> None:
    memory = Memory()
    memory.write(0x1000, bytes(32))
    assert captured(memory, "nanosleep", (0x1000, 0x1010), rval=0) == []
    assert len(captured(memory, "nanosleep", (0x1000, 0x1010), rval=-516)) == 1


def test_fcntl_and_ioctl_read_by_their_command() -> None:
    memory = Memory()
    memory.write(0x1000, bytes(64))
    assert captured(memory, "fcntl", (3, 1, 0x1000)) == []
    assert [c.length for c in captured(memory, "fcntl", (3, 5, 0x1000))] == [32]
    assert [c.length for c in captured(memory, "ioctl", (3, 0x5401, 0x1000))] == [36]
    assert captured(memory, "ioctl", (3, 0x5401, 0x1000), rval=-25) == []
    assert captured(memory, "ioctl", (3, 0xDEAD, 0x1000)) == []


def test_getdents64_counts_its_entries() -> None:
    memory = Memory()
    entry = struct.pack("<QqHB", 1, 1, 24, 4) + b".\0\0\0\0"
    memory.write(0x1000, entry * 3)
    assert captured(memory, "getdents64", (3, 0x1000, 32768), rval=72) == [
        Capture(1, 0, False, 3, b"")
    ]


def test_epoll_events_are_packed_on_x86_only() -> None:
    memory = Memory()
    memory.write(0x1000, bytes(64))
    got = captured(memory, "epoll_wait", (3, 0x1000, 4, 0), rval=2)
    assert [c.length for c in got] == [24]
    got = captured(memory, "epoll_pwait", (3, 0x1000, 4, 0), rval=2, abi=Abi.AARCH64)
    assert got[0].length == 32


def test_a_call_in_flight_shows_its_in_arguments() -> None:
    memory = Memory()
    memory.write(0x1000, b"hello")
    nr = numbers(Abi.X86_64)
    made = plan(Abi.X86_64)
    write, read = made[nr["write"]], made[nr["read"]]
    assert write is not None
    assert read is not None
    got = read_in_flight(write[1], (1, 0x1000, 5, 0, 0, 0), memory.read, 32)
    assert decode_captures(got) == [Capture(1, 0, False, 5, b"hello")]
    assert read_in_flight(read[1], (0, 0x1000, 5, 0, 0, 0), memory.read, 32) == b""


@given(
    nr=st.integers(0, 475),
    args=st.tuples(*[st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 0x6000))] * 6),
    rval=st.one_of(st.integers(-4096, 4096), st.integers(-(2**63), 2**63 - 1)),
    fill=st.binary(min_size=1, max_size=64),
    limit=st.integers(0, 70000),
    abi=st.sampled_from([Abi.X86_64, Abi.AARCH64, Abi.I386]),
)
def test_nothing_a_tracee_does_raises_or_grows_beyond_the_limit(
    nr: int, args: Tuple[int, ...], rval: int, fill: bytes, limit: int, abi: Abi
) -> None:
    content = (fill * (0x5000 // len(fill) + 1))[:0x5000]

    def read(address: int, length: int) -> Optional[bytes]:
        assert length > 0
        if not 0x1000 <= address < 0x6000:
            return None
        return content[address - 0x1000 : address - 0x1000 + length]

    found = call_plan(abi, nr)
    if found is None:
        return
    for items, at_entry in ((found[0], True), (found[1], False)):
        got = read_captures(items, args, rval, read, limit, at_entry, 0x2000)
        assert len(got) <= RECORD_MAX + 8 * 512
        assert all(c.at_entry == at_entry for c in decode_captures(got))
    assert len(read_in_flight(found[1], args, read, limit)) <= RECORD_MAX + 8 * 512
