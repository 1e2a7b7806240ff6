from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer import clock
from gatherer.clock import CaptureClock, OwnClock
from gatherer.text import byte_count, counted, duration, how_often, printable, safe_command
from hg_shared.messages import Heartbeat
from tests.unit.gatherer.scripted import HELLO, REALTIME, SECOND


@given(st.text(), st.integers(0, 50))
def test_printable_text_is_one_printable_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert not limit or len(shown) <= max(limit, 3)


def test_escapes_name_what_they_stand_for() -> None:
    assert printable("a\x1b[2J\n\u202e\ud800\U000e0001 é 漢") == (
        "a\\x1b[2J\\x0a\\u202e\\ud800\\U000e0001 é 漢"
    )
    assert printable("abcdefgh", 6) == "abc..."
    assert printable("abcdef", 6) == "abcdef"


def test_names_are_sanitised_as_the_contract_says() -> None:
    assert safe_command("a b/c") == "a_b_c"
    assert safe_command("") == "_"
    assert safe_command("é") == "_"
    assert len(safe_command("x" * 1000)) == 64
    assert safe_command("-rf") == "_-rf"
    assert safe_command("..") == "_.."
    assert safe_command("--") == "_--"
    assert safe_command(".hidden") == "_.hidden"
    assert safe_command("a-.b") == "a-.b"
    assert len(safe_command("-" * 1000)) == 64


def test_counts_and_nouns_agree() -> None:
    assert [counted(n, "process") for n in (0, 1, 2)] == ["0 processes", "1 process", "2 processes"]
    assert [counted(n, "record") for n in (0, 1, 2)] == ["0 records", "1 record", "2 records"]
    assert counted(2, "batch") == "2 batches"
    assert counted(2, "entry", "entries") == "2 entries"
    assert [how_often(n) for n in (1, 2)] == ["once", "2 times"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 20, "200.0 MiB"),
        (5 << 40, "5.0 TiB"), (-1, "0 B"), (1 << 200, "1073741824.0 TiB"),
    ],
)  # fmt: skip
def test_byte_counts(count: int | None, text: str) -> None:
    assert byte_count(count) == text


def test_times_are_rfc_3339_with_microseconds() -> None:
    assert clock.rfc3339(REALTIME + 1_234_567) == "2026-09-21T14:13:20.001234Z"
    assert clock.compact_utc(REALTIME) == "20260921T141320Z"


@given(st.integers(-(1 << 100), 1 << 100))
def test_no_time_is_out_of_range(ns: int) -> None:
    assert clock.rfc3339(ns).endswith("Z")


def test_the_zone_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert clock.local_zone() == "+0530 IST"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_capture_clock_counts_from_the_hello() -> None:
    capture = CaptureClock(HELLO, REALTIME)
    assert capture.time(HELLO.monotonic_ns + 2 * SECOND) == "2026-09-21T14:13:22.000000Z"


def test_the_offset_comes_from_the_fastest_frame() -> None:
    # The node's clock is 100 s ahead; frames travel 5 s, 1 s and 3 s.
    ahead = 100 * SECOND
    capture = CaptureClock(HELLO, REALTIME - ahead + 5 * SECOND)
    assert capture.offset_ns == ahead - 5 * SECOND
    for after, travel in ((10, 1), (20, 3)):
        beat = Heartbeat(
            HELLO.monotonic_ns + after * SECOND, REALTIME + after * SECOND, 0, 0, 0, 0.0, 0
        )
        received = REALTIME + (after + travel) * SECOND - ahead
        assert capture.observe(beat, received) is None
        assert capture.offset_ns == ahead - SECOND


def test_steps_of_the_wall_clock_are_told_once_and_move_nothing() -> None:
    capture = CaptureClock(HELLO, REALTIME)
    before = capture.time(HELLO.monotonic_ns + SECOND)

    def beat(after: int, step_ns: int) -> float | None:
        mono = HELLO.monotonic_ns + after * SECOND
        wall = REALTIME + after * SECOND + step_ns
        return capture.observe(Heartbeat(mono, wall, 0, 0, 0, 0.0, 0), REALTIME + after * SECOND)

    assert beat(1, 50_000_000) is None
    assert beat(2, -3 * SECOND) == -3.0
    assert beat(3, -3 * SECOND) is None
    assert beat(4, 0) == 3.0
    assert capture.time(HELLO.monotonic_ns + SECOND) == before
    assert capture.offset_ns == 0


def test_a_step_of_the_own_wall_clock_moves_nothing() -> None:
    difference = [5 * SECOND]
    own = OwnClock(lambda: difference[0])
    capture_clock = CaptureClock(HELLO, HELLO.realtime_ns, own)
    difference[0] += 99_000_000
    assert capture_clock.take_own_step() == 0, "slewed, or read a little later"
    difference[0] -= 3600 * SECOND
    beat = Heartbeat(HELLO.monotonic_ns, HELLO.realtime_ns, 0, 0, 0, 0.0, 0)
    capture_clock.observe(beat, HELLO.realtime_ns - 3600 * SECOND)
    # What gatherer stamps from now on is an hour less, and means the same moment.
    assert capture_clock.offset_ns == 3600 * SECOND
    assert capture_clock.take_own_step() == -3600 * SECOND
    assert capture_clock.take_own_step() == 0
    assert OwnClock().look() == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0s"),
        (0.6, "1s"),
        (59, "59s"),
        (60, "1m"),
        (90, "1m30s"),
        (3600, "1h"),
        (5461, "1h31m1s"),
    ],
)
def test_durations_read_as_options_take_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
