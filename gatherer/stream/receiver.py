"""Receiving side of the stream: bytes in, frames in order out, damage and gaps counted."""

from __future__ import annotations

from dataclasses import dataclass

from gatherer.stream.damage import Damage
from hg_shared.errors import UnsupportedVersion, WireError
from hg_shared.framing import Frame, FrameDecoder, FrameType
from hg_shared.messages import Hello, Message
from hg_shared.wire import MESSAGE_TYPES, decode

MAX_JUMP = 1 << 20
"""A sequence number further ahead than this is not a gap but a lie."""


@dataclass(frozen=True)
class Arrival:
    """One frame that counts.

    Attributes:
        frame: as it came.
        message: what it says; None for record batches and for types unknown here.
    """

    frame: Frame
    message: Message | None


class Receiver:
    """Cuts hunter's stream into frames and watches over their sequence.

    Frames of the sequence come out once each and in order; a repeated one is dropped, a missing
    one is counted. Nothing but a Hello counts before the Hello.

    Attributes:
        hello: hunter's Hello, None until it came.
        loading: hunter is there, and loads its engine before it says Hello.
        wire_bytes: bytes received.
        last_seq: highest sequence number that came out.
        missing_frames: sequence numbers that were passed over.
        repeated_frames: frames dropped because they had come before.
        unknown_frames: frames of types this version does not know.
        damage: places where the stream was not what it should be.
        preview: the first bytes of the stream, for the case that it is none.
    """

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.loading = False
        self.wire_bytes = 0
        self.last_seq = 0
        self.missing_frames = 0
        self.repeated_frames = 0
        self.unknown_frames = 0
        self.damage = Damage()
        self.preview = b""
        self._decoder = FrameDecoder()

    def receive_data(self, data: bytes) -> list[Arrival]:
        """Takes the next bytes, cut anywhere, and returns the frames they complete.

        Raises:
            UnsupportedVersion: the Hello is of another protocol version.
        """
        self.wire_bytes += len(data)
        if len(self.preview) < 200:
            self.preview += data[: 200 - len(self.preview)]
        self._decoder.receive_data(data)
        return self._take()

    def receive_eof(self) -> list[Arrival]:
        """Takes the end of the stream; an unfinished frame is damage.

        Raises:
            UnsupportedVersion: the Hello is of another protocol version.
        """
        self._decoder.receive_eof()
        return self._take()

    def resume(self, decoder: FrameDecoder, frames: list[Frame]) -> list[Arrival]:
        """Goes on with another connection; what the former one left unfinished comes again.

        Args:
            decoder: of the new connection, which has taken its first bytes.
            frames: the frames it has found, which have not been looked at.

        Raises:
            UnsupportedVersion: the Hello is of another protocol version.
        """
        self._decoder = decoder
        return self._arrivals(frames)

    def _take(self) -> list[Arrival]:
        for error in self._decoder.errors:
            self.damage.record(str(error))
        self._decoder.errors.clear()
        return self._arrivals(self._decoder.frames_received())

    def _arrivals(self, frames: list[Frame]) -> list[Arrival]:
        arrivals = []
        for frame in frames:
            arrival = self._arrival(frame)
            if arrival is not None:
                arrivals.append(arrival)
        return arrivals

    def _arrival(self, frame: Frame) -> Arrival | None:
        if self.hello is None and frame.type != FrameType.HELLO:
            if not (self.loading and frame.type == FrameType.HEARTBEAT):
                self.damage.record(f"a frame of type {frame.type} came before the Hello")
            return None
        if frame.seq and not self._follows(frame.seq):
            return None
        if frame.type == FrameType.RECORDS:
            return Arrival(frame, None)
        if frame.type not in MESSAGE_TYPES or frame.type >= FrameType.ACK:
            self.unknown_frames += 1
            return Arrival(frame, None)
        try:
            message = decode(frame)
        except UnsupportedVersion:
            raise
        except WireError as error:
            self.damage.record(place_of(frame, error))
            # It keeps its place in the spool: another version may read more of it.
            return Arrival(frame, None)
        assert not isinstance(message, tuple)
        if isinstance(message, Hello) and not self._is_first(message, frame.seq):
            return None
        return Arrival(frame, message)

    def _follows(self, seq: int) -> bool:
        """Takes a frame's place in the sequence; whether it has one."""
        if seq <= self.last_seq:
            self.repeated_frames += 1
            return False
        if seq - self.last_seq > MAX_JUMP:
            self.damage.record(f"sequence number {seq} after {self.last_seq}")
            return False
        self.missing_frames += seq - self.last_seq - 1
        self.last_seq = seq
        return True

    def _is_first(self, hello: Hello, seq: int) -> bool:
        if hello.loading and not seq and self.hello is None:
            self.loading = True
            return False
        if self.hello is not None or hello.loading:
            self.damage.record("a second Hello")
            return False
        self.hello = hello
        return True


def place_of(frame: Frame, error: WireError) -> str:
    """Returns where in the stream something is wrong, and what.

    Args:
        frame: the frame.
        error: what its payload is not.
    """
    where, text = f"frame {frame.seq}", str(error)
    return text if text.startswith(where) else f"{where}: {text}"
