from __future__ import annotations

from hg_shared.records import Abi
from hg_shared.syscalls import numbers
from hunter import descriptors

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
