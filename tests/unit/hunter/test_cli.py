"""Hunter's command line."""

from __future__ import annotations

from typing import List

import pytest

from hg_shared.version import __version__
from hunter.cli import parse
from hunter.config import Config, Threshold


def test_defaults() -> None:
    assert parse([]) == Config(Threshold())
    assert parse([]).buffer_bytes == 4 << 20
    assert parse([]).linger == 10.0


def test_every_option() -> None:
    config = parse(
        "--memory 12.5% --of node --growth 1048576 --frequency 0.5 --pid 4 --pid 5 "
        "--exclude-pid 6 --trace %file --string-size 0 --buffer 262144 --linger 3 "
        "--engine ptrace-python --force --sha256 abcd --remove-self".split()
    )
    assert config.threshold == Threshold(12.5, None, "node", 1048576.0)
    assert (config.frequency, config.pids, config.only_pids) == (0.5, (4, 5), False)
    assert (config.exclude, config.trace, config.string_size) == ((6,), "%file", 0)
    assert (config.buffer_bytes, config.linger, config.engine) == (262144, 3.0, "ptrace-python")
    assert (config.force, config.sha256, config.remove_self) == (True, "abcd", True)


def test_memory_is_a_percentage_or_bytes() -> None:
    assert parse(["--memory", "50%"]).threshold == Threshold(percent=50.0)
    assert parse(["--memory", "209715200"]).threshold == Threshold(size=209715200)


def test_with_only_pids_memory_does_not_count() -> None:
    config = parse(["--memory", "50%", "--only-pids", "--pid", "7"])
    assert config.threshold == Threshold()
    assert config.only_pids


def test_a_buffer_that_is_too_small_for_a_record_is_made_bigger() -> None:
    assert parse(["--buffer", "1"]).buffer_bytes == 1 << 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memory", "lots"], "'lots' is neither a percentage such as 50% nor bytes"),
        (["--memory", "-5%"], "argument --memory: expected one argument"),
        (["--memory", "nan%"], "'nan%' is neither"),
        (["--memory", ""], "'' is neither"),
        (["--frequency", "0"], "'0' is not a positive number such as 2"),
        (["--frequency", "inf"], "'inf' is not a positive number"),
        (["--frequency", "often"], "'often' is not a positive number"),
        (["--growth", "nan"], "'nan' is not a positive number"),
        (["--linger", "x"], "'x' is not a positive number"),
        (["--pid", "0"], "'0' is not a process id such as 4711"),
        (["--pid", "1.5"], "'1.5' is not a process id"),
        (["--pid", "99999999999"], "is not a process id"),
        (["--exclude-pid", "me"], "'me' is not a process id"),
        (["--string-size", "65535"], "'65535' is not between 0 and 65534"),
        (["--string-size", "1.5"], "'1.5' is not between 0 and 65534"),
        (["--string-size", "x"], "'x' is not between 0 and 65534"),
        (["--buffer", "4Mi"], "'4Mi' is not a number of bytes such as 4194304"),
        (["--of", "disk"], "argument --of: invalid choice: 'disk'"),
        (["--engine", "magic"], "argument --engine: invalid choice: 'magic'"),
        (["--unheard-of"], "unrecognized arguments: --unheard-of"),
        (["word"], "unrecognized arguments: word"),
    ],
)
def test_a_bad_value_is_one_line_that_shows_a_good_one(
    capsys: pytest.CaptureFixture[str], arguments: List[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("hunter: error: ")
    assert err.endswith("; see hunter.pyz --help\n")
    assert said in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"hunter {__version__}\n"
