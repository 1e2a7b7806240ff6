"""Errors of the wire format.

- WireError
  - BadMagic: bytes that do not start a frame
  - BadChecksum: a frame whose CRC-32 does not fit
  - PayloadTooBig: a frame that claims more than the limit
  - TruncatedStream: end of stream inside a frame
  - BadPayload: a whole frame whose payload is not what its type promises
  - UnsupportedVersion: a peer that speaks another protocol version
"""

from __future__ import annotations


class WireError(Exception):
    """Bytes from the peer that break the wire format."""


class BadMagic(WireError):
    """Bytes that do not start with the frame magic.

    Attributes:
        skipped: how many bytes were passed over.
    """

    def __init__(self, skipped: int) -> None:
        super().__init__(
            "1 byte between frames is not part of the stream"
            if skipped == 1
            else f"{skipped} bytes between frames are not part of the stream"
        )
        self.skipped = skipped


class BadChecksum(WireError):
    """A frame whose CRC-32 does not fit its bytes."""


class PayloadTooBig(WireError):
    """A frame, or a decompressed payload, that is larger than the limit."""


class TruncatedStream(WireError):
    """The stream ended inside a frame.

    Attributes:
        pending: bytes of the unfinished frame.
    """

    def __init__(self, pending: int) -> None:
        plural = "" if pending == 1 else "s"
        super().__init__(f"the stream ended inside a frame ({pending} byte{plural} had arrived)")
        self.pending = pending


class BadPayload(WireError):
    """The payload of a whole frame is not what its type promises."""


class UnsupportedVersion(WireError):
    """The peer speaks a protocol version this side does not know."""
