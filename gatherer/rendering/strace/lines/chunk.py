"""Records that wait as the bytes they came in."""

from __future__ import annotations

from hg_shared.records import HEAD_SIZE, Abi, Kind

KIND, ABI = 82, 83
"""Where a head has them."""
_WORDS = HEAD_SIZE // 8
_NATIVE = bytes((Abi.AARCH64,))


class Chunk:
    """Heads and captures of one batch, from the first that is not printed yet.

    Args:
        serial: place of the batch among all.
        heads: record heads, back to back; at least one.
        captures: the captures of all of them.

    Attributes:
        serial: as given.
        heads: as given.
        captures: as given.
        index: of the first record that is not printed yet.
        at: where its captures begin.
        low: no record from there on starts earlier, CLOCK_MONOTONIC ns.
        simple: whether all are calls that have returned, of one 64-bit ABI.
    """

    __slots__ = ("at", "captures", "heads", "index", "low", "serial", "simple")

    def __init__(self, serial: int, heads: bytes, captures: bytes) -> None:
        self.serial = serial
        self.heads = heads
        self.captures = captures
        self.index = 0
        self.at = 0
        self.low = self.low_from(0)
        kinds, abis = heads[KIND::HEAD_SIZE], heads[ABI::HEAD_SIZE]
        self.simple = (
            kinds.count(Kind.SYSCALL) == len(kinds)
            and abis.count(abis[:1]) == len(abis)
            and abis[:1] <= _NATIVE
        )

    @property
    def done(self) -> bool:
        """Whether all is printed."""
        return self.index * HEAD_SIZE == len(self.heads)

    def low_from(self, index: int) -> int:
        """Returns the earliest start from a record on."""
        starts = memoryview(self.heads).cast("Q")[index * _WORDS :: _WORDS]
        return min(starts, default=1 << 65)

    def rest(self) -> tuple[bytes, bytes]:
        """Returns the heads and captures of what is not printed yet."""
        if not self.index:
            return self.heads, self.captures
        return self.heads[self.index * HEAD_SIZE :], self.captures[self.at :]
