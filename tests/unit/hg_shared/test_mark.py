"""The mark in signal dispositions by which hunters know each other's processes."""

import re
import signal
from typing import Iterator

import pytest

from hg_shared import mark

NUMBERS = range(mark.FIRST, mark.LAST + 1)


def sig_ign() -> str:
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith("SigIgn"))


@pytest.fixture(autouse=True)
def dispositions() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in NUMBERS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("58d2c72c00000000", True),
        ("58d2c72c00001006", True),  # SIGINT, SIGQUIT and SIGPIPE beside it
        ("58d2c72f80001006", True),  # what C libraries do with theirs does not matter
        ("0000000000001000", False),
        ("0000000000000000", False),
        ("ffffffffffffffff", False),  # a kernel thread; a program that ignores all it can
        ("fffffffc00000000", False),
        ("58d2c72400000000", False),
        ("58d2c73c00000000", False),
        ("", False),
        ("no number", False),
    ],
)
def test_only_this_pattern_is_the_mark(text: str, marked: bool) -> None:
    assert mark.is_marked(text) is marked
    if re.fullmatch("[0-9a-f]+", text):
        assert mark.is_marked(int(text, 16)) is marked


def test_it_uses_no_signal_of_the_c_library_and_neither_few_nor_all() -> None:
    assert mark.FIRST == 35  # glibc has 32 and 33, musl 34 too
    assert mark.MARK & ((1 << 34) - 1) == 0
    assert 10 <= bin(mark.MARK).count("1") <= 20


def test_a_process_carries_it_until_it_is_taken_off() -> None:
    assert not mark.is_marked(sig_ign())
    mark.set_mark()
    assert mark.is_marked(sig_ign())
    mark.clear_mark()
    assert int(sig_ign(), 16) >> 34 == 0


def test_what_was_ignored_before_does_not_disturb_it() -> None:
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)
    mark.set_mark()
    assert mark.is_marked(sig_ign())


def test_the_lines_for_python_and_for_a_shell_say_the_same() -> None:
    exec(mark.PYTHON, {})
    assert mark.is_marked(sig_ign())
    words = mark.SHELL.split()
    assert words[:2] == ["trap", "''"]
    assert sum(1 << (int(word) - 1) for word in words[2:]) == mark.MARK
    assert mark.SHELL.endswith("\n")
    assert "'" not in mark.PYTHON  # it stands between quotes in scripts


def test_it_is_lifted_while_a_foreign_program_is_started() -> None:
    mark.set_mark()
    with mark.lifted():
        assert int(sig_ign(), 16) >> 34 == 0
        with mark.lifted():
            pass
        assert int(sig_ign(), 16) >> 34 == 0  # the other one has not been started yet
    assert mark.is_marked(sig_ign())


def test_a_process_without_it_does_not_get_it_by_lifting() -> None:
    with mark.lifted():
        pass
    assert int(sig_ign(), 16) >> 34 == 0
