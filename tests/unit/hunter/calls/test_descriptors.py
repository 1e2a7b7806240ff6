from __future__ import annotations

from struct import pack

from hg_shared.records import Abi
from hg_shared.syscalls import numbers
from hunter.calls import descriptors

NR = numbers(Abi.X86_64)


def test_calls_that_make_descriptors() -> None:
    makers = descriptors.makers(Abi.X86_64)
    for name in ("openat", "open", "socket", "accept4", "dup3", "eventfd2", "memfd_create"):
        assert makers[NR[name]] == descriptors.RETURNED
    assert makers[NR["socketpair"]] == makers[NR["pipe2"]] == descriptors.PAIR
    assert makers[NR["connect"]] == descriptors.FIRST
    assert makers[NR["fchdir"]] == descriptors.DIRECTORY
    assert makers[NR["fcntl"]] == descriptors.DUPLICATED
    assert not {NR["read"], NR["close"], NR["mmap"]} & set(makers)
    assert {NR["close"], NR["execve"], NR["openat"]} <= descriptors.needed(Abi.X86_64)
    assert descriptors.pair_argument(Abi.X86_64, NR["socketpair"]) == 3
    assert descriptors.pair_argument(Abi.X86_64, NR["pipe"]) == 0
    assert descriptors.makers(9) == {}


def test_what_a_call_made() -> None:
    returned = descriptors.returned
    assert returned(descriptors.RETURNED, (0,), 5) == 5
    assert returned(descriptors.RETURNED, (0,), -2) == -1
    assert returned(descriptors.DUPLICATED, (3, 1030), 9) == 9
    assert returned(descriptors.DUPLICATED, (3, 1), 1) == -1
    assert returned(descriptors.FIRST, (7,), 0) == 7
    assert returned(descriptors.FIRST, (7,), -115) == 7
    assert returned(descriptors.FIRST, (7,), -111) == -1


def test_descriptors_that_come_with_a_message() -> None:
    control = pack("<QIIii", 24, 1, 1, 7, 9) + pack("<QIIi4x", 20, 1, 2, 3)
    assert descriptors.passed(control) == [7, 9]
    assert descriptors.passed(pack("<QIIi4x", 20, 1, 1, 5) + control) == [5, 7, 9]
    for end in range(len(control)):
        assert set(descriptors.passed(control[:end])) <= {7, 9}
    assert descriptors.passed(bytes(64)) == []
    head = pack("<QIIQQQQ", 0, 0, 0, 0, 1, 0x1000, 1 << 40)
    assert descriptors.control_of(head) == (0x1000, descriptors.MAX_CONTROL)
    assert descriptors.control_of(head[:40]) == (0, 0)
    assert descriptors.makers(Abi.X86_64)[NR["recvmsg"]] == descriptors.PASSED
