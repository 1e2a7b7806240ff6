"""siginfo_t as strace prints it."""

from __future__ import annotations

from struct import Struct

from gatherer.rendering.strace.args.literals import address, hexadecimal
from hg_shared.abi_flags import flag_table
from hg_shared.linux_abi import ERRNO, signal_name
from hg_shared.records import Abi
from hg_shared.syscalls import names

_HEAD = Struct("<iii4x")
_SOURCE = Struct("<iI")
_CHILD = Struct("<iIi4xqq")
_TIMER = Struct("<iiQ")
_VALUE = Struct("<iIQ")
_POINTER = Struct("<Q")
_BAND = Struct("<qi")
_SYSCALL = Struct("<QiI")

_CODES = {
    4: "si_code_sigill",
    5: "si_code_sigtrap",
    7: "si_code_sigbus",
    8: "si_code_sigfpe",
    11: "si_code_sigsegv",
    17: "si_code_sigchld",
    29: "si_code_sigpoll",
    31: "si_code_sigsys",
}
_ARCHES = {
    0xC000003E: "AUDIT_ARCH_X86_64",
    0x40000003: "AUDIT_ARCH_I386",
    0xC00000B7: "AUDIT_ARCH_AARCH64",
}
_ABIS = {0xC000003E: Abi.X86_64, 0x40000003: Abi.I386, 0xC00000B7: Abi.AARCH64}
_NOINFO = 32767
_SIGCHLD = 17
_ADDRESSED = frozenset((4, 5, 7, 8, 11))


def _table(name: str) -> dict[int, str]:
    found = flag_table(name)
    return dict(reversed(found.names)) if found else {}


_user_codes = _table("si_code_user")
_codes = {signal: _table(name) for signal, name in _CODES.items()}


def code_text(code: int, signal: int) -> str:
    """Returns a si_code by name, in hexadecimal when it has none."""
    value = code & 0xFFFFFFFF
    name = _user_codes.get(value)
    if name is None and signal in _codes:
        name = _codes[signal].get(value)
    return name if name is not None else hexadecimal(value)


def siginfo_text(data: bytes) -> str:
    """Returns a siginfo_t of a 64-bit kernel.

    Args:
        data: at least 48 bytes of it.
    """
    data = data[:128].ljust(128, b"\0")
    signal, error, code = _HEAD.unpack_from(data)
    if not signal:
        return "{}"
    parts = [f"si_signo={signal_name(signal)}", f"si_code={code_text(code, signal)}"]
    if code != _NOINFO:
        if error:
            known = ERRNO.get(error)
            parts.append(f"si_errno={known[0] if known else error & 0xFFFFFFFF}")
        parts.extend(_user(data, code) if code <= 0 else _kernel(data, signal, code))
    return "{" + ", ".join(parts) + "}"


def widened(data: bytes) -> bytes:
    """Returns a siginfo_t of 32-bit x86 as a 64-bit kernel would have it.

    Args:
        data: at least 32 bytes of it.
    """
    signal, error, code = Struct("<iii").unpack_from(data)
    head = _HEAD.pack(signal, error, code)
    if signal == _SIGCHLD and code > 0:
        pid, uid, status, user, system = Struct("<iIiii").unpack_from(data, 12)
        return head + _CHILD.pack(pid, uid, status, user, system)
    if code > 0 and signal in _ADDRESSED:
        return head + _POINTER.pack(int.from_bytes(data[12:16], "little")) + data[16:]
    first, second, value = Struct("<iII").unpack_from(data, 12)
    return head + _VALUE.pack(first, second & 0xFFFFFFFF, value) + data[24:]


def _source(data: bytes) -> list[str]:
    pid, uid = _SOURCE.unpack_from(data, 16)
    return [f"si_pid={pid}", f"si_uid={-1 if uid == 0xFFFFFFFF else uid}"]


def _value(number: int) -> list[str]:
    low = number & 0xFFFFFFFF
    signed = low - (1 << 32) if low >> 31 else low
    return [f"si_int={signed}", f"si_ptr={address(number)}"]


def _user(data: bytes, code: int) -> list[str]:
    if code in (0, -6):
        return _source(data)
    if code == -2:
        timer, overrun, value = _TIMER.unpack_from(data, 16)
        return [
            f"si_timerid={hexadecimal(timer & 0xFFFFFFFF)}",
            f"si_overrun={overrun}",
            *_value(value),
        ]
    if code == -5:
        band, fd = _BAND.unpack_from(data, 16)
        return [f"si_band={band}", f"si_fd={fd}"]
    value = _VALUE.unpack_from(data, 16)[2]
    return _source(data) + (_value(value) if value else [])


def _kernel(data: bytes, signal: int, code: int) -> list[str]:
    if signal == 17:
        _, _, status, user, system = _CHILD.unpack_from(data, 16)
        shown = str(status) if code == 1 else signal_name(status)
        return [
            *_source(data),
            f"si_status={shown}",
            f"si_utime={_ticks(user)}",
            f"si_stime={_ticks(system)}",
        ]
    if signal in _ADDRESSED:
        parts = [f"si_addr={address(_POINTER.unpack_from(data, 16)[0])}"]
        if signal == 7 and code in (4, 5):
            parts.append(f"si_addr_lsb={hexadecimal(int.from_bytes(data[24:26], 'little'))}")
        elif signal == 11 and code == 3:
            lower, upper = Struct("<QQ").unpack_from(data, 32)
            parts += [f"si_lower={address(lower)}", f"si_upper={address(upper)}"]
        elif signal == 11 and code == 4:
            parts.append(f"si_pkey={int.from_bytes(data[32:36], 'little')}")
        return parts
    if signal == 29:
        if not 1 <= code <= 6:
            return []
        band, fd = _BAND.unpack_from(data, 16)
        return [f"si_band={band}", f"si_fd={fd}"]
    if signal == 31:
        pointer, number, arch = _SYSCALL.unpack_from(data, 16)
        return [
            f"si_call_addr={address(pointer)}",
            f"si_syscall={_syscall(number, arch)}",
            f"si_arch={_ARCHES.get(arch) or f'{arch:#x} /* AUDIT_ARCH_??? */'}",
        ]
    pid, uid, value = _VALUE.unpack_from(data, 16)
    parts = _source(data) if pid or uid else []
    return parts + (_value(value) if value else [])


def _ticks(value: int) -> str:
    """Returns clock ticks with their seconds, as strace comments them; a tick is 10 ms."""
    if not value:
        return "0"
    return f"{value} /* {value // 100}.{value % 100:02d} s */"


def _syscall(number: int, arch: int) -> str:
    abi = _ABIS.get(arch)
    table = names(abi) if abi is not None else []
    name = table[number] if 0 <= number < len(table) else None
    return f"__NR_{name}" if name else str(number)
