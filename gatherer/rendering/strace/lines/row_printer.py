"""Records in order to lines, as long as they are calls that do not overlap each other."""

from __future__ import annotations

from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.lines.chunk import FAR
from gatherer.rendering.strace.lines.stamps import SECOND, Stamp
from hg_shared.records import Abi, Record

NUMBERS = [f"{number:03d}" for number in range(1000)]
MICROS = [f"{number:03d} " for number in range(1000)]
DURATIONS = [f" <0.{number:06d}>\n" for number in range(4096)]


class RowPrinter:
    """Prints calls of one process.

    Args:
        calls: renders calls; may be shared.
        stamp: the time in front of a line; its last seven characters are `ffffff `.
        realtime_offset_ns: CLOCK_REALTIME minus CLOCK_MONOTONIC of the node.
        width: column before which no ` = ` stands.
    """

    def __init__(
        self, calls: CallRenderer, stamp: Stamp, realtime_offset_ns: int, width: int
    ) -> None:
        self._calls = calls
        self._stamp = stamp
        self._offset = realtime_offset_ns
        self._width = width

    def print(self, records: list[Record], at: int, before: int, out: list[str]) -> int:
        """Prints calls of which each ends before the next record begins.

        Args:
            records: in the order of start and tid.
            at: place of the first call.
            before: they have to end before this moment, CLOCK_MONOTONIC ns.
            out: lines are appended to it.

        Returns:
            The place of the first record that is not such a call.
        """
        stamp, offset, width = self._stamp, self._offset, self._width
        append, last = out.append, len(records) - 1
        base = -FAR
        prefixes: dict[int, tuple[str, int]] = {}
        abi: int = Abi.X86_64
        rows = self._calls.rows(abi)
        while at <= last:
            start, duration, rval, args, tid, _, nr, kind, now, captures = records[at]
            end = start + duration
            if (
                kind
                or end >= before
                or (at < last and end >= records[at + 1][0])
                or duration >= SECOND
            ):
                break
            rel = start - base
            if not 0 <= rel < SECOND:
                second = (start + offset) // SECOND
                if second < 0:
                    break
                base = second * SECOND - offset
                rel = start - base
                prefixes = {}
            found = prefixes.get(tid)
            if found is None:
                text = f"{tid:<5} {stamp(start)[:-7]}"
                found = prefixes[tid] = (text, width - len(text) - 7)
            prefix, pad = found
            if now != abi:
                if now > Abi.AARCH64:
                    break
                abi, rows = now, self._calls.rows(now)
            head = (start, duration, rval, *args, tid, nr, kind, abi, 0)
            try:
                text = rows[nr](head, captures, pad)
            except Exception:
                # What a decoder cannot take is rendered as far as it can be.
                text = rows.general(head, captures, pad)
            micros = rel // 1000
            took = duration // 1000
            tail = DURATIONS[took] if took < 4096 else f" <0.{took:06d}>\n"
            append(f"{prefix}{NUMBERS[micros // 1000]}{MICROS[micros % 1000]}{text}{tail}")
            at += 1
        return at
