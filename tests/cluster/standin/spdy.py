"""SPDY/3.1 frames, as far as kubectl's streams use them. Pure.

Only what a server of exec needs: streams opened by the client, data, half-close, ping. Flow
control is left out on both sides, as kubectl's library leaves it out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SYN_STREAM, SYN_REPLY, RST_STREAM = 1, 2, 3
PING, HEADERS = 6, 8
FLAG_FIN = 1
_VERSION = 3

# The preset dictionary of SPDY/3, section 2.6.10.1: header names with their lengths, then text.
_DICTIONARY_NAMES = """
options head post put delete trace accept accept-charset accept-encoding accept-language
accept-ranges age allow authorization cache-control connection content-base content-encoding
content-language content-length content-location content-md5 content-range content-type date
etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate
proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
user-agent vary via warning www-authenticate method get status
"""
_DICTIONARY_MORE = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive")
_DICTIONARY_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(
        struct.pack(">I", len(name)) + name.encode()
        for name in (*_DICTIONARY_NAMES.split(), *_DICTIONARY_MORE, "origin")
    )
    + _DICTIONARY_TEXT.encode()
)


@dataclass(frozen=True)
class StreamOpened:
    """The client opens a stream (SYN_STREAM)."""

    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class StreamData:
    """Data of a stream; ``last`` when the client will send no more on it."""

    stream: int
    payload: bytes
    last: bool


@dataclass(frozen=True)
class Ping:
    """A ping, to be answered with the same frame."""

    identifier: int


class SpdyError(ConnectionError):
    """The bytes are no frames of SPDY/3."""


class Connection:
    """The server's end of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)
        self._compressor = zlib.compressobj(zdict=DICTIONARY)

    def receive(self, data: bytes) -> Iterator[StreamOpened | StreamData | Ping]:
        """Takes bytes and yields what they complete; read it to its end.

        Raises:
            SpdyError: the bytes are not SPDY/3.
        """
        self._buffer += data
        while len(self._buffer) >= 8:
            first, rest = struct.unpack_from(">II", self._buffer)
            flags, length = rest >> 24, rest & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if not first >> 31:
                yield StreamData(first & 0x7FFFFFFF, payload, bool(flags & FLAG_FIN))
                continue
            if (first >> 16) & 0x7FFF != _VERSION:
                raise SpdyError(f"version {(first >> 16) & 0x7FFF}, expected {_VERSION}")
            yield from self._control(first & 0xFFFF, flags, payload)

    def _control(
        self, kind: int, flags: int, payload: bytes
    ) -> Iterator[StreamOpened | StreamData | Ping]:
        if kind == SYN_STREAM:
            (stream,) = struct.unpack_from(">I", payload)
            yield StreamOpened(stream, self._headers(payload[10:]))
            if flags & FLAG_FIN:
                yield StreamData(stream, b"", True)
        elif kind == HEADERS:
            self._headers(payload[4:])
        elif kind == PING:
            yield Ping(struct.unpack(">I", payload)[0])
        elif kind == RST_STREAM:
            yield StreamData(struct.unpack_from(">I", payload)[0], b"", True)

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._decompressor.decompress(block)
            (count,) = struct.unpack_from(">I", plain)
            position, words = 4, []
            for _ in range(2 * count):
                (length,) = struct.unpack_from(">I", plain, position)
                position += 4 + length
                words.append(plain[position - length : position].decode())
        except (zlib.error, struct.error, UnicodeDecodeError) as error:
            raise SpdyError(f"header block: {error}") from None
        return dict(zip(words[::2], words[1::2], strict=True))

    def reply(self, stream: int) -> bytes:
        """Returns the frame that accepts a stream, without headers."""
        block = self._compressor.compress(struct.pack(">I", 0))
        block += self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return self._control_frame(SYN_REPLY, struct.pack(">I", stream) + block)

    def pong(self, ping: Ping) -> bytes:
        """Returns the answer to a ping."""
        return self._control_frame(PING, struct.pack(">I", ping.identifier))

    @staticmethod
    def _control_frame(kind: int, payload: bytes) -> bytes:
        first = 1 << 31 | _VERSION << 16 | kind
        return struct.pack(">II", first, len(payload)) + payload

    @staticmethod
    def data(stream: int, payload: bytes, last: bool = False) -> bytes:
        """Returns a data frame; ``last`` half-closes the stream."""
        flags = FLAG_FIN if last else 0
        return struct.pack(">II", stream, flags << 24 | len(payload)) + payload
