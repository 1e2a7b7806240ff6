"""Structures in captured memory: how they lie there, and the factories that print them."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from gatherer.rendering.strace.args.memory import Args, Place, Render, array_text, captured
from hg_shared.records import Abi

Text = Callable[[bytes], str]
"""Bytes of a structure to its text."""
WIDE_ABIS = frozenset((Abi.X86_64, Abi.AARCH64))


class Layout:
    """A structure that can be unpacked.

    Args:
        wide: its layout with 64-bit longs.
        narrow: with 32-bit longs, the same when not given.
    """

    def __init__(self, wide: str, narrow: str = "") -> None:
        self._wide = Struct("<" + wide)
        self._narrow = Struct("<" + (narrow or wide))

    def of(self, abi: int) -> Struct:
        """Returns the layout of an ABI."""
        return self._wide if abi in WIDE_ABIS else self._narrow


def one(make: Callable[[int], tuple[int, Text]]) -> Callable[[Place], Render]:
    """Returns the factory of a pointer to one structure.

    Args:
        make: gives for an ABI the bytes needed and the text of them.
    """

    def factory(place: Place) -> Render:
        size, text = make(place.abi)
        return captured(size)(lambda _place, _length, data, *_: text(data))(place)

    return factory


def many(make: Callable[[int], tuple[int, Text]]) -> Callable[[Place], Render]:
    """Returns the factory of a pointer to an array of structures."""

    def factory(place: Place) -> Render:
        index, limit = place.index, place.limit
        size, text = make(place.abi)

        @captured()
        def array(_place: Place, length: int, data: bytes, args: Args, *_: object) -> str:
            whole = min(len(data) // size, limit)
            parts = [text(data[at * size : at * size + size]) for at in range(whole)]
            count = length // size
            # The address is asked for only where it is shown.
            pointer = args[index] if whole < min(count, limit) else 0
            return array_text(parts, count, limit, pointer, size)

        return array(place)

    return factory


def fields(
    layout: Layout, form: str, *formats: Callable[[int], str]
) -> Callable[[int], tuple[int, Text]]:
    """Returns a maker for a structure of numbers.

    Args:
        layout: how it lies in memory.
        form: its text with a `%s` for every number.
        formats: how each number prints, the last one for all that follow.
    """

    def make(abi: int) -> tuple[int, Text]:
        packed = layout.of(abi)
        count = form.count("%s")
        all_formats = (formats + (formats[-1] if formats else str,) * count)[:count]

        def text(data: bytes) -> str:
            values = packed.unpack_from(data)
            return form % tuple(
                show(value) for show, value in zip(all_formats, values, strict=False)
            )

        return packed.size, text

    return make
