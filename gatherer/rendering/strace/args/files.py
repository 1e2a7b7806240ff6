"""Structures of file, terminal and event calls, as strace abbreviates them."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from gatherer.rendering.strace.args.flags import file_mode, flag_text, named
from gatherer.rendering.strace.args.layout import WIDE_ABIS, Layout, Text, fields, many, one
from gatherer.rendering.strace.args.literals import device, hexadecimal
from gatherer.rendering.strace.args.memory import Place, Render
from gatherer.rendering.strace.args.readiness import poll_events
from hg_shared.abi_flags import flag_table
from hg_shared.records import Abi


def _stat(mode_at: int, size_at: int, rdev_at: int, size: int, wide: bool = True) -> Text:
    length = 8 if wide else 4

    def text(data: bytes) -> str:
        mode = int.from_bytes(data[mode_at : mode_at + 4], "little")
        kind = mode & 0o170000
        if kind in (0o020000, 0o060000):
            rdev = int.from_bytes(data[rdev_at : rdev_at + length], "little")
            return f"{{st_mode={file_mode(mode)}, st_rdev={device(rdev)}, ...}}"
        bytes_ = int.from_bytes(data[size_at : size_at + length], "little", signed=wide)
        return f"{{st_mode={file_mode(mode)}, st_size={bytes_}, ...}}"

    del size
    return text


def stat(abi: int) -> tuple[int, Text]:
    """Struct stat: offsets of st_mode, st_size and st_rdev differ by architecture."""
    if abi == Abi.X86_64:
        return 144, _stat(24, 48, 40, 144)
    if abi == Abi.AARCH64:
        return 128, _stat(16, 48, 32, 128)

    def narrow(data: bytes) -> str:
        return _stat(0, 20, 16, 64, False)(
            data[8:10] + bytes(14) + data[16:18] + bytes(2) + data[20:24]
        )

    return 64, narrow


def stat64(_abi: int) -> tuple[int, Text]:
    """Struct stat64 of 32-bit x86."""
    return 96, _stat(16, 44, 32, 96)


_statx_mask = named("statx_mask")
_statx_attributes = named("statx_attrs")


def statx(_abi: int) -> tuple[int, Text]:
    """Struct statx."""

    def text(data: bytes) -> str:
        mask = int.from_bytes(data[0:4], "little")
        attributes = int.from_bytes(data[8:16], "little")
        mode = int.from_bytes(data[28:30], "little")
        size = int.from_bytes(data[40:48], "little")
        parts = [f"stx_mask={_statx_mask(mask)}", f"stx_attributes={_statx_attributes(attributes)}"]
        if mask & 3:
            parts.append(f"stx_mode={file_mode(mode)}")
        if mask & 0x200:
            parts.append(f"stx_size={size}")
        return "{" + ", ".join(parts) + ", ...}"

    return 256, text


_STATFS = {True: Struct("<qqQQQQQiiqqq"), False: Struct("<iiIIIIIiiiii")}
_fs_magic = named("fs_magic")
_statfs_flags = named("statfs_flags")


def _statfs(packed: Struct) -> Text:
    def text(data: bytes) -> str:
        kind, size, blocks, free, available, files, ffree, v0, v1, length, fragment, flags = (
            packed.unpack_from(data)
        )
        shown = (
            f"{{f_type={_fs_magic(kind & 0xFFFFFFFF)}, f_bsize={size}, f_blocks={blocks},"
            f" f_bfree={free}, f_bavail={available}, f_files={files}, f_ffree={ffree},"
            f" f_fsid={{val=[{hexadecimal(v0 & 0xFFFFFFFF)}, {hexadecimal(v1 & 0xFFFFFFFF)}]}},"
            f" f_namelen={length}, f_frsize={fragment}"
        )
        return shown + (f", f_flags={_statfs_flags(flags)}}}" if flags & 0x20 else "}")

    return text


def statfs(abi: int) -> tuple[int, Text]:
    """Struct statfs."""
    packed = _STATFS[abi in WIDE_ABIS]
    return packed.size, _statfs(packed)


def statfs64(_abi: int) -> tuple[int, Text]:
    """Struct statfs64 of 32-bit x86."""
    packed = Struct("<IIQQQQQiiIII")
    return packed.size, _statfs(packed)


_FLOCK = Layout("hh4xqqi", "hhiii")
_FLOCK64 = Layout("hh4xqqi", "hhqqi")


def _flock(layout: Layout, got: bool) -> Callable[[int], tuple[int, Text]]:
    types, whence = named("lock_type"), named("whence")

    def make(abi: int) -> tuple[int, Text]:
        packed = layout.of(abi)

        def text(data: bytes) -> str:
            kind, base, start, length, pid = packed.unpack_from(data)
            owner = f", l_pid={pid}" if got else ""
            return (
                f"{{l_type={types(kind & 0xFFFFFFFF)}, l_whence={whence(base & 0xFFFFFFFF)},"
                f" l_start={start}, l_len={length}{owner}}}"
            )

        return packed.size, text

    return make


def termios(_abi: int) -> tuple[int, Text]:
    """The kernel's struct termios, abbreviated."""
    tables = {name: flag_table(f"termios_{name}") for name in ("iflag", "oflag", "cflag", "lflag")}
    names = {name: table.names if table else () for name, table in tables.items()}
    packed = Struct("<IIII")
    baud = named("termios_baud")
    csize = named("termios_csize")

    def text(data: bytes) -> str:
        iflag, oflag, cflag, lflag = packed.unpack_from(data)
        output = (
            f"NL{oflag >> 8 & 1}|CR{oflag >> 9 & 3}|TAB{oflag >> 11 & 3}|BS{oflag >> 13 & 1}"
            f"|VT{oflag >> 14 & 1}|FF{oflag >> 15 & 1}"
        ).replace("TAB3", "XTABS")
        rest = oflag & ~0xFF00
        control = f"{baud(cflag & 0x100F)}|{csize(cflag & 0x30)}"
        if cflag & 0x100F0000:
            speed = baud(cflag >> 16 & 0x100F)
            control = f"{baud(cflag & 0x100F)}|{speed}<<IBSHIFT|{csize(cflag & 0x30)}"
        bits = cflag & ~(0x100F | 0x100F0000 | 0x30)
        return (
            f"{{c_iflag={_or_nothing(iflag, names['iflag'])},"
            f" c_oflag={output}|{_or_nothing(rest, names['oflag'])},"
            f" c_cflag={control}|{_or_nothing(bits, names['cflag'])},"
            f" c_lflag={_or_nothing(lflag, names['lflag'])}, ...}}"
        )

    return 16, text


def _or_nothing(value: int, names: tuple[tuple[int, str], ...]) -> str:
    return flag_text(value, names) if value else ""


def pollfd(_abi: int) -> tuple[int, Text]:
    """Struct pollfd, what is asked for."""
    packed = Struct("<iHH")

    def text(data: bytes) -> str:
        fd, events, _ = packed.unpack(data)
        return f"{{fd={fd}}}" if fd < 0 else f"{{fd={fd}, events={poll_events(events)}}}"

    return 8, text


def epoll_event(abi: int) -> tuple[int, Text]:
    """Struct epoll_event; packed on x86 only."""
    packed = Struct("<I4xQ") if abi in (Abi.AARCH64, Abi.ARM) else Struct("<IQ")
    events_text = named("epoll_events")

    def text(data: bytes) -> str:
        events, value = packed.unpack_from(data)
        return f"{{events={events_text(events)}, data={{u32={value & 0xFFFFFFFF}, u64={value}}}}}"

    return packed.size, text


def _open_how(abi: int) -> tuple[int, Text]:
    bits = flag_table("open_bits", abi)
    bit_names = bits.names if bits else ()
    access = ("O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE")
    resolve_table = flag_table("resolve_flags")
    resolve_names = resolve_table.names if resolve_table else ()

    def text(data: bytes) -> str:
        flags, mode, resolve = Struct("<QQQ").unpack_from(data)
        rest = flags & ~3
        flags_shown = access[flags & 3] + (f"|{flag_text(rest, bit_names)}" if rest else "")
        shown = f", mode=0{mode:o}" if mode else ""
        if flags & 0x400040 and not mode:
            shown = ", mode=000"
        return (
            f"{{flags={flags_shown}{shown},"
            f" resolve={flag_text(resolve, resolve_names, 'RESOLVE_???')}}}"
        )

    return 24, text


_owner_types = named("owner_type")

_setup_flags = named("io_uring_setup_flags")
_features = named("io_uring_features")
KINDS: dict[str, Callable[[Place], Render]] = {
    "stat": one(stat),
    "stat64": one(stat64),
    "statx": one(statx),
    "statfs": one(statfs),
    "statfs64": one(statfs64),
    "open_how": one(_open_how),
    "flock": one(_flock(_FLOCK, False)),
    "flock64": one(_flock(_FLOCK64, False)),
    "flock_got": one(_flock(_FLOCK, True)),
    "flock64_got": one(_flock(_FLOCK64, True)),
    "f_owner_ex": one(fields(Layout("Ii"), "{type=%s, pid=%s}", _owner_types, str)),
    "termios": one(termios),
    "termios2": one(termios),
    "winsize": one(
        fields(Layout("HHHH"), "{ws_row=%s, ws_col=%s, ws_xpixel=%s, ws_ypixel=%s}", str)
    ),
    "pollfds": many(pollfd),
    "epoll_event": one(epoll_event),
    "epoll_events": many(epoll_event),
    "io_events": many(
        fields(Layout("QQqq"), "{data=%s, obj=%s, res=%s, res2=%s}", hexadecimal, hexadecimal, str)
    ),
    "io_uring_params": one(
        fields(
            Layout("IIIIII"),
            "{sq_entries=%s, cq_entries=%s, flags=%s, sq_thread_cpu=%s, sq_thread_idle=%s,"
            " features=%s, ...}",
            str,
            str,
            _setup_flags,
            str,
            str,
            _features,
        )
    ),
}
