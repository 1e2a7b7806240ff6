"""Structures of process, time, signal and system calls, as strace abbreviates them."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from gatherer.rendering.strace.args.flags import flag_text, named, sigset_text
from gatherer.rendering.strace.args.layout import WIDE_ABIS, Layout, Text, fields, one
from gatherer.rendering.strace.args.literals import address, hexadecimal, quote
from gatherer.rendering.strace.args.memory import Args, Memory, Place, Render, key
from gatherer.rendering.strace.args.pointers import moment
from gatherer.rendering.strace.args.siginfo import siginfo_text, widened
from hg_shared.abi_flags import flag_table
from hg_shared.linux_abi import signal_name
from hg_shared.records import Abi

_TIMESPEC = Layout("qQ", "iI")
_TIMESPEC64 = Layout("qQ")
timespec = fields(_TIMESPEC, "{tv_sec=%s, tv_nsec=%s}", str)
timespec64 = fields(_TIMESPEC64, "{tv_sec=%s, tv_nsec=%s}", str)
timeval = fields(Layout("qQ", "iI"), "{tv_sec=%s, tv_usec=%s}", str)
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


def _limit64(value: int) -> str:
    if value == 0xFFFFFFFFFFFFFFFF:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and not value % 1024 else str(value)


def _limit32(value: int) -> str:
    return "RLIM_INFINITY" if value == 0xFFFFFFFF else _limit64(value)


def rlimit(abi: int) -> tuple[int, Text]:
    """Struct rlimit."""
    form = "{rlim_cur=%s, rlim_max=%s}"
    return fields(Layout("QQ", "II"), form, _limit64 if abi in WIDE_ABIS else _limit32)(abi)


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


def rusage(abi: int) -> tuple[int, Text]:
    """Struct rusage, abbreviated."""
    form = "{ru_utime={tv_sec=%s, tv_usec=%s}, ru_stime={tv_sec=%s, tv_usec=%s}, ...}"
    return fields(Layout("qQqQ", "iIiI"), form, str)(abi)


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
    packed = Layout("QIiI44x", "IIiI48x").of(abi)
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
    return _CAP_VERSIONS.get(value) or f"{hexadecimal(value)} /* _LINUX_CAPABILITY_VERSION_??? */"


def _cap_data(place: Place) -> Render:
    """One or two struct __user_cap_data_struct; the header's version says which."""
    table = flag_table("capability")
    bits = tuple((1 << number, f"1<<{name}") for number, name in (table.names if table else ()))
    index, wanted, header = place.index, place.key, key(0, 0, True)

    def shown(low: int, high: int) -> str:
        return flag_text(low | high << 32, bits, "CAP_???")

    def render(args: Args, memory: Memory, _rval: int) -> str:
        found, version = memory.get(wanted), memory.get(header)
        if found is None or len(found[1]) < 24:
            return address(args[index])
        e0, p0, i0, e1, p1, i1 = Struct("<IIIIII").unpack_from(found[1])
        if version is not None and version[1][:4] == _CAP_VERSION_1:
            e1 = p1 = i1 = 0
        return (
            f"{{effective={shown(e0, e1)}, permitted={shown(p0, p1)}, inheritable={shown(i0, i1)}}}"
        )

    return render


_CAP_VERSION_1 = (0x19980330).to_bytes(4, "little")


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


def _siginfo(abi: int) -> tuple[int, Text]:
    return (
        (48, siginfo_text) if abi in WIDE_ABIS else (32, lambda data: siginfo_text(widened(data)))
    )


_mq_flags = named("mq_flags", mask=0xFFFFFFFFFFFFFFFF)
KINDS: dict[str, Callable[[Place], Render]] = {
    "timespec": one(timespec),
    "timespec64": one(timespec64),
    "timeval": one(timeval),
    "timevals": one(_time_pair("u", 6, Layout("qQ", "iI"))),
    "timespecs": one(_time_pair("n", 9, _TIMESPEC)),
    "timespecs64": one(_time_pair("n", 9, _TIMESPEC64)),
    "utimbuf": one(
        lambda abi: fields(
            Layout("qq", "ii"), "{actime=%s, modtime=%s}", lambda v: f"{v}{_comment(v, 0, 9)}"
        )(abi)
    ),
    "itimerval": one(fields(Layout("qQqQ", "iIiI"), _interval("u"), str)),
    "itimerspec": one(fields(Layout("qQqQ", "iIiI"), _interval("n"), str)),
    "itimerspec64": one(fields(Layout("qQqQ"), _interval("n"), str)),
    "timezone": one(fields(Layout("ii"), "{tz_minuteswest=%s, tz_dsttime=%s}", str)),
    "timex": one(_timex),
    "rlimit": one(rlimit),
    "rlimit64": one(lambda _abi: rlimit(Abi.X86_64)),
    "rusage": one(rusage),
    "tms": one(
        fields(
            Layout("qqqq", "iiii"),
            "{tms_utime=%s, tms_stime=%s, tms_cutime=%s, tms_cstime=%s}",
            str,
        )
    ),
    "sysinfo": one(sysinfo),
    "utsname": one(utsname),
    "sigaction": one(sigaction),
    "stack_t": one(
        fields(
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
    "notif_sizes": one(
        fields(Layout("HHH"), "{seccomp_notif=%s, seccomp_notif_resp=%s, seccomp_data=%s}", str)
    ),
    "cap_header": one(fields(Layout("Ii"), "{version=%s, pid=%s}", _cap_version, str)),
    "cap_data": _cap_data,
    "sched_attr": one(_sched_attr),
    "mq_attr": one(
        fields(
            Layout("qqqq", "iiii"),
            "{mq_flags=%s, mq_maxmsg=%s, mq_msgsize=%s, mq_curmsgs=%s}",
            _mq_flags,
            str,
        )
    ),
}
