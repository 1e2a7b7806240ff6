"""Syscall tables, signatures and -e expressions."""

from __future__ import annotations

from typing import Dict

import pytest

from hg_shared.records import Abi
from hg_shared.syscalls import Arg, lookup, names, numbers, signature
from hg_shared.syscalls.filter import syscall_set
from hg_shared.syscalls.signatures import TEXT


@pytest.mark.parametrize(
    ("abi", "expected"),
    [
        (Abi.X86_64, {0: "read", 59: "execve", 231: "exit_group", 257: "openat", 335: "uretprobe"}),
        (Abi.AARCH64, {56: "openat", 63: "read", 221: "execve", 222: "mmap", 94: "exit_group"}),
        (Abi.I386, {1: "exit", 3: "read", 11: "execve", 192: "mmap2", 403: "clock_gettime64"}),
    ],
)
def test_numbers_are_those_of_the_architecture(abi: Abi, expected: Dict[int, str]) -> None:
    table = names(abi)
    assert {nr: table[nr] for nr in expected} == expected
    assert numbers(abi)["futex_waitv"] == 449
    assert table[462] == "mseal"
    assert len(table) > 470


def test_numbers_without_a_call_are_none() -> None:
    assert lookup(Abi.X86_64, 400) is None
    assert lookup(Abi.X86_64, 100000) is None
    assert lookup(Abi.X86_64, -1) is None
    assert lookup(Abi.ARM, 1) is None


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64, Abi.I386])
def test_every_call_has_a_signature_of_at_most_six_arguments(abi: Abi) -> None:
    described = {
        name for line in TEXT.splitlines() for name in line.split()[0].partition("=")[0].split(",")
    }
    for nr, name in enumerate(names(abi)):
        if name is None:
            continue
        assert name in described or any(f"{name}/{a}" in described for a in ("x86_64", "i386"))
        syscall = lookup(abi, nr)
        assert syscall is not None
        assert syscall.name == name
        for args in (syscall.args, *(variant for variant, _ in syscall.variants.values())):
            assert len(args) <= 6
            for arg in args:
                length = arg.length.lstrip("*")
                assert length in ("", "r") or int(length) < 6


def test_arguments_have_kind_direction_and_length() -> None:
    recvfrom = signature("recvfrom", Abi.X86_64)
    assert recvfrom.args == (
        Arg("fd", "", ""),
        Arg("buf", "<", "r"),
        Arg("size", "", ""),
        Arg("msg_flags", "", ""),
        Arg("sockaddr", "<", "*5"),
        Arg("socklen", "=", ""),
    )
    assert recvfrom.returns == "int"
    assert signature("mmap", Abi.X86_64).returns == "hex"


def test_variants_are_chosen_by_an_argument() -> None:
    futex = signature("futex", Abi.X86_64)
    assert (futex.selector, futex.mask) == (1, 127)
    assert [arg.kind for arg in futex.variants[0][0]] == ["ptr", "futex_op", "uint", "timespec"]
    assert [arg.kind for arg in futex.variants[1][0]] == ["ptr", "futex_op", "uint"]


def test_clone_has_the_argument_order_of_its_architecture() -> None:
    assert [arg.kind for arg in signature("clone", Abi.X86_64).args][3:] == ["tid", "ptr"]
    assert [arg.kind for arg in signature("clone", Abi.AARCH64).args][3:] == ["ptr", "tid"]


def select(expression: str, abi: Abi = Abi.X86_64) -> set[str | None]:
    table = names(abi)
    return {table[nr] for nr in syscall_set(expression, abi)}


def test_names_and_lists() -> None:
    assert select("openat,read") == {"openat", "read"}
    assert select("trace=openat") == {"openat"}
    assert select("t=openat, close") == {"openat", "close"}
    assert select("257") == {"openat"}


def test_classes() -> None:
    assert {"mmap", "brk", "munmap", "madvise"} <= select("%memory")
    assert "read" not in select("%memory")
    assert select("memory") == select("%memory")
    assert select("%net") == select("%network")
    assert {"getpid", "getuid"} <= select("%pure")
    assert {"stat", "lstat", "fstat", "statx"} <= select("%%stat")
    assert select("%stat") == {"stat"}
    assert "clone3" in select("%process", Abi.AARCH64)
    assert {"execve", "openat"} <= select("%file")


def test_negation_all_none_and_regular_expressions() -> None:
    everything = set(names(Abi.X86_64)) - {None}
    assert select("all") == everything
    assert select("none") == set()
    assert select("!none") == everything
    assert select("!openat,%memory") == everything - {"openat"} - select("%memory")
    assert select("/^pread") == {"pread64", "preadv", "preadv2"}
    assert select("/^(pread|pwrite)64$,close") == {"pread64", "pwrite64", "close"}


def test_names_of_other_architectures_select_nothing() -> None:
    assert select("stat", Abi.AARCH64) == set()
    assert select("?no_such_call,read") == {"read"}


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        (
            "opne",
            "'opne' is no system call (did you mean open?); write for example",
        ),
        ("%mem", "'%mem' is no class of system calls (did you mean %memory?); write for example"),
        ("mem", "'mem' is no system call; write for example openat,read or %file"),
        ("", "selects no system call"),
        ("!", "selects no system call"),
        ("read,,write", "names nothing between two commas"),
        ("/(", "is not a regular expression"),
    ],
)
def test_unknown_items_are_errors_that_show_a_good_one(expression: str, shown: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        syscall_set(expression, Abi.X86_64)
    assert shown in str(error.value)
    assert "\n" not in str(error.value)
