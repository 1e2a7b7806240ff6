"""Names of errno, signals and flags against what this system knows of them."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import socket

import pytest

from hg_shared.abi_flags import TEXT, flag_table
from hg_shared.linux_abi import ERRNO, RESTARTS, SIGNALS, signal_name
from hg_shared.records import Abi


def test_errno_names_and_texts_are_those_of_strerror() -> None:
    for number, name in errno.errorcode.items():
        found, text = ERRNO[number]
        assert getattr(errno, found) == number
        assert text == os.strerror(number), name
    assert {ERRNO[number][0] for number in RESTARTS} == {
        "ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ERESTART_RESTARTBLOCK",
    }  # fmt: skip


def test_signal_names_are_those_of_the_system() -> None:
    for number in signal.Signals:
        if int(number) < 32:
            assert int(getattr(signal, SIGNALS[int(number)])) == int(number)
    assert signal_name(9) == "SIGKILL"
    assert signal_name(32) == "SIGRTMIN"
    assert signal_name(37) == "SIGRT_5"
    assert signal_name(0) == "0"
    assert signal_name(-3) == "-3"


@pytest.mark.parametrize(
    ("table", "module", "prefix"),
    [
        ("mmap_flags", mmap, "MAP_"),
        ("mmap_prot", mmap, "PROT_"),
        ("sock_domain", socket, "AF_"),
        ("sock_flags", socket, "SOCK_"),
        ("msg_flags", socket, "MSG_"),
        ("open_bits", os, "O_"),
        ("sched_policy", os, "SCHED_"),
        ("wait_options", os, "W"),
    ],
)
def test_values_are_those_of_the_system(table: str, module: object, prefix: str) -> None:
    found = flag_table(table)
    assert found is not None
    known = [
        (name, value)
        for value, name in found.names
        if name.startswith(prefix) and hasattr(module, name)
    ]
    assert known
    for name, value in known:
        if name in ("O_LARGEFILE", "O_RSYNC"):
            continue
        assert int(getattr(module, name)) == value, name


def test_tables_of_aarch64_differ_where_the_architecture_does() -> None:
    x86, arm = flag_table("open_bits"), flag_table("open_bits", Abi.AARCH64)
    assert x86 is not None
    assert arm is not None
    assert {name: value for value, name in x86.names}["O_DIRECTORY"] == 0x10000
    assert {name: value for value, name in arm.names}["O_DIRECTORY"] == 0x4000
    assert flag_table("madvice", Abi.AARCH64) is flag_table("madvice")
    assert flag_table("no such table") is None


def test_every_table_parses_and_has_no_value_twice() -> None:
    tables = [line.split(" ", 1)[0] for line in TEXT.replace("\n ", " ").splitlines()]
    assert len(tables) == len(set(tables))
    for table in tables:
        found = flag_table(table)
        assert found is not None
        values = [value for value, _ in found.names]
        assert len(values) == len(set(values)), table
        assert all(name.isidentifier() for _, name in found.names), table
