"""Structures: bytes of one struct to its text, as strace abbreviates it.

`text(kind, abi)` gives a function of the structure's bytes; `KINDS` the factories for arguments
that point to one structure or to an array of them.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from gatherer.render.flags import file_mode, flag_text, named, sigset_text, value_formatter
from gatherer.render.memory import Args, Memory, Place, Render, moment
from gatherer.render.memory import poll_events as _poll_events
from gatherer.render.siginfo import siginfo_text
from gatherer.render.text import address, device, hexadecimal, quote
from hg_shared.abi_flags import flag_table
from hg_shared.linux_abi import signal_name
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
        index, wanted = place.index, place.key
        size, text = make(place.abi)

        def render(args: Args, memory: Memory, _rval: int) -> str:
            found = memory.get(wanted)
            if found is None or len(found[1]) < size:
                return address(args[index])
            return text(found[1])

        return render

    return factory


def many(make: Callable[[int], tuple[int, Text]]) -> Callable[[Place], Render]:
    """Returns the factory of a pointer to an array of structures."""

    def factory(place: Place) -> Render:
        index, wanted, limit = place.index, place.key, place.limit
        size, text = make(place.abi)

        def render(args: Args, memory: Memory, _rval: int) -> str:
            found = memory.get(wanted)
            if found is None:
                return address(args[index])
            length, data = found
            whole = min(len(data) // size, limit)
            parts = [text(data[at * size : at * size + size]) for at in range(whole)]
            if length // size > whole:
                parts.append("...")
            return f"[{', '.join(parts)}]"

        return render

    return factory


def _fields(
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


def _u32(value: int) -> str:
    return str(value & 0xFFFFFFFF)


_TIMESPEC = Layout("qQ", "iI")
_TIMESPEC64 = Layout("qQ")
timespec = _fields(_TIMESPEC, "{tv_sec=%s, tv_nsec=%s}", str)
timespec64 = _fields(_TIMESPEC64, "{tv_sec=%s, tv_nsec=%s}", str)
timeval = _fields(Layout("qQ", "iI"), "{tv_sec=%s, tv_usec=%s}", str)
_INTERVAL = "{it_interval={tv_sec=%s, tv_%ssec=%s}, it_value={tv_sec=%s, tv_%ssec=%s}}"


def _interval(unit: str) -> str:
    return _INTERVAL.replace("tv_%ssec", f"tv_{unit}sec")


def _comment(seconds: int, fraction: int, digits: int) -> str:
    text = moment(seconds, fraction, digits)
    return f" /* {text} */" if text else ""


def _time_pair(unit: str, digits: int, layout: Layout) -> Callable[[int], tuple[int, Text]]:
    def make(abi: int) -> tuple[int, Text]:
        packed = layout.of(abi)

        def single(seconds: int, fraction: int) -> str:
            if digits == 9 and fraction in (0x3FFFFFFF, 0x3FFFFFFE):
                return "UTIME_NOW" if fraction == 0x3FFFFFFF else "UTIME_OMIT"
            text = f"{{tv_sec={seconds}, tv_{unit}sec={fraction}}}"
            return text + _comment(seconds, fraction, digits)

        def text(data: bytes) -> str:
            first = single(*packed.unpack_from(data))
            return f"[{first}, {single(*packed.unpack_from(data, packed.size))}]"

        return 2 * packed.size, text

    return make


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


def statfs(abi: int) -> tuple[int, Text]:
    """Struct statfs."""
    packed = _STATFS[abi in WIDE_ABIS]

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

    return packed.size, text


def _limit64(value: int) -> str:
    if value == 0xFFFFFFFFFFFFFFFF:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and not value % 1024 else str(value)


def _limit32(value: int) -> str:
    return "RLIM_INFINITY" if value == 0xFFFFFFFF else _limit64(value)


def rlimit(abi: int) -> tuple[int, Text]:
    """Struct rlimit."""
    form = "{rlim_cur=%s, rlim_max=%s}"
    return _fields(Layout("QQ", "II"), form, _limit64 if abi in WIDE_ABIS else _limit32)(abi)


def sigaction(abi: int) -> tuple[int, Text]:
    """The kernel's struct sigaction: handler, flags, restorer, mask."""
    packed = Layout("QQQ8s", "III8s").of(abi)
    flags_text = named("sa_flags", mask=0xFFFFFFFFFFFFFFFF)
    handlers = {0: "SIG_DFL", 1: "SIG_IGN", 2: "SIG_HOLD"}

    def text(data: bytes) -> str:
        handler, flags, restorer, mask = packed.unpack_from(data)
        shown = handlers.get(handler) or address(handler)
        end = f", sa_restorer={address(restorer)}}}" if flags & 0x04000000 else "}"
        return (
            f"{{sa_handler={shown}, sa_mask={sigset_text(mask)}, sa_flags={flags_text(flags)}{end}"
        )

    return packed.size, text


def clone_args_text(data: bytes) -> str:
    """Returns a struct clone_args."""
    fields = [int.from_bytes(data[at : at + 8], "little") for at in range(0, 88, 8)]
    flags, pidfd, child, parent, signal, stack, size, tls, set_tid, set_size, cgroup = fields
    table = flag_table("clone3_bits")
    parts = [f"flags={flag_text(flags, table.names if table else (), 'CLONE_???')}"]
    if flags & 0x1000:
        parts.append(f"pidfd={address(pidfd)}")
    if flags & 0x01200000:
        parts.append(f"child_tid={address(child)}")
    if flags & 0x00100000:
        parts.append(f"parent_tid={address(parent)}")
    parts.append(f"exit_signal={signal_name(signal) if signal else 0}")
    parts.append(f"stack={address(stack)}")
    parts.append(f"stack_size={hexadecimal(size)}")
    if flags & 0x80000:
        parts.append(f"tls={address(tls)}")
    if set_tid or set_size:
        parts.append(f"set_tid={address(set_tid)}")
        parts.append(f"set_tid_size={set_size}")
    if flags & 0x200000000:
        parts.append(f"cgroup={cgroup}")
    return "{" + ", ".join(parts) + "}"


def clone_args(_abi: int) -> tuple[int, Text]:
    """Struct clone_args."""
    return 64, clone_args_text


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
        return f"{{fd={fd}}}" if fd < 0 else f"{{fd={fd}, events={_poll_events(events)}}}"

    return 8, text


def epoll_event(abi: int) -> tuple[int, Text]:
    """Struct epoll_event; packed on x86 only."""
    packed = Struct("<I4xQ") if abi in (Abi.AARCH64, Abi.ARM) else Struct("<IQ")
    events_text = named("epoll_events")

    def text(data: bytes) -> str:
        events, value = packed.unpack_from(data)
        return f"{{events={events_text(events)}, data={{u32={value & 0xFFFFFFFF}, u64={value}}}}}"

    return packed.size, text


def rusage(abi: int) -> tuple[int, Text]:
    """Struct rusage, abbreviated."""
    form = "{ru_utime={tv_sec=%s, tv_usec=%s}, ru_stime={tv_sec=%s, tv_usec=%s}, ...}"
    return _fields(Layout("qQqQ", "iIiI"), form, str)(abi)


def sysinfo(abi: int) -> tuple[int, Text]:
    """Struct sysinfo."""
    packed = Layout("qQQQQQQQQQHHxxxxQQI", "iIIIIIIIIIHHIII").of(abi)

    def text(data: bytes) -> str:
        (uptime, l0, l1, l2, total, free, shared, buffers, swap, free_swap, procs, _, high,
         free_high, unit) = packed.unpack_from(data)  # fmt: skip
        return (
            f"{{uptime={uptime}, loads=[{l0}, {l1}, {l2}], totalram={total}, freeram={free},"
            f" sharedram={shared}, bufferram={buffers}, totalswap={swap}, freeswap={free_swap},"
            f" procs={procs}, totalhigh={high}, freehigh={free_high}, mem_unit={unit}}}"
        )

    return packed.size, text


def utsname(_abi: int) -> tuple[int, Text]:
    """Struct new_utsname, abbreviated."""

    def text(data: bytes) -> str:
        system, node = (data[at : at + 65].partition(b"\0")[0] for at in (0, 65))
        return f"{{sysname={quote(system)}, nodename={quote(node)}, ...}}"

    return 130, text


def _sigevent(abi: int) -> tuple[int, Text]:
    packed = Layout("QiiI", "IiiI").of(abi)
    notify_text = named("sigev_notify")

    def text(data: bytes) -> str:
        value, signo, notify, tid = packed.unpack_from(data)
        number = value & 0xFFFFFFFF
        sival = number - (1 << 32) if number >> 31 else number
        parts = []
        if value:
            parts.append(f"sigev_value={{sival_int={sival}, sival_ptr={address(value)}}}")
        shown = signal_name(signo) if notify in (0, 2, 4) and signo else str(signo)
        parts.append(f"sigev_signo={shown}")
        parts.append(f"sigev_notify={notify_text(notify & 0xFFFFFFFF)}")
        if notify == 4:
            parts.append(f"sigev_notify_thread_id={tid}")
        return "{" + ", ".join(parts) + "}"

    return packed.size, text


_CAP_VERSIONS = {
    0x19980330: "_LINUX_CAPABILITY_VERSION_1",
    0x20071026: "_LINUX_CAPABILITY_VERSION_2",
    0x20080522: "_LINUX_CAPABILITY_VERSION_3",
}


def _cap_version(value: int) -> str:
    return _CAP_VERSIONS.get(value) or f"{value:#x} /* _LINUX_CAPABILITY_VERSION_??? */"


def _cap_data(_abi: int) -> tuple[int, Text]:
    packed = Struct("<IIIIII")
    table = flag_table("capability")
    bits = tuple((1 << number, f"1<<{name}") for number, name in (table.names if table else ()))

    def shown(low: int, high: int) -> str:
        return flag_text(low | high << 32, bits)

    def text(data: bytes) -> str:
        e0, p0, i0, e1, p1, i1 = packed.unpack_from(data)
        return (
            f"{{effective={shown(e0, e1)}, permitted={shown(p0, p1)}, inheritable={shown(i0, i1)}}}"
        )

    return 24, text


def _open_how(abi: int) -> tuple[int, Text]:
    flags_text = value_formatter("open_flags", abi) or hexadecimal
    resolve_table = flag_table("resolve_flags")
    resolve_names = resolve_table.names if resolve_table else ()

    def text(data: bytes) -> str:
        flags, mode, resolve = Struct("<QQQ").unpack_from(data)
        shown = f", mode=0{mode:o}" if flags & 0x400040 and mode else ""
        if flags & 0x400040 and not mode:
            shown = ", mode=000"
        return (
            f"{{flags={flags_text(flags)}{shown},"
            f" resolve={flag_text(resolve, resolve_names, 'RESOLVE_???')}}}"
        )

    return 24, text


def _sched_attr(_abi: int) -> tuple[int, Text]:
    policy_text, flags_text = named("sched_policy"), named("sched_flags")

    def text(data: bytes) -> str:
        size, policy, flags, nice, priority, runtime, deadline, period = Struct(
            "<IIQiIQQQ"
        ).unpack_from(data)
        shown = (
            f"{{size={size}, sched_policy={policy_text(policy)}, sched_flags={flags_text(flags)},"
            f" sched_nice={nice}, sched_priority={priority}, sched_runtime={runtime},"
            f" sched_deadline={deadline}, sched_period={period}"
        )
        if size >= 56 and len(data) >= 56:
            low, high = Struct("<II").unpack_from(data, 48)
            shown += f", sched_util_min={low}, sched_util_max={high}"
        return shown + "}"

    return 48, text


def _timex(_abi: int) -> tuple[int, Text]:
    packed = Struct("<I4xqqqqi4xqqqqqqi4xqqqqqi")
    modes, status_text = named("adjtimex_modes"), named("adjtimex_status")

    def text(data: bytes) -> str:
        (mode, offset, freq, maxerror, esterror, status, constant, precision, tolerance, seconds,
         micros, tick, ppsfreq, jitter, shift, stabil, jitcnt, calcnt, errcnt, stbcnt,
         *_) = (*packed.unpack_from(data), 0, 0)  # fmt: skip
        return (
            f"{{modes={modes(mode)}, offset={offset}, freq={freq}, maxerror={maxerror},"
            f" esterror={esterror}, status={status_text(status)}, constant={constant},"
            f" precision={precision}, tolerance={tolerance},"
            f" time={{tv_sec={seconds}, tv_usec={micros}}}, tick={tick}, ppsfreq={ppsfreq},"
            f" jitter={jitter}, shift={shift}, stabil={stabil}, jitcnt={jitcnt}, calcnt={calcnt},"
            f" errcnt={errcnt}, stbcnt={stbcnt}, tai={errcnt}}}"
        )

    return 160, text


def _siginfo(_abi: int) -> tuple[int, Text]:
    return 48, siginfo_text


_mq_flags = named("mq_flags")
_setup_flags = named("io_uring_setup_flags")
_features = named("io_uring_features")
_owner_types = named("owner_type")

KINDS: dict[str, Callable[[Place], Render]] = {
    "stat": one(stat),
    "stat64": one(stat64),
    "statx": one(statx),
    "statfs": one(statfs),
    "timespec": one(timespec),
    "timespec64": one(timespec64),
    "timeval": one(timeval),
    "timevals": one(_time_pair("u", 6, Layout("qQ", "iI"))),
    "timespecs": one(_time_pair("n", 9, _TIMESPEC)),
    "timespecs64": one(_time_pair("n", 9, _TIMESPEC64)),
    "utimbuf": one(
        lambda abi: _fields(
            Layout("qq", "ii"), "{actime=%s, modtime=%s}", lambda v: f"{v}{_comment(v, 0, 9)}"
        )(abi)
    ),
    "itimerval": one(_fields(Layout("qQqQ", "iIiI"), _interval("u"), str)),
    "itimerspec": one(_fields(Layout("qQqQ", "iIiI"), _interval("n"), str)),
    "itimerspec64": one(_fields(Layout("qQqQ"), _interval("n"), str)),
    "timezone": one(_fields(Layout("ii"), "{tz_minuteswest=%s, tz_dsttime=%s}", str)),
    "timex": one(_timex),
    "rlimit": one(rlimit),
    "rlimit64": one(lambda _abi: rlimit(Abi.X86_64)),
    "rusage": one(rusage),
    "tms": one(
        _fields(
            Layout("qqqq", "iiii"),
            "{tms_utime=%s, tms_stime=%s, tms_cutime=%s, tms_cstime=%s}",
            str,
        )
    ),
    "sysinfo": one(sysinfo),
    "utsname": one(utsname),
    "sigaction": one(sigaction),
    "stack_t": one(
        _fields(
            Layout("Qi4xQ", "IiI"),
            "{ss_sp=%s, ss_flags=%s, ss_size=%s}",
            address,
            named("ss_flags"),
            str,
        )
    ),
    "siginfo": one(_siginfo),
    "sigevent": one(_sigevent),
    "clone_args": one(clone_args),
    "open_how": one(_open_how),
    "flock": one(_flock(_FLOCK, False)),
    "flock64": one(_flock(_FLOCK64, False)),
    "flock_got": one(_flock(_FLOCK, True)),
    "flock64_got": one(_flock(_FLOCK64, True)),
    "f_owner_ex": one(_fields(Layout("Ii"), "{type=%s, pid=%s}", _owner_types, str)),
    "termios": one(termios),
    "termios2": one(termios),
    "notif_sizes": one(
        _fields(Layout("HHH"), "{seccomp_notif=%s, seccomp_notif_resp=%s, seccomp_data=%s}", str)
    ),
    "winsize": one(
        _fields(Layout("HHHH"), "{ws_row=%s, ws_col=%s, ws_xpixel=%s, ws_ypixel=%s}", str)
    ),
    "pollfds": many(pollfd),
    "epoll_event": one(epoll_event),
    "epoll_events": many(epoll_event),
    "io_events": many(
        _fields(Layout("QQqq"), "{data=%s, obj=%s, res=%s, res2=%s}", hexadecimal, hexadecimal, str)
    ),
    "cap_header": one(_fields(Layout("Ii"), "{version=%s, pid=%s}", _cap_version, str)),
    "cap_data": one(_cap_data),
    "sched_attr": one(_sched_attr),
    "mq_attr": one(
        _fields(
            Layout("qqqq", "iiii"),
            "{mq_flags=%s, mq_maxmsg=%s, mq_msgsize=%s, mq_curmsgs=%s}",
            _mq_flags,
            str,
        )
    ),
    "io_uring_params": one(
        _fields(
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
