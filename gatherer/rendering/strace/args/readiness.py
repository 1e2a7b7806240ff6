"""Descriptor sets of select and poll: what is asked for, and what was found ready."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from gatherer.rendering.strace.args.flags import named
from gatherer.rendering.strace.args.literals import signed32
from gatherer.rendering.strace.args.memory import Args, Memory, Place, Render, captured, key, whole


def bits(data: bytes, most: int) -> list[int]:
    """Returns the numbers of the bits that are set, below a limit."""
    value = int.from_bytes(data, "little")
    return [bit for bit in range(min(most, len(data) * 8)) if value >> bit & 1]


@captured()
def fd_set(_place: Place, _length: int, data: bytes, args: Args, *_: object) -> str | None:
    """fd_set, as the descriptors in it."""
    count = signed32(args[0])
    if count <= 0:
        return None
    return f"[{' '.join(map(str, bits(data, count)))}]"


def select_text(args: Args, memory: Memory, rval: int) -> str:
    """Returns what select found ready, for behind its return value; empty for nothing."""
    if rval == 0:
        return "Timeout"
    count = signed32(args[0])
    parts = []
    left = rval
    for index, name in ((1, "in"), (2, "out"), (3, "except")):
        found = memory.get(key(index, 0))
        if found is None or left <= 0:
            continue
        ready = bits(found[1], count)[:left]
        left -= len(ready)
        if ready:
            parts.append(f"{name} [{' '.join(map(str, ready))}]")
    return ", ".join(parts)


_REVENTS = Struct("<iHH")


_poll_events = named("poll_events")


def poll_text(args: Args, memory: Memory, rval: int, limit: int) -> str:
    """Returns what poll found ready, for behind its return value; empty for nothing."""
    if rval == 0:
        return "Timeout"
    found = memory.get(key(0, 0))
    if found is None or not args[0]:
        return ""
    parts: list[str] = []
    for fd, _, ready in _REVENTS.iter_unpack(whole(found[1], 8)):
        if ready:
            if len(parts) >= limit:
                parts.append("...")
                break
            parts.append(f"{{fd={fd}, revents={poll_events(ready)}}}")
    return f"[{', '.join(parts)}]" if parts else ""


def poll_events(value: int) -> str:
    """Returns poll(2) event bits."""
    return _poll_events(value)


KINDS: dict[str, Callable[[Place], Render]] = {"fdset": fd_set}
