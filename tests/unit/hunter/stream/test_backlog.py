"""Frames are kept until they are acknowledged, and sent again from where gatherer stands."""

from __future__ import annotations

from typing import List

from hypothesis import given
from hypothesis import strategies as st

from hunter.stream.backlog import Backlog


def frame(seq: int) -> bytes:
    return b"<%d>" % seq


def write(backlog: Backlog, size: int = 1 << 20) -> bytes:
    """Writes as a connection that takes so many bytes does."""
    written = b""
    while size and backlog.rest() is not None:
        rest = bytes(backlog.rest() or b"")[:size]
        backlog.wrote(len(rest))
        written += rest
        size -= len(rest)
    return written


def filled(count: int, limit: int = 1 << 20) -> Backlog:
    backlog = Backlog(limit)
    for seq in range(1, count + 1):
        backlog.append(seq, frame(seq), seq % 2 == 0)
    return backlog


def test_frames_go_out_in_order_and_stay_until_acknowledged() -> None:
    backlog = filled(3)
    assert backlog.behind
    assert write(backlog, 4) == b"<1><"
    assert write(backlog) == b"2><3>"
    assert not backlog.behind
    assert backlog.size == 9
    backlog.acknowledge(2)
    assert (backlog.size, backlog.acknowledged) == (3, 2)
    backlog.acknowledge(1)
    assert (backlog.size, backlog.acknowledged) == (3, 2)
    backlog.acknowledge(3)
    assert backlog.size == 0


def test_a_new_connection_begins_with_what_has_not_arrived() -> None:
    backlog = filled(5)
    write(backlog, 10)  # the fourth is cut
    assert backlog.rewind(2) == 3
    assert write(backlog) == b"<3><4><5>"
    assert backlog.rewind(5) == 0
    assert (write(backlog), backlog.size) == (b"", 0)


def test_what_is_outside_the_sequence_is_sent_once_or_never() -> None:
    backlog = Backlog(100)
    backlog.append(0, b"beat", False)
    backlog.append(1, b"<1>", True)
    assert write(backlog, 2) == b"be"
    assert backlog.rewind(0) == 1
    assert write(backlog) == b"<1>"
    backlog.append(0, b"beat", False)
    assert write(backlog) == b"beat"
    backlog.acknowledge(1)
    assert backlog.size == 0


def test_an_interjection_waits_for_the_frame_that_has_begun() -> None:
    backlog = filled(2)
    write(backlog, 1)
    backlog.interject(b"!")
    assert write(backlog) == b"1>!<2>"
    backlog.interject(b"?")
    assert write(backlog) == b"?"
    assert backlog.size == 6


def test_only_sent_records_are_given_up_and_the_oldest_first() -> None:
    backlog = filled(6, limit=18)
    assert backlog.full
    write(backlog, 15)  # 1 to 5
    backlog.give_up(3)
    assert (backlog.given_up, backlog.size) == (1, 15)
    backlog.give_up(100)
    assert backlog.given_up == 2
    assert backlog.rewind(0) == 1
    assert write(backlog) == b"<1><3><5><6>"


@given(st.lists(st.tuples(st.sampled_from("aawwwkrg"), st.integers(0, 9)), max_size=60))
def test_whatever_happens_nothing_is_lost_unseen(steps: List[tuple[str, int]]) -> None:
    """A receiver that keeps the longest prefix gets every frame that was not given up, in order."""
    backlog = Backlog(40)
    made = 0
    stream = b""
    kept: List[int] = []
    for step, number in steps:
        if step == "a":
            made += 1
            backlog.append(made, frame(made), True)
        elif step == "w":
            stream += write(backlog, number)
            kept += _whole(stream, kept)
        elif step == "k":
            backlog.acknowledge(kept[-1] if kept else 0)
        elif step == "g":
            backlog.give_up(number)
        else:
            stream = b""
            backlog.rewind(kept[-1] if kept else 0)
        assert backlog.size >= 0
    stream = b""
    backlog.rewind(kept[-1] if kept else 0)
    stream = write(backlog)
    kept += _whole(stream, kept)
    assert kept == sorted(set(kept))
    assert made - len(kept) <= backlog.given_up


def _whole(stream: bytes, kept: List[int]) -> List[int]:
    numbers = [int(part[1:]) for part in stream.split(b">")[:-1]]
    return [number for number in numbers if not kept or number > kept[-1]]
