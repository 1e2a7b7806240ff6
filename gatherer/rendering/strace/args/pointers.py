"""Kinds that point to numbers and sets: descriptors, offsets, signals, CPUs, wait statuses."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from time import localtime, strftime

from gatherer.rendering.strace.args.flags import named, sigset_text
from gatherer.rendering.strace.args.memory import (
    WORD_PAIRS,
    Args,
    Memory,
    Place,
    Render,
    array_text,
    key,
    whole,
)
from gatherer.rendering.strace.args.readiness import bits
from gatherer.rendering.strace.args.text import address
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

    def make(place: Place) -> Render:
        index, wanted = place.index, place.key

        def render(args: Args, memory: Memory, _rval: int) -> str:
            found = memory.get(wanted)
            if found is None or len(found[1]) < unpack.size:
                return address(args[index])
            return f"[{text(unpack.unpack_from(found[1])[0])}]"

        return render

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

    def make(place: Place) -> Render:
        index, wanted, limit = place.index, place.key, place.limit

        def render(args: Args, memory: Memory, _rval: int) -> str:
            found = memory.get(wanted)
            if found is None:
                return address(args[index])
            length, data = found
            values = [v for (v,) in unpack.iter_unpack(whole(data, unpack.size))]
            parts = [text(value) for value in values[:limit]]
            count = length // unpack.size
            pointer = args[index] if len(parts) < min(count, limit) else 0
            return array_text(parts, count, limit, pointer, unpack.size)

        return render

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


def signal_set(place: Place) -> Render:
    """sigset_t; the kernel takes one of 8 bytes only, sigpending less of it too."""
    index, wanted = place.index, place.key
    least = 1 if place.kind == "sigset_part" else place.word
    most = 4 if place.kind == "old_sigset" else 8

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None or not least <= found[0] <= most or len(found[1]) < found[0]:
            return address(args[index])
        return sigset_text(found[1])

    return render


def signal_set_pack(place: Place) -> Render:
    """pselect6's pointer to a sigset_t and its size."""
    index, word = place.index, place.word
    pack_key, set_key = key(index, 0), key(index, 1)

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(pack_key)
        if found is None or len(found[1]) < 2 * word:
            return address(args[index])
        pointer, size = WORD_PAIRS[word].unpack_from(found[1])
        mask = memory.get(set_key)
        shown = address(pointer) if mask is None else sigset_text(mask[1])
        return f"{{sigmask={shown}, sigsetsize={size}}}"

    return render


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


def cpu_set(place: Place) -> Render:
    """CPU mask."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        return f"[{' '.join(map(str, bits(found[1], len(found[1]) * 8)))}]"

    return render


def node_mask(place: Place) -> Render:
    """NUMA node mask, as words."""
    index, wanted, word = place.index, place.key, place.word

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        width = 2 * word
        words = [
            f"{value:#0{width}x}" if value else "0" * width
            for (value,) in _LONG[word].iter_unpack(whole(found[1], word))
        ]
        return f"[{', '.join(words[: place.limit])}]"

    return render


def resident(place: Place) -> Render:
    """Mincore's vector: whether each page is resident."""
    index, wanted, limit = place.index, place.key, place.limit

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        parts = [str(byte & 1) for byte in found[1][:limit]]
        if found[0] > len(parts):
            parts.append("...")
        return f"[{', '.join(parts)}]"

    return render


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


def wait_status(place: Place) -> Render:
    """Int that wait4 writes; untouched when no child was found."""
    index, wanted = place.index, place.key

    def render(args: Args, memory: Memory, rval: int) -> str:
        found = memory.get(wanted)
        if found is None or rval == 0 or len(found[1]) < 4:
            return address(args[index])
        return wait_status_text(_UINT.unpack_from(found[1])[0])

    return render


def semaphore_operations(place: Place) -> Render:
    """Struct sembuf array."""
    index, wanted, limit = place.index, place.key, place.limit
    flags = named("semop_flags")

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found = memory.get(wanted)
        if found is None:
            return address(args[index])
        parts = [
            f"{{sem_num={number}, sem_op={operation}, sem_flg={flags(flag & 0xFFFF)}}}"
            for number, operation, flag in _SEMBUF.iter_unpack(whole(found[1], 6))
        ]
        return array_text(parts, found[0] // 6, limit, args[index], 6)

    return render


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
