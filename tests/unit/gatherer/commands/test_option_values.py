from __future__ import annotations

import pytest

from gatherer.commands import option_values
from gatherer.config import MemoryThreshold
from gatherer.text import quoted


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50", MemoryThreshold(percent="50")),
        ("12.3", MemoryThreshold(percent="12.3")),
        ("12.3%", MemoryThreshold(percent="12.3")),
        ("0", MemoryThreshold(percent="0")),
        ("100%", MemoryThreshold(percent="100")),
        ("200Mi", MemoryThreshold(size_bytes=200 << 20)),
        ("1.5Gi", MemoryThreshold(size_bytes=3 << 29)),
        ("200M", MemoryThreshold(size_bytes=200_000_000)),
        ("64k", MemoryThreshold(size_bytes=64_000)),
    ],
)
def test_memory(text: str, value: MemoryThreshold) -> None:
    assert option_values.parse_memory(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " 50", "50 ", "-1", "+5", "101", "100.1%", "5O", "50%%", "nan", "inf", "1e1", "200MB",
        "200MiB", "Mi", "1_0", "٣", ".5", "5.", "0x10", "50\n", "200mi", "%", "9" * 40,
    ],
)  # fmt: skip
def test_memory_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 50 or 12\.3%, or a size such as 200Mi"):
        option_values.parse_memory(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("30", 30.0), ("30s", 30.0), ("5m", 300.0), ("5min", 300.0), ("1.5h", 5400.0), ("0.5", 0.5)],
)
def test_duration(text: str, value: float) -> None:
    assert option_values.parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "0", "0s", "-5", "5 m", "5d", "m", "1e3", "nan", "5m30s"])
def test_duration_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30, 30s or 5m"):
        option_values.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5Mi/s", 5 << 20),
        ("100Mi/min", (100 << 20) // 60),
        ("1k/h", 1),
        ("100/s", 100),
    ],
)
def test_rate(text: str, value: int) -> None:
    assert option_values.parse_rate(text) == value


@pytest.mark.parametrize("text", ["5Mi", "0/s", "Mi/s", "5Mi/sec", "5Mi / s", "5%/s", "5Ti/s"])
def test_rate_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="such as 5Mi/s or 100Mi/min"):
        option_values.parse_rate(text)


def test_sizes_and_the_bounds_of_the_buffer() -> None:
    assert option_values.parse_size("4Mi") == 4 << 20
    assert option_values.parse_size("4194304") == 4 << 20
    assert option_values.parse_buffer("256Ki") == 256 << 10
    for text in ("1.5", "4MB", "", "-4Mi"):
        with pytest.raises(ValueError, match="is no size; give one such as 4Mi"):
            option_values.parse_size(text)
    for text in ("255Ki", "2Gi"):
        with pytest.raises(ValueError, match="out of range; give 256Ki to 1Gi"):
            option_values.parse_buffer(text)


def test_frequency_linger_pid_and_string_size_keep_to_their_ranges() -> None:
    assert option_values.parse_frequency("0.5") == 0.5
    assert option_values.parse_linger("10") == 10.0
    assert option_values.parse_execs("1000") == 1000
    assert option_values.parse_selector(" env in (a,b),!old ") == "env in (a,b),!old"
    assert option_values.parse_pid("4711") == 4711
    assert option_values.parse_string_size("0") == 0
    for parse, text in (
        (option_values.parse_frequency, "0"),
        (option_values.parse_frequency, "1e9"),
        (option_values.parse_linger, "0.5"),
        (option_values.parse_execs, "0"),
        (option_values.parse_execs, "1001"),
        (option_values.parse_execs, "many"),
        (option_values.parse_selector, ""),
        (option_values.parse_selector, " "),
        (option_values.parse_selector, "app=\x1b"),
        (option_values.parse_pid, "0"),
        (option_values.parse_pid, "-1"),
        (option_values.parse_pid, "4194305"),
        (option_values.parse_string_size, "65535"),
        (option_values.parse_string_size, "12.5"),
    ):
        with pytest.raises(ValueError, match="give"):
            parse(text)


def test_trace_set_takes_what_strace_takes_and_nothing_else() -> None:
    for text in ("openat,read", "%memory", "!futex", "trace=%file", "all"):
        assert option_values.parse_trace_set(text) == text
    for text in ("", "openat,,read", "opennat", "%nothing", "read\nwrite"):
        with pytest.raises(ValueError, match=r"write for example|give one such as"):
            option_values.parse_trace_set(text)


def test_shown_values_are_short_and_printable() -> None:
    assert quoted("a\x1b[2J") == "'a\\x1b[2J'"
    assert len(quoted("x" * 500)) == 42


@pytest.mark.parametrize(
    "text",
    [
        "auto", "none", "coroot", "parca", "collector", "http://10.0.0.5:9100/metrics",
        "https://user:secret@agent.example/metrics?x=1", "http://[::1]:80",
    ],
)  # fmt: skip
def test_agent(text: str) -> None:
    assert option_values.parse_agent(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "Coroot", "10.0.0.5:9100", "ftp://host/", "http://", "http:///metrics",
        "http://host:99999/", "http://host:0/", "http://ho st/", "http://host/\r\nX: y",
        "http://host/#part", "http://h\u00f6st/", "http://[::1/",
    ],
)  # fmt: skip
def test_agent_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"http://10\.0\.0\.5:9100/metrics") as caught:
        option_values.parse_agent(text)
    assert str(caught.value).isprintable()


def test_agent_interval() -> None:
    assert option_values.parse_interval("1.5") == 1.5
    for text in ("0", "0.5", "3601", "x", "-1"):
        with pytest.raises(ValueError, match="such as 1"):
            option_values.parse_interval(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("0s", 0), ("30", 30), ("90s", 90), ("5m", 300), ("1.5h", 5400)]
)
def test_wait(text: str, value: float) -> None:
    assert option_values.parse_wait(text) == value


@pytest.mark.parametrize("text", ["", "-1", "5x", "m", "1e3", "inf", " 5"])
def test_wait_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="give one such as 0, 30s or 5m"):
        option_values.parse_wait(text)


@pytest.mark.parametrize(
    "text",
    ["http://me:s3cret@h:bad/x", "ftp://me:s3cret@h/x", "http://me:s3cret@", "htp:/me:s3cret@h"],
)
def test_the_password_of_an_agents_url_is_in_no_message(text: str) -> None:
    with pytest.raises(ValueError, match="…@") as caught:
        option_values.parse_agent(text)
    assert "s3cret" not in str(caught.value)
