"""Frames: how both directions of the stream between hunter and gatherer are cut.

A frame is a 20-byte header and a payload. Little-endian; docs/wire-format.md has the byte table.

    offset size field
    0      2    magic "HG"
    2      1    type
    3      1    flags: bit 0 = payload is a zlib stream
    4      4    payload length, at most MAX_PAYLOAD
    8      8    sequence number; 0 for frames outside the sequence
    16     4    CRC-32 of bytes 0..15 and the payload
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import List

from hg_shared.errors import (
    BadChecksum,
    BadMagic,
    BadPayload,
    PayloadTooBig,
    TruncatedStream,
    WireError,
)

MAGIC = b"HG"
FLAG_ZLIB = 1
# One batch is 64 KiB before compression; process tables and fd tables stay far below this.
MAX_PAYLOAD = 4 << 20
# Bytes that are checksummed in vain for each byte of the stream; then damaged frames are passed
# over as a whole.
VAIN_SHARE = 16
HEADER = Struct("<2sBBIQ")
CRC = Struct("<I")
HEADER_SIZE = HEADER.size + CRC.size


class FrameType(IntEnum):
    """The contents of a frame. Types below 32 come from hunter, from 32 on from gatherer."""

    HELLO = 1
    RECORDS = 2
    EVENT = 3
    SAMPLE = 4
    PROCESS = 5
    FD_TABLE = 6
    GOODBYE = 7
    HEARTBEAT = 16
    REJOIN_CHALLENGE = 17
    JOINED = 18
    ACK = 32
    PING = 33
    STOP = 34
    SESSION_KEY = 35
    REJOIN_HELLO = 36
    REJOIN_RESPONSE = 37


@dataclass(frozen=True)
class Frame:
    """One frame as it travels.

    Attributes:
        type: a `FrameType` value, or an unknown number that the reader skips and counts.
        seq: place in the sender's sequence, from 1; 0 when the frame is outside it.
        payload: the payload as carried, compressed when `FLAG_ZLIB` is set.
        flags: header flags.
        wire: the bytes of a frame that was received, its checksum verified; empty for others.
    """

    type: int
    seq: int
    payload: bytes
    flags: int = 0
    wire: bytes = field(default=b"", compare=False, repr=False)

    def encode(self) -> bytes:
        """Returns the frame's bytes, header and checksum included; those that came, if it did."""
        if self.wire:
            return self.wire
        header = HEADER.pack(MAGIC, self.type, self.flags, len(self.payload), self.seq)
        crc = zlib.crc32(self.payload, zlib.crc32(header))
        return b"".join((header, CRC.pack(crc), self.payload))

    def body(self) -> bytes:
        """Returns the payload, decompressed when it was compressed.

        Raises:
            PayloadTooBig: it decompresses to more than `MAX_PAYLOAD` bytes.
            BadPayload: the zlib stream is damaged, cut, or followed by other bytes.
        """
        if not self.flags & FLAG_ZLIB:
            return self.payload
        stream = zlib.decompressobj()
        try:
            body = stream.decompress(self.payload, MAX_PAYLOAD + 1)
        except zlib.error as error:
            raise BadPayload(f"frame {self.seq}: {error}") from error
        if len(body) > MAX_PAYLOAD:
            raise PayloadTooBig(f"frame {self.seq} decompresses to more than {MAX_PAYLOAD} bytes")
        if not stream.eof or stream.unused_data:
            raise BadPayload(f"frame {self.seq}: its zlib stream is not whole")
        return body


def compressed(type: int, seq: int, body: bytes, level: int = 1) -> Frame:
    """Returns a frame with the body compressed, or plain where that is not shorter.

    Args:
        type: the frame type.
        seq: its sequence number.
        body: the payload before compression.
        level: zlib level; 0 leaves the body plain.
    """
    if level and len(body) > 128:
        payload = zlib.compress(body, level)
        if len(payload) < len(body):
            return Frame(type, seq, payload, FLAG_ZLIB)
    return Frame(type, seq, body)


class FrameDecoder:
    """Cuts a byte stream into frames, and finds the next frame after damage.

    Feed it with `receive_data` and `receive_eof`; take what it found with `frames_received`.
    Damage never raises here: it is kept in `errors`, because frames after it are still good.

    Attributes:
        errors: damage met so far, in stream order; the caller may clear it.
        position: stream offset just after the last frame that was handed out.
    """

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self.errors: List[WireError] = []
        self.position = 0
        self._max_payload = max_payload
        self._buffer = bytearray()
        self._frames: List[Frame] = []
        self._skipped = 0
        self._in_vain = 0
        self._eof = False

    def receive_data(self, data: bytes) -> None:
        """Takes the next bytes of the stream, cut anywhere.

        Raises:
            EOFError: the end of the stream was given before.
        """
        if self._eof:
            raise EOFError("data after the end of the stream")
        self._buffer += data
        self._parse()

    def receive_eof(self) -> None:
        """Takes the end of the stream; a frame that is cut by it becomes a `TruncatedStream`."""
        if self._eof:
            return
        self._eof = True
        self._note_skipped()
        if self._buffer:
            self.errors.append(TruncatedStream(len(self._buffer)))

    def frames_received(self) -> List[Frame]:
        """Returns the frames completed since the last call, in order."""
        frames, self._frames = self._frames, []
        return frames

    def _parse(self) -> None:
        buffer = self._buffer
        start = 0
        size = len(buffer)
        while size - start >= HEADER_SIZE:
            magic, type_, flags, length, seq = HEADER.unpack_from(buffer, start)
            if magic != MAGIC:
                start = self._resynchronise(start)
                continue
            if length > self._max_payload:
                self.errors.append(PayloadTooBig(f"a frame claims {length} bytes"))
                start = self._resynchronise(start)
                continue
            end = start + HEADER_SIZE + length
            if size < end:
                break
            wire = bytes(memoryview(buffer)[start:end])
            payload = wire[HEADER_SIZE:]
            crc = zlib.crc32(payload, zlib.crc32(wire[: HEADER.size]))
            if crc != CRC.unpack_from(wire, HEADER.size)[0]:
                self.errors.append(BadChecksum(f"frame {seq} of type {type_} is damaged"))
                self._in_vain += end - start
                if self._in_vain > VAIN_SHARE * (self.position + end - start):
                    # Damage does not claim payload after payload: a header every few bytes, each
                    # with megabytes behind it, would be hours of checksums.
                    self._skipped += end - start
                    self.position += end - start
                    start = end
                else:
                    start = self._resynchronise(start)
                continue
            self._note_skipped()
            self._frames.append(Frame(type_, seq, payload, flags, wire))
            self.position += end - start
            start = end
        del buffer[:start]

    def _resynchronise(self, start: int) -> int:
        """Returns the next place at or after start + 1 where a frame may begin."""
        found = self._buffer.find(MAGIC, start + 1)
        if found < 0:
            # The last byte may be the first half of a magic.
            found = max(start + 1, len(self._buffer) - 1)
        self._skipped += found - start
        self.position += found - start
        return found

    def _note_skipped(self) -> None:
        if self._skipped:
            self.errors.append(BadMagic(self._skipped))
            self._skipped = 0
