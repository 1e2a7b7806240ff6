"""Coming back to a hunter: both halves of the handshake, and who is sent away."""

from __future__ import annotations

import pytest

from gatherer.errors import StreamError
from gatherer.stream.receiver import Reception
from gatherer.stream.rejoin import MAX_BEFORE, Appointment, Joining
from hg_shared.framing import Frame, FrameDecoder, FrameType
from hg_shared.messages import Challenge, Join, Joined, Knock, Rendezvous
from hg_shared.wire import decode, encode
from hunter.stream.rejoin import RejoinHandshake
from tests.unit.gatherer.scripted import HELLO, batch, goodbye, process, stream

APPOINTMENT = Appointment("5e" * 16, b"s" * 32)


class Hunter:
    """Hunter's half."""

    def __init__(self, appointment: Appointment = APPOINTMENT) -> None:
        self.joiner = RejoinHandshake(appointment.session, appointment.secret, "0a" * 16)
        self.join: Join | None = None
        self._decoder = FrameDecoder()

    def receive(self, data: bytes) -> bytes:
        self._decoder.receive_data(data)
        answer = b""
        for frame in self._decoder.frames_received():
            message = decode(frame)
            if isinstance(message, Join):
                assert self.joiner.proves(message)
                self.join = message
            else:
                assert isinstance(message, Knock)
                challenge = self.joiner.receive(message)
                assert challenge is not None
                answer += encode(challenge)
        return answer


def joined(after: bytes = b"", before: bytes = b"", seq: int = 3, cut: int = 1 << 20) -> Joining:
    """Joins, with hunter's words in pieces."""
    joining, hunter = Joining(APPOINTMENT, seq), Hunter()
    words = before + hunter.receive(joining.knock())
    for start in range(0, len(words), cut):
        assert joining.joined is None
        hunter.receive(joining.receive_data(words[start : start + cut]))
    assert hunter.join is not None
    assert hunter.join.seq == seq
    words = encode(Joined(seq + 1)) + after
    for start in range(0, len(words), cut):
        assert joining.receive_data(words[start : start + cut]) == b""
    assert joining.joined == Joined(seq + 1)
    return joining


def test_the_secret_travels_once() -> None:
    frame = decode(_only(APPOINTMENT.rendezvous()))
    assert frame == Rendezvous("5e" * 16, (b"s" * 32).hex())
    joining, hunter = Joining(APPOINTMENT, 7), Hunter()
    challenge = hunter.receive(joining.knock())
    said = joining.knock() + challenge + joining.receive_data(challenge)
    assert APPOINTMENT.secret not in said
    assert APPOINTMENT.secret.hex().encode() not in said


def test_appointments_are_never_the_same() -> None:
    one, other = Appointment.make(), Appointment.make()
    assert one.session != other.session
    assert one.secret != other.secret
    assert (len(one.session), len(one.secret)) == (32, 32)


@pytest.mark.parametrize("cut", [1, 7, 50, 1 << 20])
def test_the_stream_goes_on_behind_the_handshake(cut: int) -> None:
    frames = stream(HELLO, process(), batch(0, 5), batch(5, 5), goodbye(10))
    reception = Reception()
    # The former connection ended inside the fourth frame.
    reception.receive_data(b"".join(frames)[: len(b"".join(frames[:3])) + 9])
    joining = joined(b"".join(frames[3:]), cut=cut)
    arrivals = reception.resume(joining.decoder, joining.frames)
    assert [arrival.frame.seq for arrival in arrivals] == [4, 5]
    assert (reception.missing_frames, reception.repeated_frames) == (0, 0)
    assert reception.damage.places == 0
    assert (reception.receive_eof(), reception.damage.places) == ([], 0)


def test_what_was_under_way_on_the_same_connection_is_passed_over() -> None:
    frames = stream(HELLO, process(), batch(0, 5))
    joining = joined(frames[2], before=frames[1][5:] + frames[2] + frames[2][:10])
    assert [frame.seq for frame in joining.frames] == [3]


def test_frames_before_the_proof_are_not_believed() -> None:
    forged = b"".join(stream(batch(0, 5), start=4))
    joining = Joining(APPOINTMENT, 3)
    joining.knock()
    assert joining.receive_data(encode(Joined(4)) + forged) == b""
    assert joining.joined is None
    assert joining.frames == []


def test_who_does_not_know_the_secret_is_not_hunter() -> None:
    joining = Joining(APPOINTMENT, 3)
    stranger = Hunter(Appointment(APPOINTMENT.session, b"g" * 32))
    with pytest.raises(StreamError, match="does not know the secret"):
        joining.receive_data(stranger.receive(joining.knock()))
    with pytest.raises(StreamError, match="does not know the secret"):
        Joining(APPOINTMENT, 3).receive_data(encode(Challenge("00" * 16, "00" * 32)))


def test_an_answer_to_another_knock_is_no_proof() -> None:
    first, second, hunter = Joining(APPOINTMENT, 3), Joining(APPOINTMENT, 3), Hunter()
    with pytest.raises(StreamError, match="does not know the secret"):
        second.receive_data(hunter.receive(first.knock()))


def test_a_stranger_cannot_talk_for_ever() -> None:
    joining = Joining(APPOINTMENT, 3)
    for _ in range(MAX_BEFORE >> 16):
        joining.receive_data(bytes(1 << 16))
    with pytest.raises(StreamError, match="without an end"):
        joining.receive_data(b"x")


@pytest.mark.parametrize("number", [FrameType.CHALLENGE, FrameType.JOINED])
def test_an_answer_that_cannot_be_read(number: int) -> None:

    joining, hunter = Joining(APPOINTMENT, 3), Hunter()
    if number == FrameType.JOINED:
        joining.receive_data(hunter.receive(joining.knock()))
    with pytest.raises(StreamError, match="cannot be read"):
        joining.receive_data(Frame(number, 0, b"!").encode())


def test_hunter_may_not_begin_before_what_has_arrived() -> None:
    joining, hunter = Joining(APPOINTMENT, 3), Hunter()
    joining.receive_data(hunter.receive(joining.knock()))
    with pytest.raises(StreamError, match="again"):
        joining.receive_data(encode(Joined(3)))


def test_hunter_asks_for_the_right_proof() -> None:
    joiner = RejoinHandshake(APPOINTMENT.session, APPOINTMENT.secret, "0b" * 16)
    assert not joiner.proves(Join("00" * 32, 3))
    joiner.receive(Knock("00" * 16))
    assert not joiner.proves(Join("00" * 32, 3))
    joining, hunter = Joining(APPOINTMENT, 3), Hunter()
    answer = decode(_only(joining.receive_data(hunter.receive(joining.knock()))))
    assert isinstance(answer, Join)
    assert hunter.joiner.proves(answer)
    # Nor may anybody else's number stand under it.
    assert not hunter.joiner.proves(Join(answer.proof, 4))
    assert not hunter.joiner.proves(Join(answer.proof, -3))


def _only(data: bytes):  # type: ignore[no-untyped-def]
    decoder = FrameDecoder()
    decoder.receive_data(data)
    (frame,) = decoder.frames_received()
    return frame
