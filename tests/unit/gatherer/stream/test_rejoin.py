"""Coming back to a hunter: both halves of the handshake, and who is sent away."""

from __future__ import annotations

import pytest

from gatherer.errors import StreamError
from gatherer.stream.receiver import Receiver
from gatherer.stream.rejoin import MAX_BEFORE, RejoinHandshake, new_session_key
from hg_shared.framing import Frame, FrameDecoder, FrameType
from hg_shared.messages import Joined, RejoinChallenge, RejoinHello, RejoinResponse, SessionKey
from hg_shared.wire import decode, encode
from hunter.stream.rejoin import RejoinHandshake as HunterHandshake
from tests.unit.gatherer.scripted import HELLO, batch, goodbye, process, stream

KEY = SessionKey("5e" * 16, "73" * 32)


class Hunter:
    """Hunter's half."""

    def __init__(self, key: SessionKey = KEY) -> None:
        self.joiner = HunterHandshake(key.session, bytes.fromhex(key.secret), "0a" * 16)
        self.join: RejoinResponse | None = None
        self._decoder = FrameDecoder()

    def receive(self, data: bytes) -> bytes:
        self._decoder.receive_data(data)
        answer = b""
        for frame in self._decoder.frames_received():
            message = decode(frame)
            if isinstance(message, RejoinResponse):
                assert self.joiner.proves(message)
                self.join = message
            else:
                assert isinstance(message, RejoinHello)
                challenge = self.joiner.receive(message)
                assert challenge is not None
                answer += encode(challenge)
        return answer


def joined(
    after: bytes = b"", before: bytes = b"", seq: int = 3, cut: int = 1 << 20
) -> RejoinHandshake:
    """Joins, with hunter's words in pieces."""
    handshake, hunter = RejoinHandshake(KEY, seq), Hunter()
    words = before + hunter.receive(handshake.hello())
    for start in range(0, len(words), cut):
        assert handshake.joined is None
        hunter.receive(handshake.receive_data(words[start : start + cut]))
    assert hunter.join is not None
    assert hunter.join.seq == seq
    words = encode(Joined(seq + 1)) + after
    for start in range(0, len(words), cut):
        assert handshake.receive_data(words[start : start + cut]) == b""
    assert handshake.joined == Joined(seq + 1)
    return handshake


def test_the_secret_travels_once() -> None:
    frame = decode(_only(encode(KEY)))
    assert frame == KEY
    handshake, hunter = RejoinHandshake(KEY, 7), Hunter()
    challenge = hunter.receive(handshake.hello())
    said = handshake.hello() + challenge + handshake.receive_data(challenge)
    assert bytes.fromhex(KEY.secret) not in said
    assert KEY.secret.encode() not in said


def test_session_keys_are_never_the_same() -> None:
    one, other = new_session_key(), new_session_key()
    assert one.session != other.session
    assert one.secret != other.secret
    assert (len(one.session), len(one.secret)) == (32, 64)


@pytest.mark.parametrize("cut", [1, 7, 50, 1 << 20])
def test_the_stream_goes_on_behind_the_handshake(cut: int) -> None:
    frames = stream(HELLO, process(), batch(0, 5), batch(5, 5), goodbye(10))
    receiver = Receiver()
    # The former connection ended inside the fourth frame.
    receiver.receive_data(b"".join(frames)[: len(b"".join(frames[:3])) + 9])
    handshake = joined(b"".join(frames[3:]), cut=cut)
    arrivals = receiver.resume(handshake.decoder, handshake.frames)
    assert [arrival.frame.seq for arrival in arrivals] == [4, 5]
    assert (receiver.missing_frames, receiver.repeated_frames) == (0, 0)
    assert receiver.damage.places == 0
    assert (receiver.receive_eof(), receiver.damage.places) == ([], 0)


def test_what_was_under_way_on_the_same_connection_is_passed_over() -> None:
    frames = stream(HELLO, process(), batch(0, 5))
    handshake = joined(frames[2], before=frames[1][5:] + frames[2] + frames[2][:10])
    assert [frame.seq for frame in handshake.frames] == [3]


def test_frames_before_the_proof_are_not_believed() -> None:
    forged = b"".join(stream(batch(0, 5), start=4))
    handshake = RejoinHandshake(KEY, 3)
    handshake.hello()
    assert handshake.receive_data(encode(Joined(4)) + forged) == b""
    assert handshake.joined is None
    assert handshake.frames == []


def test_who_does_not_know_the_secret_is_not_hunter() -> None:
    handshake = RejoinHandshake(KEY, 3)
    stranger = Hunter(SessionKey(KEY.session, "67" * 32))
    with pytest.raises(StreamError, match="does not know the secret"):
        handshake.receive_data(stranger.receive(handshake.hello()))
    with pytest.raises(StreamError, match="does not know the secret"):
        RejoinHandshake(KEY, 3).receive_data(encode(RejoinChallenge("00" * 16, "00" * 32)))


def test_an_answer_to_another_hello_is_no_proof() -> None:
    first, second, hunter = RejoinHandshake(KEY, 3), RejoinHandshake(KEY, 3), Hunter()
    with pytest.raises(StreamError, match="does not know the secret"):
        second.receive_data(hunter.receive(first.hello()))


def test_a_stranger_cannot_talk_for_ever() -> None:
    handshake = RejoinHandshake(KEY, 3)
    for _ in range(MAX_BEFORE >> 16):
        handshake.receive_data(bytes(1 << 16))
    with pytest.raises(StreamError, match="without an end"):
        handshake.receive_data(b"x")


@pytest.mark.parametrize("number", [FrameType.REJOIN_CHALLENGE, FrameType.JOINED])
def test_an_answer_that_cannot_be_read(number: int) -> None:

    handshake, hunter = RejoinHandshake(KEY, 3), Hunter()
    if number == FrameType.JOINED:
        handshake.receive_data(hunter.receive(handshake.hello()))
    with pytest.raises(StreamError, match="cannot be read"):
        handshake.receive_data(Frame(number, 0, b"!").encode())


def test_hunter_may_not_begin_before_what_has_arrived() -> None:
    handshake, hunter = RejoinHandshake(KEY, 3), Hunter()
    handshake.receive_data(hunter.receive(handshake.hello()))
    with pytest.raises(StreamError, match="again"):
        handshake.receive_data(encode(Joined(3)))


def test_hunter_asks_for_the_right_proof() -> None:
    joiner = HunterHandshake(KEY.session, bytes.fromhex(KEY.secret), "0b" * 16)
    assert not joiner.proves(RejoinResponse("00" * 32, 3))
    joiner.receive(RejoinHello("00" * 16))
    assert not joiner.proves(RejoinResponse("00" * 32, 3))
    handshake, hunter = RejoinHandshake(KEY, 3), Hunter()
    answer = decode(_only(handshake.receive_data(hunter.receive(handshake.hello()))))
    assert isinstance(answer, RejoinResponse)
    assert hunter.joiner.proves(answer)
    # Nor may anybody else's number stand under it.
    assert not hunter.joiner.proves(RejoinResponse(answer.proof, 4))
    assert not hunter.joiner.proves(RejoinResponse(answer.proof, -3))


def _only(data: bytes):  # type: ignore[no-untyped-def]
    decoder = FrameDecoder()
    decoder.receive_data(data)
    (frame,) = decoder.frames_received()
    return frame
