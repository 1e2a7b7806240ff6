"""Kinds that need only the argument's value: numbers, flags, enumerations.

`value_formatter(kind, abi)` gives a function from the raw 64-bit argument to its text.
"""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args import operations
from gatherer.rendering.strace.args.flags import (
    U32,
    Cached,
    Format,
    file_mode,
    flag_text,
    mode_text,
    named,
    table_format,
)
from gatherer.rendering.strace.args.ioctls import ioctl_text
from gatherer.rendering.strace.args.literals import address, device, hexadecimal, signed32, signed64
from hg_shared.abi_flags import Table, flag_table
from hg_shared.linux_abi import signal_name

_NONE = Table(True, "", ())


def _int(value: int) -> str:
    return str(signed32(value))


def _uint(value: int) -> str:
    return str(value & U32)


def _uid(value: int) -> str:
    value &= U32
    return "-1" if value == U32 else str(value)


def _dirfd(value: int) -> str:
    number = signed32(value)
    return "AT_FDCWD" if number == -100 else str(number)


def _open_mode(value: int) -> str:
    return mode_text(value & 0xFFFF)


def _signal(value: int) -> str:
    return signal_name(signed32(value))


def _sig_or_zero(value: int) -> str:
    return signal_name(value) if value else "0"


def _open_flags(abi: int) -> Format:
    table = flag_table("open_bits", abi)
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
    names = table.names if table else ()

    def text(value: int) -> str:
        value &= U32
        rest = value & ~3
        return f"{access[value & 3]}|{flag_text(rest, names)}" if rest else access[value & 3]

    return text


def _mmap_flags(abi: int) -> Format:
    table = flag_table("mmap_flags", abi)
    names = table.names if table else ()
    types = {
        0: "MAP_FILE",
        1: "MAP_SHARED",
        2: "MAP_PRIVATE",
        3: "MAP_SHARED_VALIDATE",
        8: "MAP_DROPPABLE",
    }
    rest_names = [pair for pair in names if pair[0] and not pair[0] & 0xF]

    def text(value: int) -> str:
        kind = types.get(value & 0xF)
        parts = [kind if kind else f"{hexadecimal(value & 0xF)} /* MAP_??? */"]
        huge = value >> 26 & 0x3F
        rest = value & ~0xF & ~(0x3F << 26)
        if rest:
            parts.append(flag_text(rest, rest_names))
        if huge:
            parts.append(f"{huge}<<MAP_HUGE_SHIFT")
        return "|".join(parts)

    return text


def _futex_op(_abi: int) -> Format:
    names = [
        "FUTEX_WAIT",
        "FUTEX_WAKE",
        "FUTEX_FD",
        "FUTEX_REQUEUE",
        "FUTEX_CMP_REQUEUE",
        "FUTEX_WAKE_OP",
        "FUTEX_LOCK_PI",
        "FUTEX_UNLOCK_PI",
        "FUTEX_TRYLOCK_PI",
        "FUTEX_WAIT_BITSET",
        "FUTEX_WAKE_BITSET",
        "FUTEX_WAIT_REQUEUE_PI",
        "FUTEX_CMP_REQUEUE_PI",
        "FUTEX_LOCK_PI2",
    ]

    def text(value: int) -> str:
        value &= U32
        command = value & ~0x180
        realtime = value & 0x100
        if command >= len(names) or (realtime and command not in (0, 9, 11)):
            return f"{value:#x} /* FUTEX_??? */"
        name = names[command]
        if value & 0x80:
            name += "|FUTEX_PRIVATE_FLAG" if command == 2 else "_PRIVATE"
        return f"{name}|FUTEX_CLOCK_REALTIME" if realtime else name

    return text


def _futex_wake_op(_abi: int) -> Format:
    operations = named("futex_wake_ops")
    comparisons = named("futex_wake_cmps")

    def text(value: int) -> str:
        value &= U32
        shift = "FUTEX_OP_OPARG_SHIFT<<28|" if value >> 28 & 8 else ""
        operation = operations(value >> 28 & 7).split(" ")[0]
        comparison = comparisons(value >> 24 & 0xF).split(" ")[0]
        return (
            f"{shift}{operation}<<28|{hexadecimal(value >> 12 & 0xFFF)}<<12"
            f"|{comparison}<<24|{hexadecimal(value & 0xFFF)}"
        )

    return text


def _bitset(_abi: int) -> Format:
    return lambda v: "FUTEX_BITSET_MATCH_ANY" if v & U32 == U32 else hexadecimal(v & U32)


def clone_flags_text(value: int) -> str:
    """Returns clone(2)'s flags with the exit signal at their end."""
    signal = value & 0xFF
    flags = value & ~0xFF
    if not flags:
        return _sig_or_zero(signal)
    table = flag_table("clone_bits")
    text = flag_text(flags, table.names if table else (), "CLONE_???")
    return f"{text}|{signal_name(signal)}" if signal else text


def _sock_type(_abi: int) -> Format:
    types = named("sock_types")
    flags = flag_table("sock_flags")

    def text(value: int) -> str:
        value &= U32
        kind = types(value & 0xF)
        rest = value & ~0xF
        if kind.endswith("*/"):
            return flag_text(value, (flags or _NONE).names, "SOCK_???")
        return f"{kind}|{flag_text(rest, (flags or _NONE).names, 'SOCK_???')}" if rest else kind

    return text


def _mpol_mode(_abi: int) -> Format:
    modes = named("mpol_mode")
    flags = flag_table("mpol_mode_flags")

    def text(value: int) -> str:
        value &= U32
        kind = modes(value & ~0xE000)
        rest = value & 0xE000
        return f"{kind}|{flag_text(rest, flags.names if flags else ())}" if rest else kind

    return text


def _cloexec(_abi: int) -> Format:
    return lambda value: flag_text(value & U32, ((0x80000, "O_CLOEXEC"),), "O_???")


def _dup_flags(abi: int) -> Format:
    table = flag_table("open_bits", abi)
    names = (table or _NONE).names
    return lambda value: flag_text(value & U32, names, "O_???")


def _pipe_flags(abi: int) -> Format:
    table = flag_table("open_bits", abi)
    names = [pair for pair in (table.names if table else ()) if pair[0] & 0x84880]
    names.append((0x80, "O_NOTIFICATION_PIPE"))
    return lambda value: flag_text(value & U32, names, "O_???")


def _statx_flags(_abi: int) -> Format:
    sync = named("statx_sync")
    flags = flag_table("at_flags")

    def text(value: int) -> str:
        value &= U32
        rest = value & ~0x6000
        kind = sync(value & 0x6000)
        return f"{kind}|{flag_text(rest, flags.names if flags else ())}" if rest else kind

    return text


def _unlinkat_flags(_abi: int) -> Format:
    table = flag_table("at_flags")
    names = tuple(
        (bit, "AT_REMOVEDIR" if bit == 0x200 else name) for bit, name in (table or _NONE).names
    )
    return lambda value: flag_text(value & U32, names, "AT_???")


def _personality(_abi: int) -> Format:
    types = named("personality_type")
    flags = flag_table("personality_flags")

    def text(value: int) -> str:
        value &= U32
        if value == U32:
            return "0xffffffff"
        kind = types(value & 0xFF)
        rest = value & ~0xFF
        if not rest:
            return kind
        return f"{kind}|{flag_text(rest, (flags or _NONE).names)}"

    return text


_PLAIN: dict[str, Format] = {
    **operations.PLAIN,
    "int": _int,
    "fd": _int,
    "uint_fd": _int,
    "pid": _int,
    "wait_pid": _int,
    "uint": _uint,
    "size": str,
    "ulong": str,
    "long": lambda value: str(signed64(value)),
    "off": lambda value: str(signed64(value)),
    "off64": lambda value: str(signed64(value)),
    "restarted": lambda _value: "<... resuming interrupted system call ...>",
    "hex": hexadecimal,
    "hex32": lambda value: hexadecimal(value & U32),
    "ptr": address,
    "stack": address,
    "mmap_offset": hexadecimal,
    "mmap2_offset": lambda value: hexadecimal(value * 4096),
    "uid": _uid,
    "dirfd": _dirfd,
    "mode": _open_mode,
    "octal": mode_text,
    "open_mode": _open_mode,
    "mknod_mode": file_mode,
    "dev": device,
    "sig": _signal,
    "sig_or_zero": _sig_or_zero,
    "clone_flags": clone_flags_text,
}
_SPECIAL: dict[str, Callable[[int], Format]] = {
    **operations.SPECIAL,
    "open_flags": _open_flags,
    "mmap_flags": _mmap_flags,
    "futex_op": _futex_op,
    "futex_wake_op": _futex_wake_op,
    "futex_bitset": _bitset,
    "sock_type": _sock_type,
    "mpol_mode": _mpol_mode,
    "cloexec_flags": _cloexec,
    "pipe_flags": _pipe_flags,
    "dup_flags": _dup_flags,
    "statx_flags": _statx_flags,
    "unlinkat_flags": _unlinkat_flags,
    "personality": _personality,
    "ioctl": lambda _abi: ioctl_text,
}
_ALIASES = {"lease": "lock_type"}
_WIDE = dict.fromkeys(
    (
        "mmap_prot", "mremap_flags", "unshare_flags", "mount_flags", "mpol_flags", "pkey_rights",
        "notify_flags", "seal_flags", "fan_events", "secbits", "pr_spec", "pr_tsc", "key_perms",
        "perf_flags", "ptrace_request", "capability", "pr_set_vma",
    ),
    0xFFFFFFFFFFFFFFFF,
)  # fmt: skip


def value_formatter(kind: str, abi: int) -> Format | None:
    """Returns the formatter of a kind, None when it needs more than the value.

    Args:
        kind: an argument kind of hg_shared.syscalls.
        abi: an `Abi`.
    """
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain
    special = _SPECIAL.get(kind)
    if special is not None:
        return Cached(special(abi)).__getitem__
    table = flag_table(_ALIASES.get(kind, kind), abi)
    if table is None:
        return None
    return Cached(table_format(table, _WIDE.get(kind, U32))).__getitem__
