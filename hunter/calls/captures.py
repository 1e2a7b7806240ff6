"""Reads what a capture plan asks for and encodes it as a record's captures.

Pure: the tracee's memory is reached through a callable `read(address, length)` that returns the
bytes (fewer when they end before an unmapped page) or None when the address cannot be read.
"""

from __future__ import annotations

from struct import Struct
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from hg_shared.records import AT_ENTRY, CAPTURE, MAX_CAPTURE, UNKNOWN_LENGTH, UNREADABLE
from hunter.calls.capture_plan import (
    ARRAY_ARG,
    ARRAY_RET,
    BITS,
    BUF_ARG,
    BUF_RET,
    BYTES_ARG,
    BYTES_PTR,
    BYTES_RET,
    DENTS,
    IOVEC,
    MMSGHDR,
    MSGHDR,
    PAGES,
    PATH,
    POINTED,
    SELECT,
    SIGFRAME,
    SIGSET_PACK,
    STRING,
    STRING_COUNT,
    STRINGS,
    STRUCT,
    Items,
)

Read = Callable[[int, int], Optional[bytes]]

PAGE = 4096
PATH_MAX = 4096
RECORD_MAX = 64 * 1024
"""Bytes of captures of one record at most."""
STRINGS_MAX = 250
COUNT_MAX = 4096
IOV_MAX = 32
MESSAGES_MAX = 12
MESSAGE_HOPS = 20
MESSAGE_IOV_MAX = 17
CONTROL_MAX = 256
NAME_MAX = 128

_INT = Struct("<I")
_QWORD = Struct("<Q")
_U16 = Struct("<H")
_WORDS = {4: Struct("<I"), 8: Struct("<Q")}
_PAIRS = {4: Struct("<II"), 8: Struct("<QQ")}

# Forms of one read: its size, and the most of it that is read, from the length argument, the return
# value, the string size and the two numbers of the item.
_SIZES: Dict[int, Callable[[int, int, int, int, int], Tuple[int, int]]] = {
    BUF_ARG: lambda length, rval, limit, n, m: (length + m, limit + m),
    BUF_RET: lambda length, rval, limit, n, m: (rval + m, limit + m),
    STRUCT: lambda length, rval, limit, n, m: (n, n),
    BYTES_ARG: lambda length, rval, limit, n, m: (length, m),
    BYTES_RET: lambda length, rval, limit, n, m: (rval, m),
    ARRAY_ARG: lambda length, rval, limit, n, m: ((length & 0xFFFFFFFF) * m, limit * m),
    ARRAY_RET: lambda length, rval, limit, n, m: (rval * m, limit * m),
    BITS: lambda length, rval, limit, n, m: (((length & 0xFFFFFFFF) + 63) // 64 * 8, m),
    PAGES: lambda length, rval, limit, n, m: ((length + PAGE - 1) // PAGE, limit),
}


def read_captures(
    items: Items,
    args: Sequence[int],
    rval: int,
    read: Read,
    limit: int,
    at_entry: bool,
    stack_pointer: int = 0,
) -> bytes:
    """Returns the captures of one stop.

    Args:
        items: the plan's items for this stop.
        args: the six arguments.
        rval: return value; 0 at the syscall-enter-stop.
        read: reads the tracee's memory.
        limit: string size, bytes.
        at_entry: this is the syscall-enter-stop.
        stack_pointer: of the tracee, for the calls that name no pointer (rt_sigreturn).
    """
    reader = _Reader(args, rval, read, limit, AT_ENTRY if at_entry else 0, stack_pointer)
    reader.items(items, -4096 < rval < 0, False)
    return b"".join(reader.parts)


def read_in_flight(items: Items, args: Sequence[int], read: Read, limit: int) -> bytes:
    """Returns the captures of the in-arguments of a call that has not returned.

    What was captured at its entry stop goes in front of them.

    Args:
        items: the plan's items for the syscall-exit-stop.
        args: the six arguments.
        read: reads the tracee's memory.
        limit: string size, bytes.
    """
    reader = _Reader(args, 0, read, limit, 0, 0)
    reader.items(items, False, True)
    return b"".join(reader.parts)


def read_string(read: Read, address: int, most: int) -> Tuple[Optional[bytes], int]:
    """Reads a NUL-terminated string without touching a page behind its end.

    Args:
        read: reads the tracee's memory.
        address: of its first byte.
        most: bytes to look at before giving up.

    Returns:
        Its bytes without the NUL, and its length; (None, 0) when it cannot be read or ends before
        an unmapped page without a NUL; at most `most` bytes and `UNKNOWN_LENGTH` when it is longer.
    """
    step = PAGE - (address & (PAGE - 1))
    first = min(step, most + 1, 256)
    got = read(address, first)
    if not got:
        return None, 0
    end = got.find(b"\0")
    if end >= 0:
        return (got[:end], end) if end <= most else (got[:most], UNKNOWN_LENGTH)
    data = got
    while len(got) == first and len(data) <= most:
        address += first
        first = min(PAGE - (address & (PAGE - 1)), most + 1 - len(data))
        got = read(address, first) or b""
        end = got.find(b"\0")
        if end >= 0:
            return data + got[:end], len(data) + end
        data += got
    if len(data) <= most:
        return None, 0
    return data[:most], UNKNOWN_LENGTH


class _Reader:
    def __init__(
        self, args: Sequence[int], rval: int, read: Read, limit: int, flag: int, stack: int
    ) -> None:
        self.parts: List[bytes] = []
        self._args = args
        self._rval = rval
        self._read = read
        self._limit = limit
        self._flag = flag
        self._stack = stack
        self._left = RECORD_MAX

    def items(self, items: Items, failed: bool, only_in: bool) -> None:
        args = self._args
        for form, arg, n, m, out in items:
            if form == SELECT:
                self.items(m.get(args[arg] & n, out), failed, only_in)
                continue
            if out and (only_in or failed == (out == 1)):
                continue
            address = args[arg]
            if form == SIGFRAME:
                if self._stack and m:
                    self._capture(arg, 0, self._stack + m, 8, 8)
            elif address and form in _SIZES:
                size, most = _SIZES[form](args[n] if n < 6 else 0, self._rval, self._limit, n, m)
                self._capture(arg, 0, address, size, most)
            elif address:
                self._structured(form, arg, address, n, m, out)

    def _structured(self, form: int, arg: int, address: int, n: int, m: int, out: int) -> None:
        """Reads what takes more than one read, or a read of another length than is captured."""
        if form == PATH:
            self._string(arg, 0, address, PATH_MAX)
        elif form == STRING:
            self._string(arg, 0, address, self._limit)
        elif form == BYTES_PTR:
            size = self._int(self._args[n])
            if size is not None:
                self._capture(arg, 0, address, size, m)
        elif form == IOVEC:
            total = self._rval if out else -1
            self._iovec(arg, 0, 1, address, self._args[n], m, total, IOV_MAX)
        elif form == MSGHDR:
            self._capture(arg, 0, address, m, m)
            self._message(arg, 1, self._last(m), m // 7, self._rval if out else -1, IOV_MAX)
        elif form == MMSGHDR:
            self._messages(arg, address, self._rval if out else self._args[n], m, out)
        elif form in (STRINGS, STRING_COUNT):
            self._strings(arg, address, m, form == STRINGS)
        elif form == POINTED:
            self._pointed(arg, address, n, m)
        elif form == DENTS:
            self._entries(arg, address, m)
        elif form == SIGSET_PACK:
            self._sigset_pack(arg, address, m)

    def _pointed(self, arg: int, address: int, n: int, flag: int) -> None:
        held = self._read(address, n + 8)
        if held is not None and len(held) == n + 8 and _QWORD.unpack_from(held)[0] & flag:
            pointer = _QWORD.unpack_from(held, n)[0]
            if pointer:
                self._capture(arg, 1 + n // 8, pointer, 4, 4)

    def _sigset_pack(self, arg: int, address: int, word: int) -> None:
        self._capture(arg, 0, address, 2 * word, 2 * word)
        pack = self._last(2 * word)
        if pack is not None:
            pointer, size = _PAIRS[word].unpack(pack)
            if pointer:
                self._capture(arg, 1, pointer, size, 128)

    def _add(self, arg: int, hop: int, data: Optional[bytes], length: int) -> None:
        if data is None:
            self.parts.append(CAPTURE.pack(arg | self._flag, hop, UNREADABLE, length))
        else:
            self._left -= len(data)
            self.parts.append(CAPTURE.pack(arg | self._flag, hop, len(data), length) + data)

    def _capture(self, arg: int, hop: int, address: int, size: int, most: int) -> None:
        want = min(size, most, self._left, MAX_CAPTURE)
        if want <= 0:
            data: Optional[bytes] = b""
        else:
            data = self._read(address, want) or None
        self._add(arg, hop, data, min(max(size, 0), UNKNOWN_LENGTH))

    def _last(self, size: int) -> Optional[bytes]:
        data = self.parts[-1][8:]
        return data if len(data) == size else None

    def _int(self, address: int) -> Optional[int]:
        data = self._read(address, 4) if address else None
        return _INT.unpack(data)[0] if data and len(data) == 4 else None

    def _string(self, arg: int, hop: int, address: int, most: int) -> None:
        data, length = read_string(self._read, address, max(min(most, self._left), 0))
        self._add(arg, hop, data, length)

    def _iovec(
        self, arg: int, hop: int, first: int, address: int, count: int, size: int, total: int,
        most: int,
    ) -> None:  # fmt: skip
        buffers = size > 0
        size = abs(size)
        count = min(count, COUNT_MAX)
        shown = min(count, most, self._limit)
        self._capture(arg, hop, address, count * size, shown * size)
        if not buffers or not shown:
            return
        vector = self.parts[-1][8:]
        pair = _PAIRS[size // 2]
        for i in range(len(vector) // size):
            pointer, length = pair.unpack_from(vector, i * size)
            if total >= 0:
                length = min(length, total)
                total -= length
            if pointer:
                self._capture(arg, first + i, pointer, length, self._limit)

    def _message(
        self, arg: int, hop: int, header: Optional[bytes], word: int, total: int, most: int
    ) -> None:
        if header is None:
            return
        words = _WORDS[word]
        name, vector, count, control, control_size = (
            words.unpack_from(header, at * word)[0] for at in (0, 2, 3, 4, 5)
        )
        name_size = _INT.unpack_from(header, word)[0]
        if name:
            self._capture(arg, hop, name, name_size, NAME_MAX)
        if control and control_size:
            self._capture(arg, hop + 2, control, control_size, CONTROL_MAX)
        if vector:
            self._iovec(arg, hop + 1, hop + 3, vector, count, 2 * word, total, most)

    def _messages(self, arg: int, address: int, count: int, size: int, out: int) -> None:
        count = min(count & 0xFFFFFFFF, 1024)
        self._capture(arg, 0, address, count * size, min(MESSAGES_MAX, self._limit) * size)
        word = size // 8
        vector = self.parts[-1][8:]
        for i in range(len(vector) // size):
            header = vector[i * size : (i + 1) * size]
            total = _INT.unpack_from(header, 7 * word)[0] if out else -1
            hop = 1 + i * MESSAGE_HOPS
            self._message(arg, hop, header, word, total, MESSAGE_IOV_MAX)

    def _strings(self, arg: int, address: int, word: int, content: bool) -> None:
        pointers: List[int] = []
        unpack = _WORDS[word].unpack_from
        ended = readable = False
        while not ended and len(pointers) < COUNT_MAX:
            size = PAGE - (address & (PAGE - 1))
            got = self._read(address, min(size, 512)) or b""
            for at in range(0, len(got) - word + 1, word):
                readable = True
                pointer = unpack(got, at)[0]
                if not pointer:
                    ended = True
                    break
                pointers.append(pointer)
            if len(got) < word:
                break
            address += len(got) // word * word
        if not readable:
            self._add(arg, 0, None, 0)
            return
        shown = pointers[: min(STRINGS_MAX, self._limit)] if content else []
        held = b"".join([_WORDS[word].pack(pointer) for pointer in shown])
        if not content and not ended:
            held = _INT.pack(len(pointers))
        self._add(arg, 0, held, len(pointers) if ended else UNKNOWN_LENGTH)
        for i, pointer in enumerate(shown):
            self._string(arg, 1 + i, pointer, self._limit)

    def _entries(self, arg: int, address: int, offset: int) -> None:
        size = min(self._rval, 1 << 20)
        data = self._read(address, size) if size > 0 else b""
        if data is None or len(data) < size:
            self._add(arg, 0, None, 0)
            return
        count = at = 0
        while at + offset + 2 <= size:
            step = _U16.unpack_from(data, at + offset)[0]
            if step < offset + 2:
                break
            at += step
            count += 1
        self._add(arg, 0, b"", count)
