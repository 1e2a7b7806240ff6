"""The listener for a gatherer that was lost: an abstract unix socket and a handshake.

Abstract sockets belong to the network namespace, which all containers of a pod share: whoever
connects must prove that it knows the secret before it is more than a few bytes of memory here.
"""

from __future__ import annotations

import os
import re
import socket
import time
from typing import Dict, List, NamedTuple, Optional

from hg_shared import rejoin_proof, wire
from hg_shared.errors import WireError
from hg_shared.framing import FrameDecoder
from hg_shared.messages import (
    SOCKET_PREFIX,
    Message,
    RejoinChallenge,
    RejoinHello,
    RejoinResponse,
    SessionKey,
)
from hunter.stream.link import Link

MAX_HANDSHAKES = 8
LISTEN_QUEUE = 64
HANDSHAKE_SECONDS = 5.0
MAX_MESSAGE = 4096
_SESSION = re.compile(r"[0-9a-f]{32}")
_SECRET = re.compile(r"[0-9a-f]{64}")


class RejoinHandshake:
    """The handshake with somebody who wants to join, up to its proof. Pure.

    Args:
        session: name of the session.
        secret: of the session.
        nonce: hunter's random number, hexadecimal.
    """

    def __init__(self, session: str, secret: bytes, nonce: str) -> None:
        self._session = session
        self._secret = secret
        self._nonce = nonce
        self._hello = ""

    def receive(self, message: Message) -> Optional[RejoinChallenge]:
        """Takes a message and returns the answer to a `RejoinHello`, None for everything else."""
        if not isinstance(message, RejoinHello):
            return None
        self._hello = message.nonce
        proof = rejoin_proof.hunter_proof(self._secret, self._session, self._hello, self._nonce)
        return RejoinChallenge(self._nonce, proof)

    def proves(self, join: RejoinResponse) -> bool:
        """Returns whether a `RejoinResponse` comes from who knows the secret."""
        if not self._hello or join.seq < 0:
            return False
        proof = rejoin_proof.gatherer_proof(
            self._secret, self._session, self._hello, self._nonce, join.seq
        )
        return rejoin_proof.same(proof, join.proof)


class Rejoined(NamedTuple):
    """Somebody who knows the secret.

    Attributes:
        link: the connection.
        seq: what gatherer has, up to here.
    """

    link: Link
    seq: int


class _Unproven:
    """A connection that has proved nothing yet."""

    __slots__ = ("connection", "deadline", "decoder", "handshake")

    def __init__(self, connection: socket.socket, handshake: RejoinHandshake) -> None:
        self.connection = connection
        self.handshake = handshake
        self.decoder = FrameDecoder(MAX_MESSAGE)
        self.deadline = time.monotonic() + HANDSHAKE_SECONDS


class RejoinListener:
    """Waits for joiners.

    Args:
        where: as gatherer said.

    Raises:
        ValueError: name or secret are not what they must be.
        OSError: the socket cannot be made, or the name is taken.
    """

    def __init__(self, where: SessionKey) -> None:
        if not _SESSION.fullmatch(where.session) or not _SECRET.fullmatch(where.secret):
            raise ValueError("a session is 32 hexadecimal digits, a secret 64")
        self._session = where.session
        self._secret = bytes.fromhex(where.secret)
        self._pending: Dict[int, _Unproven] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._listener.bind("\0" + SOCKET_PREFIX + where.session)
            self._listener.listen(LISTEN_QUEUE)
            self._listener.setblocking(False)
        except OSError:
            self._listener.close()
            raise

    def handshake(self) -> RejoinHandshake:
        """Returns the state of one more handshake."""
        return RejoinHandshake(
            self._session, self._secret, os.urandom(rejoin_proof.NONCE_BYTES).hex()
        )

    def descriptors(self) -> List[int]:
        """Returns what to wait for: `receive` wants to be called for those that are readable."""
        return [self._listener.fileno(), *self._pending]

    def receive(self, fd: int) -> Optional[Rejoined]:
        """Takes what has come on a descriptor and returns who has proved to be gatherer.

        Args:
            fd: one of `descriptors`.
        """
        pending = self._pending.get(fd)
        if pending is None:
            self._accept()
            return None
        try:
            data = pending.connection.recv(MAX_MESSAGE)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self._forget(fd)
            return None
        pending.decoder.receive_data(data)
        if pending.decoder.errors:
            self._forget(fd)
            return None
        for frame in pending.decoder.frames_received():
            try:
                message = wire.decode(frame)
            except WireError:
                message = None
            if isinstance(message, RejoinResponse):
                if not pending.handshake.proves(message):
                    break
                del self._pending[fd]
                return Rejoined(Link(fd, fd, pending.connection), message.seq)
            answer = (
                pending.handshake.receive(message) if isinstance(message, RejoinHello) else None
            )
            if answer is None or not self._send(pending, answer):
                break
        else:
            return None
        self._forget(fd)
        return None

    def expire(self) -> None:
        """Drops who has taken too long."""
        now = time.monotonic()
        for fd in [fd for fd, pending in self._pending.items() if now > pending.deadline]:
            self._forget(fd)

    def close(self) -> None:
        """Closes everything; a second call does nothing."""
        for fd in list(self._pending):
            self._forget(fd)
        self._listener.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if len(self._pending) >= MAX_HANDSHAKES:
            # The oldest one had its chance; a crowd must not keep gatherer out.
            self._forget(next(iter(self._pending)))
        connection.setblocking(False)
        self._pending[connection.fileno()] = _Unproven(connection, self.handshake())

    @staticmethod
    def _send(pending: _Unproven, message: Message) -> bool:
        data = wire.encode(message)
        try:
            return pending.connection.send(data) == len(data)
        except OSError:
            return False

    def _forget(self, fd: int) -> None:
        self._pending.pop(fd).connection.close()
