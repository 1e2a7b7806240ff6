"""Records that wait as the bytes they came in."""

from __future__ import annotations

from itertools import accumulate

from hg_shared.records import HEAD_SIZE, Abi, Kind, Record, iter_records

KIND, ABI = 82, 83
"""Where a head has them."""
FAR = 1 << 65
"""Later than any record, ns."""
_WORDS, _HALVES, _LENGTH = HEAD_SIZE // 8, HEAD_SIZE // 4, 84 // 4
_NATIVE = bytes((Abi.AARCH64,))
_CALLS = bytes((Kind.SYSCALL, Kind.IN_FLIGHT))


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
        low: no record in it starts earlier, CLOCK_MONOTONIC ns.
        lows: earliest starts from each record on, from the last to the first, once asked for.
        calls: whether all records are calls.
        simple: whether all are calls that have returned, of one 64-bit ABI.
    """

    __slots__ = ("at", "calls", "captures", "heads", "index", "low", "lows", "serial", "simple")

    def __init__(self, serial: int, heads: bytes, captures: bytes) -> None:
        self.serial = serial
        self._hold(heads, captures)
        self.low = min(memoryview(heads).cast("Q")[::_WORDS])

    def _hold(self, heads: bytes, captures: bytes) -> None:
        self.heads = heads
        self.captures = captures
        self.index = 0
        self.at = 0
        self.lows: list[int] | None = None
        kinds, abis = heads[KIND::HEAD_SIZE], heads[ABI::HEAD_SIZE]
        self.calls = not kinds.translate(None, _CALLS)
        self.simple = (
            kinds.count(0) == len(kinds)
            and abis.count(abis[:1]) == len(abis)
            and abis[:1] <= _NATIVE
        )

    def low_from(self, index: int) -> int:
        """Returns the earliest start from a record on."""
        if self.lows is None:
            starts = memoryview(self.heads).cast("Q")[::_WORDS].tolist()
            self.lows = [FAR, *accumulate(reversed(starts), min)]
        return self.lows[-1 - index]

    def take(self, watermark: int) -> list[Record]:
        """Takes the records out that start no later than this, CLOCK_MONOTONIC ns."""
        starts = memoryview(self.heads).cast("Q")[self.index * _WORDS :: _WORDS].tolist()
        due, rest = _segments([start <= watermark for start in starts])
        lengths = memoryview(self.heads).cast("I")[self.index * _HALVES + _LENGTH :: _HALVES]
        ends = list(accumulate(lengths, initial=self.at))
        first = self.index
        heads, captures = self.heads, self.captures

        def parts(segments: list[tuple[int, int]]) -> tuple[bytes, bytes]:
            return b"".join(
                [heads[(first + a) * HEAD_SIZE : (first + b) * HEAD_SIZE] for a, b in segments]
            ), b"".join([captures[ends[a] : ends[b]] for a, b in segments])

        taken = list(iter_records(*parts(due)))
        self._hold(*parts(rest))
        self.low = self.low_from(0)
        return taken


def _segments(wanted: list[bool]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Returns where there is True without a break, and where False, as begins and ends."""
    found: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    begin, count = 0, len(wanted)
    while begin < count:
        which = wanted[begin]
        try:
            end = wanted.index(not which, begin)
        except ValueError:
            end = count
        found[0 if which else 1].append((begin, end))
        begin = end
    return found
