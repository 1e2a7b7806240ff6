from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.stream.damage import MAX_NAMED
from gatherer.stream.receiver import MAX_JUMP, Receiver
from hg_shared.errors import UnsupportedVersion
from hg_shared.framing import Frame, FrameType
from hg_shared.messages import Heartbeat
from hg_shared.wire import encode
from tests.unit.gatherer.scripted import HELLO, batch, event, goodbye, process, stream

STREAM = stream(HELLO, process(), batch(0, 3), Heartbeat(1, 2, 3, 0, 0, 0.1, 5), goodbye(3))
DATA = b"".join(STREAM)


def receive(*chunks: bytes) -> tuple[Receiver, list[int]]:
    receiver = Receiver()
    types = []
    for chunk in chunks:
        types += [arrival.frame.type for arrival in receiver.receive_data(chunk)]
    types += [arrival.frame.type for arrival in receiver.receive_eof()]
    return receiver, types


def test_every_cut_gives_the_same_frames() -> None:
    expected = [FrameType.HELLO, FrameType.PROCESS, FrameType.RECORDS, FrameType.HEARTBEAT,
                FrameType.GOODBYE]  # fmt: skip
    for cut in range(0, len(DATA), 3):
        receiver, types = receive(DATA[:cut], DATA[cut:])
        assert types == expected
        assert receiver.hello == HELLO
        assert (receiver.damage.places, receiver.missing_frames) == (0, 0)
        assert (receiver.last_seq, receiver.wire_bytes) == (4, len(DATA))
    assert receive(*(DATA[n : n + 1] for n in range(len(DATA))))[1] == expected


def test_trailing_bytes_are_damage() -> None:
    receiver, types = receive(DATA + b"HG tail")
    assert len(types) == 5
    assert receiver.damage.places == 1


def test_nothing_counts_before_the_hello() -> None:
    receiver, types = receive(STREAM[1] + STREAM[0])
    assert types == [FrameType.HELLO]
    assert receiver.damage.named == ["a frame of type 5 came before the Hello"]


def test_a_hunter_that_loads_its_engine_is_there_before_its_hello() -> None:
    early = encode(replace(HELLO, loading=True)) + encode(Heartbeat(1, 2, 0, 0, 0, 0.1, 5))
    for cut in range(len(early) + 1):
        receiver, types = receive(early[:cut], early[cut:])
        assert (types, receiver.hello, receiver.loading) == ([], None, True)
        assert (receiver.damage.places, receiver.last_seq) == (0, 0)
    receiver, types = receive(early + DATA)
    assert types == receive(DATA)[1]
    assert receiver.hello == HELLO
    assert (receiver.damage.places, receiver.missing_frames) == (0, 0)


def test_a_hunter_does_not_begin_to_load_when_it_has_said_hello() -> None:
    early = encode(replace(HELLO, loading=True))
    receiver, types = receive(STREAM[0] + early)
    assert types == [FrameType.HELLO]
    assert receiver.damage.named == ["a second Hello"]
    assert receiver.loading is False


def test_a_second_hello_is_damage() -> None:
    receiver, types = receive(*stream(HELLO, HELLO))
    assert types == [FrameType.HELLO]
    assert receiver.damage.named == ["a second Hello"]


def test_gaps_and_repetitions_are_counted() -> None:
    frames = stream(HELLO, event("a"), event("b"), event("c"), event("d"))
    receiver, types = receive(frames[0], frames[1], frames[1], frames[4], frames[3])
    assert types == [FrameType.HELLO, FrameType.EVENT, FrameType.EVENT]
    assert (receiver.missing_frames, receiver.repeated_frames) == (2, 2)


def test_a_sequence_number_that_lies_is_no_gap() -> None:
    lie = Frame(FrameType.EVENT, MAX_JUMP + 9, b"{}").encode()
    receiver, types = receive(STREAM[0], lie, STREAM[1])
    assert types == [FrameType.HELLO, FrameType.PROCESS]
    assert receiver.missing_frames == 0
    assert receiver.damage.named == [f"sequence number {MAX_JUMP + 9} after 1"]


def test_what_only_gatherer_sends_is_unknown_from_hunter() -> None:
    stop = Frame(FrameType.STOP, 0, b'{"reason": "x"}').encode()
    receiver, _ = receive(STREAM[0], stop, Frame(200, 2, b"?").encode())
    assert receiver.unknown_frames == 2
    assert receiver.damage.places == 0


def test_a_payload_that_breaks_its_promise_keeps_its_place() -> None:
    receiver, types = receive(STREAM[0], Frame(FrameType.EVENT, 2, b"[]").encode())
    assert types == [FrameType.HELLO, FrameType.EVENT]
    assert receiver.damage.named == ["frame 2: Event is not a JSON object"]


def test_hello_of_another_version() -> None:
    with pytest.raises(UnsupportedVersion):
        receive(Frame(FrameType.HELLO, 1, b'{"protocol": 2}').encode())


def test_damage_is_described_a_bounded_number_of_times() -> None:
    receiver, _ = receive(*(Frame(FrameType.EVENT, 0, b"").encode() for _ in range(1000)))
    assert receiver.damage.places == 1000
    assert len(receiver.damage.named) == MAX_NAMED


@given(st.binary(max_size=2000))
def test_garbage_is_survived(data: bytes) -> None:
    receiver, types = receive(data)
    assert types == []
    assert receiver.hello is None


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
        receiver, types = receive(bytes(data))
    except UnsupportedVersion:
        pytest.fail("a checksum that fits by chance")
    whole = receiver.damage.places == receiver.missing_frames == 0
    assert not whole or len(types) < 6
