"""struct iovec arrays: with their buffers, or of another process, addresses only."""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args.literals import address
from gatherer.rendering.strace.args.memory import (
    WORD_PAIRS,
    Args,
    Memory,
    Place,
    Render,
    array_text,
    buffer_text,
    captured,
    key,
    overflows,
    whole,
)


def vector(place: Place) -> Render:
    """Struct iovec array with its buffers."""
    index, length = place.index, place.length
    at_entry = place.direction == "!"
    limit, word = place.limit, place.word
    count_at = int(length)

    def render(args: Args, memory: Memory, _rval: int) -> str:
        return iovec_text(args[index], args[count_at], memory, index, 0, 1, word, limit, at_entry)

    return render


def iovec_text(
    pointer: int, count: int, memory: Memory, arg: int, hop: int, first: int, word: int,
    limit: int, at_entry: bool = False,
) -> str:  # fmt: skip
    """Returns an iovec array.

    Args:
        pointer: its address.
        count: elements.
        memory: captures.
        arg: argument it belongs to.
        hop: hop of the array.
        first: hop of the first buffer.
        word: bytes of a pointer.
        limit: string size, and elements shown.
        at_entry: which stop's captures.
    """
    found = memory.get(key(arg, hop, at_entry))
    size = 2 * word
    if found is None or not pointer or overflows(pointer, count, size):
        return address(pointer)
    if not count:
        return "[]"
    data = found[1]
    pair = WORD_PAIRS[word]
    parts = []
    for i in range(min(count, limit, len(data) // size)):
        base, length = pair.unpack_from(data, i * size)
        got = memory.get(key(arg, first + i, at_entry)) if first + i < 256 else None
        text = buffer_text(*got, limit) if got is not None else None
        if text is None:
            text = address(base)
        parts.append(f"{{iov_base={text}, iov_len={length}}}")
    return array_text(parts, count, limit, pointer, size)


def local_vector(place: Place) -> Render:
    """Struct iovec array that another process's memory goes into; addresses when it did not."""
    render, addresses = vector(place), vector_addresses(place)

    def either(args: Args, memory: Memory, rval: int) -> str:
        return (addresses if -4096 < rval < 0 else render)(args, memory, rval)

    return either


@captured()
def vector_addresses(place: Place, _length: int, data: bytes, args: Args, *_: object) -> str | None:
    """Struct iovec array of another process: addresses only."""
    count_at = int(place.length)
    if overflows(args[place.index], args[count_at], 2 * place.word):
        return None
    parts: list[str] = []
    for base, length in WORD_PAIRS[place.word].iter_unpack(whole(data, 2 * place.word)):
        if len(parts) == place.limit:
            break
        parts.append(f"{{iov_base={address(base)}, iov_len={length}}}")
    return array_text(parts, args[count_at], place.limit, args[place.index], 2 * place.word)


KINDS: dict[str, Callable[[Place], Render]] = {
    "iovec": vector,
    "iovec_addr": vector_addresses,
    "iovec_local": local_vector,
}
