from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.stream.damage import MAX_NAMED
from gatherer.stream.receiver import MAX_JUMP, Reception
from hg_shared.errors import UnsupportedVersion
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Heartbeat
from hg_shared.wire import encode
from tests.unit.gatherer.scripted import HELLO, batch, event, goodbye, process, stream

STREAM = stream(HELLO, process(), batch(0, 3), Heartbeat(1, 2, 3, 0, 0, 0.1, 5), goodbye(3))
DATA = b"".join(STREAM)


def receive(*chunks: bytes) -> tuple[Reception, list[int]]:
    reception = Reception()
    types = []
    for chunk in chunks:
        types += [arrival.frame.type for arrival in reception.receive_data(chunk)]
    types += [arrival.frame.type for arrival in reception.receive_eof()]
    return reception, types


def test_every_cut_gives_the_same_frames() -> None:
    expected = [FrameType.HELLO, FrameType.PROCESS, FrameType.RECORDS, FrameType.HEARTBEAT,
                FrameType.GOODBYE]  # fmt: skip
    for cut in range(0, len(DATA), 3):
        reception, types = receive(DATA[:cut], DATA[cut:])
        assert types == expected
        assert reception.hello == HELLO
        assert (reception.damage.places, reception.missing_frames) == (0, 0)
        assert (reception.last_seq, reception.wire_bytes) == (4, len(DATA))
    assert receive(*(DATA[n : n + 1] for n in range(len(DATA))))[1] == expected


def test_trailing_bytes_are_damage() -> None:
    reception, types = receive(DATA + b"HG tail")
    assert len(types) == 5
    assert reception.damage.places == 1


def test_nothing_counts_before_the_hello() -> None:
    reception, types = receive(STREAM[1] + STREAM[0])
    assert types == [FrameType.HELLO]
    assert reception.damage.named == ["a frame of type 5 came before the Hello"]


def test_a_hunter_that_loads_its_engine_is_there_before_its_hello() -> None:
    early = encode(replace(HELLO, loading=True)) + encode(Heartbeat(1, 2, 0, 0, 0, 0.1, 5))
    for cut in range(len(early) + 1):
        reception, types = receive(early[:cut], early[cut:])
        assert (types, reception.hello, reception.loading) == ([], None, True)
        assert (reception.damage.places, reception.last_seq) == (0, 0)
    reception, types = receive(early + DATA)
    assert types == receive(DATA)[1]
    assert reception.hello == HELLO
    assert (reception.damage.places, reception.missing_frames) == (0, 0)


def test_a_hunter_does_not_begin_to_load_when_it_has_said_hello() -> None:
    early = encode(replace(HELLO, loading=True))
    reception, types = receive(STREAM[0] + early)
    assert types == [FrameType.HELLO]
    assert reception.damage.named == ["a second Hello"]
    assert reception.loading is False


def test_a_second_hello_is_damage() -> None:
    reception, types = receive(*stream(HELLO, HELLO))
    assert types == [FrameType.HELLO]
    assert reception.damage.named == ["a second Hello"]


def test_gaps_and_repetitions_are_counted() -> None:
    frames = stream(HELLO, event("a"), event("b"), event("c"), event("d"))
    reception, types = receive(frames[0], frames[1], frames[1], frames[4], frames[3])
    assert types == [FrameType.HELLO, FrameType.EVENT, FrameType.EVENT]
    assert (reception.missing_frames, reception.repeated_frames) == (2, 2)


def test_a_sequence_number_that_lies_is_no_gap() -> None:
    lie = Frame(FrameType.EVENT, MAX_JUMP + 9, b"{}").encode()
    reception, types = receive(STREAM[0], lie, STREAM[1])
    assert types == [FrameType.HELLO, FrameType.PROCESS]
    assert reception.missing_frames == 0
    assert reception.damage.named == [f"sequence number {MAX_JUMP + 9} after 1"]


def test_what_only_gatherer_sends_is_unknown_from_hunter() -> None:
    stop = Frame(FrameType.STOP, 0, b'{"reason": "x"}').encode()
    reception, _ = receive(STREAM[0], stop, Frame(200, 2, b"?").encode())
    assert reception.unknown_frames == 2
    assert reception.damage.places == 0


def test_a_payload_that_breaks_its_promise_keeps_its_place() -> None:
    reception, types = receive(STREAM[0], Frame(FrameType.EVENT, 2, b"[]").encode())
    assert types == [FrameType.HELLO, FrameType.EVENT]
    assert reception.damage.named == ["frame 2: Event is not a JSON object"]


def test_hello_of_another_version() -> None:
    with pytest.raises(UnsupportedVersion):
        receive(Frame(FrameType.HELLO, 1, b'{"protocol": 2}').encode())


def test_damage_is_described_a_bounded_number_of_times() -> None:
    reception, _ = receive(*(Frame(FrameType.EVENT, 0, b"").encode() for _ in range(1000)))
    assert reception.damage.places == 1000
    assert len(reception.damage.named) == MAX_NAMED


@given(st.binary(max_size=2000))
def test_garbage_is_survived(data: bytes) -> None:
    reception, types = receive(data)
    assert types == []
    assert reception.hello is None


@given(st.integers(0, 1 << 32))
def test_mutated_streams_are_survived(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(DATA)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : at + chance.randint(1, 40)]
        else:
            data[at:at] = chance.randbytes(chance.randint(1, 40))
    try:
        reception, types = receive(bytes(data))
    except UnsupportedVersion:
        pytest.fail("a checksum that fits by chance")
    whole = reception.damage.places == reception.missing_frames == 0
    assert not whole or len(types) < 6
