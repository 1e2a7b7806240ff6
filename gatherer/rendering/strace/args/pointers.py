"""Kinds that point to numbers and sets: descriptors, offsets, signals, CPUs, wait statuses."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from time import localtime, strftime

from gatherer.rendering.strace.args.flags import named, sigset_text
from gatherer.rendering.strace.args.literals import address
from gatherer.rendering.strace.args.memory import (
    WORD_PAIRS,
    Args,
    Memory,
    Place,
    Render,
    array_text,
    captured,
    key,
    whole,
)
from gatherer.rendering.strace.args.readiness import bits
from hg_shared.linux_abi import signal_name

U32 = 0xFFFFFFFF

_LONG = {4: Struct("<I"), 8: Struct("<Q")}
_INT = Struct("<i")
_UINT = Struct("<I")


def moment(seconds: int, fraction: int = 0, digits: int = 9) -> str:
    """Returns a time as strace comments it: local, ISO 8601; empty for what is no time.

    Args:
        seconds: since the epoch.
        fraction: of a second, in units of 10 to the power of -digits.
        digits: of the fraction.
    """
    if not 0 <= fraction < 10**digits or not -(1 << 35) < seconds < 1 << 37:
        return ""
    if not seconds and not fraction:
        return ""
    at = localtime(seconds)
    part = f".{fraction:0{digits}d}" if fraction else ""
    return strftime("%Y-%m-%dT%H:%M:%S", at) + part + strftime("%z", at)


def time_text(seconds: int) -> str:
    """Returns a time_t with its comment."""
    text = moment(seconds)
    return f"{seconds} /* {text} */" if text else str(seconds)


def _pointed(structure: str, text: Callable[[int], str]) -> Callable[[Place], Render]:
    """Returns the factory of a pointer to one number, printed in brackets."""
    unpack = Struct(structure)

    @captured(unpack.size)
    def make(_place: Place, _length: int, data: bytes, *_: object) -> str:
        return f"[{text(unpack.unpack_from(data)[0])}]"

    return make


def _pointed_long(signed: bool, text: Callable[[int], str]) -> Callable[[Place], Render]:
    """Returns the factory of a pointer to one long, whose size is the ABI's."""

    def make(place: Place) -> Render:
        code = "iq"[place.word // 8] if signed else "IQ"[place.word // 8]
        return _pointed("<" + code, text)(place)

    return make


def array(structure: str, text: Callable[[int], str]) -> Callable[[Place], Render]:
    """Returns the factory of an array of numbers whose length the captures tell."""
    unpack = Struct(structure)

    @captured()
    def make(place: Place, length: int, data: bytes, args: Args, *_: object) -> str:
        values = [v for (v,) in unpack.iter_unpack(whole(data, unpack.size))]
        parts = [text(value) for value in values[: place.limit]]
        count = length // unpack.size
        pointer = args[place.index] if len(parts) < min(count, place.limit) else 0
        return array_text(parts, count, place.limit, pointer, unpack.size)

    return make


def identifiers(place: Place) -> Render:
    """gid_t array; one longer than the kernel allows is not looked at."""
    render, index, wanted = array("<I", str)(place), place.index, place.key

    def bounded(args: Args, memory: Memory, rval: int) -> str:
        found = memory.get(wanted)
        if found is not None and found[0] > 4 * _NGROUPS_MAX:
            return address(args[index])
        return render(args, memory, rval)

    return bounded


_NGROUPS_MAX = 65536


def pipe_ends(place: Place) -> Render:
    """int[2] of file descriptors."""
    return array("<i", str)(place)


def socket_length(place: Place) -> Render:
    """A value-result length: `[before => after]`, or once when it did not change.

    That of an address is not looked at when there is no address.
    """
    index, of_address = place.index, place.kind == "socklen"
    before_key, after_key = key(index, 0, True), key(index, 0)

    def render(args: Args, memory: Memory, _rval: int) -> str:
        before, after = memory.get(before_key), memory.get(after_key)
        if before is None or len(before[1]) < 4:
            before = after
        if before is None or len(before[1]) < 4 or (of_address and not args[index - 1]):
            return address(args[index])
        first = _INT.unpack_from(before[1])[0]
        last = _INT.unpack_from(after[1])[0] if after and len(after[1]) >= 4 else first
        return f"[{first}]" if first == last else f"[{first} => {last}]"

    return render


def offset_pointer(size: int) -> Callable[[Place], Render]:
    """Returns the factory of a value-result file offset: `[before] => [after]`."""

    def make(place: Place) -> Render:
        index = place.index
        code = Struct("<Q" if size == 8 or place.word == 8 else "<i")
        before_key, after_key = key(index, 0, True), key(index, 0)

        def render(args: Args, memory: Memory, _rval: int) -> str:
            before, after = memory.get(before_key), memory.get(after_key)
            if before is None or len(before[1]) < code.size:
                return address(args[index])
            first = code.unpack_from(before[1])[0]
            if after is None or len(after[1]) < code.size:
                return f"[{first}]"
            last = code.unpack_from(after[1])[0]
            return f"[{first}]" if first == last else f"[{first}] => [{last}]"

        return render

    return make


@captured()
def signal_set(place: Place, length: int, data: bytes, *_: object) -> str | None:
    """sigset_t; the kernel takes one of 8 bytes only, sigpending less of it too."""
    least = 1 if place.kind == "sigset_part" else place.word
    most = 4 if place.kind == "old_sigset" else 8
    if not least <= length <= most or len(data) < length:
        return None
    return sigset_text(data)


@captured()
def signal_set_pack(
    place: Place, _length: int, data: bytes, _args: Args, memory: Memory, *_: object
) -> str | None:
    """pselect6's pointer to a sigset_t and its size."""
    if len(data) < 2 * place.word:
        return None
    pointer, size = WORD_PAIRS[place.word].unpack_from(data)
    mask = memory.get(key(place.index, 1))
    shown = address(pointer) if mask is None else sigset_text(mask[1])
    return f"{{sigmask={shown}, sigsetsize={size}}}"


def signal_frame(place: Place) -> Render:
    """The mask that rt_sigreturn restores."""
    wanted = place.key

    def render(_args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        return "" if found is None else f"{{mask={sigset_text(found[1])}}}"

    return render


def split_number(low_first: bool, signed: bool) -> Callable[[Place], Render]:
    """Returns the factory of a 64-bit number that takes two arguments of 32 bits."""

    def make(place: Place) -> Render:
        low, high = (place.index, place.index + 1) if low_first else (place.index + 1, place.index)

        def render(args: Args, _memory: Memory, _rval: int) -> str:
            value = (args[low] & U32) | (args[high] & U32) << 32
            return str(value - (1 << 64) if signed and value >> 63 else value)

        return render

    return make


@captured()
def cpu_set(_place: Place, _length: int, data: bytes, *_: object) -> str:
    """CPU mask."""
    return f"[{' '.join(map(str, bits(data, len(data) * 8)))}]"


@captured()
def node_mask(place: Place, _length: int, data: bytes, *_: object) -> str:
    """NUMA node mask, as words."""
    width = 2 * place.word
    words = [
        f"{value:#0{width}x}" if value else "0" * width
        for (value,) in _LONG[place.word].iter_unpack(whole(data, place.word))
    ]
    return f"[{', '.join(words[: place.limit])}]"


@captured()
def resident(place: Place, length: int, data: bytes, *_: object) -> str:
    """Mincore's vector: whether each page is resident."""
    parts = [str(byte & 1) for byte in data[: place.limit]]
    if length > len(parts):
        parts.append("...")
    return f"[{', '.join(parts)}]"


def wait_status_text(status: int) -> str:
    """Returns a wait status as strace prints what wait4 wrote."""
    if status & 0xFF == 0x7F:
        signal = status >> 8 & 0xFF
        extra = " | 0x80" if signal & 0x80 else ""
        text = f"{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(signal & 0x7F)}{extra}}}"
        rest = status & ~0xFFFF
    elif status & 0xFFFF == 0xFFFF:
        text, rest = "{WIFCONTINUED(s)}", status & ~0xFFFF
    elif status & 0x7F:
        core = " && WCOREDUMP(s)" if status & 0x80 else ""
        text = f"{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(status & 0x7F)}{core}}}"
        rest = status & ~0xFF
    else:
        text = f"{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}"
        rest = status & ~0xFFFF
    event = rest >> 16 & 0xFFFF
    if event:
        names = {
            1: "FORK", 2: "VFORK", 3: "CLONE", 4: "EXEC", 5: "VFORK_DONE", 6: "EXIT", 7: "SECCOMP",
            128: "STOP",
        }  # fmt: skip
        name = names.get(event)
        text += f"|PTRACE_EVENT_{name}<<16" if name else f"|{event:#x} /* PTRACE_EVENT_??? */<<16"
    if rest & 0xFFFF:
        text += f"|{rest & 0xFFFF:#x}"
    return f"[{text}]"


@captured(4)
def wait_status(
    _place: Place, _length: int, data: bytes, _args: Args, _memory: Memory, rval: int
) -> str | None:
    """Int that wait4 writes; untouched when no child was found."""
    return wait_status_text(_UINT.unpack_from(data)[0]) if rval else None


@captured()
def semaphore_operations(place: Place, length: int, data: bytes, args: Args, *_: object) -> str:
    """Struct sembuf array."""
    flags = named("semop_flags")
    parts = [
        f"{{sem_num={number}, sem_op={operation}, sem_flg={flags(flag & 0xFFFF)}}}"
        for number, operation, flag in _SEMBUF.iter_unpack(whole(data, 6))
    ]
    return array_text(parts, length // 6, place.limit, args[place.index], 6)


_SEMBUF = Struct("<Hhh")


def _mpol_mode(value: int) -> str:
    return named("mpol_mode")(value)


KINDS: dict[str, Callable[[Place], Render]] = {
    "pipefds": pipe_ends,
    "ints": array("<i", str),
    "gids": identifiers,
    "ptrs": lambda place: array("<Q" if place.word == 8 else "<I", address)(place),
    "ints1": _pointed("<i", str),
    "uints1": _pointed("<I", str),
    "pids1": _pointed("<i", str),
    "uids1": _pointed("<I", lambda value: "-1" if value == U32 else str(value)),
    "tid": _pointed("<i", str),
    "sigp": _pointed("<i", lambda value: signal_name(value) if value else "0"),
    "sched_param": _pointed("<i", str),
    "mpol_modep": _pointed("<I", _mpol_mode),
    "u64": _pointed("<Q", str),
    "loff": _pointed("<q", str),
    "ulongs1": _pointed_long(False, str),
    "ptrs1": _pointed_long(False, address),
    "time_p": _pointed_long(True, time_text),
    "timep": _pointed_long(True, time_text),
    "offp": offset_pointer(4),
    "loffp": offset_pointer(8),
    "socklen": socket_length,
    "optlen": socket_length,
    "sigset": signal_set,
    "sigset_part": signal_set,
    "old_sigset": signal_set,
    "sigset_pack": signal_set_pack,
    "seccomp_action": _pointed("<I", named("seccomp_ret")),
    "tscs1": _pointed("<I", named("pr_tsc")),
    "off_low": split_number(True, True),
    "uoff_low": split_number(True, False),
    "off_high": split_number(False, True),
    "sigframe": signal_frame,
    "cpuset": cpu_set,
    "nodemask": node_mask,
    "mincore": resident,
    "wait_status": wait_status,
    "sembufs": semaphore_operations,
}
