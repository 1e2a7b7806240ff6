"""Gatherer's side of coming back to a hunter that it has lost. Pure.

handshake = RejoinHandshake(key, receiver.last_seq)
send(handshake.hello())
while handshake.joined is None:
    send(handshake.receive_data(receive()))
receiver.resume(handshake.decoder, handshake.frames)
"""

from __future__ import annotations

import secrets
from typing import TypeVar

from gatherer.errors import StreamError
from hg_shared.errors import WireError
from hg_shared.framing import Frame, FrameDecoder, FrameType
from hg_shared.messages import Joined, RejoinChallenge, RejoinHello, RejoinResponse, SessionKey
from hg_shared.rejoin_proof import NONCE_BYTES, SECRET_BYTES, gatherer_proof, hunter_proof, same
from hg_shared.wire import decode, encode

M = TypeVar("M", RejoinChallenge, Joined)

MAX_BEFORE = 8 << 20
"""Bytes that may come before the answer: what was under way on a connection that is joined anew."""


def new_session_key() -> SessionKey:
    """Returns what gatherer and a hunter agree on while they are connected."""
    return SessionKey(secrets.token_hex(16), secrets.token_hex(SECRET_BYTES))


class RejoinHandshake:
    """One attempt.

    Args:
        key: as hunter knows it.
        seq: gatherer has everything up to this sequence number.

    Attributes:
        joined: hunter's acceptance; the stream follows it.
        decoder: decodes the rest of the stream.
        frames: frames of the stream that came together with `joined`.
    """

    def __init__(self, key: SessionKey, seq: int) -> None:
        self.joined: Joined | None = None
        self.decoder = FrameDecoder()
        self.frames: list[Frame] = []
        self._key = key
        self._seq = seq
        self._nonce = secrets.token_hex(NONCE_BYTES)
        self._answered = False
        self._before = 0

    def hello(self) -> bytes:
        """Returns what is sent first."""
        return encode(RejoinHello(self._nonce))

    def receive_data(self, data: bytes) -> bytes:
        """Takes what hunter says and returns what to answer; nothing may be sent beyond that.

        Raises:
            StreamError: what answers is not this session's hunter.
        """
        self._before += len(data)
        if self._before > MAX_BEFORE:
            raise StreamError("what answers instead of hunter talks without an end")
        self.decoder.receive_data(data)
        answer = b""
        for frame in self.decoder.frames_received():
            if self.joined is not None:
                self.frames.append(frame)
            elif frame.type == FrameType.REJOIN_CHALLENGE and not self._answered:
                answer = self._response(frame)
            elif frame.type == FrameType.JOINED and self._answered:
                self.joined = self._message(frame, Joined)
                if self.joined.seq <= self._seq:
                    raise StreamError("hunter wants to send again what it was told has arrived")
            # Anything else was under way before hunter got the hello, and comes again.
        # Nor is it damage that the first bytes are the rest of a frame.
        self.decoder.errors.clear()
        return answer

    def _response(self, frame: Frame) -> bytes:
        challenge = self._message(frame, RejoinChallenge)
        session, secret = self._key.session, bytes.fromhex(self._key.secret)
        expected = hunter_proof(secret, session, self._nonce, challenge.nonce)
        if not same(expected, challenge.proof):
            raise StreamError("what answers instead of hunter does not know the secret")
        self._answered = True
        proof = gatherer_proof(secret, session, self._nonce, challenge.nonce, self._seq)
        return encode(RejoinResponse(proof, self._seq))

    @staticmethod
    def _message(frame: Frame, cls: type[M]) -> M:
        try:
            message = decode(frame)
        except WireError as error:
            raise StreamError(f"hunter's answer cannot be read: {error}") from error
        assert isinstance(message, cls)
        return message
