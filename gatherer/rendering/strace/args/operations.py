"""Values that name what a call of many operations does: IPC, quotas, keys, modules, priorities."""

from __future__ import annotations

from collections.abc import Callable

from gatherer.rendering.strace.args.flags import U32, Format, flag_text, mode_text, named
from gatherer.rendering.strace.args.literals import hexadecimal, signed32
from hg_shared.abi_flags import Table, flag_table

_NONE = Table(True, "", ())


def _resource_flags(prefix: str) -> Callable[[int], Format]:
    special = flag_table(prefix)
    common = flag_table("ipc_resource")
    names = (special.names if special else ()) + (common.names if common else ())

    def make(_abi: int) -> Format:
        def text(value: int) -> str:
            value &= U32
            flags = value & ~0o777
            mode = mode_text(value & 0o777)
            return f"{flag_text(flags, names)}|{mode}" if flags else mode

        return text

    return make


def _ipc_cmd(table: str) -> Callable[[int], Format]:
    def make(_abi: int) -> Format:
        commands = named(table)

        def text(value: int) -> str:
            value &= U32
            prefix = "IPC_64|" if value & 0x100 else ""
            return prefix + commands(value & ~0x100)

        return text

    return make


def _ipc_key(_abi: int) -> Format:
    return lambda value: hex(value & U32) if value & U32 else "IPC_PRIVATE"


_QUOTA = {
    0x800001: "Q_SYNC",
    0x800002: "Q_QUOTAON",
    0x800003: "Q_QUOTAOFF",
    0x800004: "Q_GETFMT",
    0x800005: "Q_GETINFO",
    0x800006: "Q_SETINFO",
    0x800007: "Q_GETQUOTA",
    0x800008: "Q_SETQUOTA",
    0x800009: "Q_GETNEXTQUOTA",
}


def _syslog_action(_abi: int) -> Format:
    actions = named("syslog_action")

    def text(value: int) -> str:
        name = actions(value)
        return f"{value & U32} /* {'SYSLOG_ACTION_???' if name.endswith('*/') else name} */"

    return text


def _kexec_flags(_abi: int) -> Format:
    machines = named("kexec_arch")
    bits = flag_table("kexec_bits")

    def text(value: int) -> str:
        value &= U32
        machine = machines(value & 0xFFFF0000)
        rest = value & 0xFFFF
        return f"{machine}|{flag_text(rest, (bits or _NONE).names)}" if rest else machine

    return text


def _key_reqkey(_abi: int) -> Format:
    table = flag_table("key_reqkey_names")
    names = dict((table or _NONE).names)
    return lambda v: names.get(v & U32) or f"{signed32(v)} /* KEY_REQKEY_DEFL_??? */"


def _swap_flags(_abi: int) -> Format:
    table = flag_table("swap_flags")
    names = (table or _NONE).names

    def text(value: int) -> str:
        value &= U32
        priority = value & 0x7FFF
        flags = value & ~0x7FFF
        if not flags:
            return str(priority)
        shown = flag_text(flags, names, "SWAP_FLAG_???")
        return f"{shown}|{priority}" if flags & 0x8000 or priority else shown

    return text


def _pid_type(_abi: int) -> Format:
    names = ("PIDTYPE_PID", "PIDTYPE_TGID", "PIDTYPE_PGID", "PIDTYPE_SID")

    def text(value: int) -> str:
        name = names[value] if value < len(names) else "PIDTYPE_???"
        return f"{hexadecimal(value)} /* {name} */"

    return text


def _ptracer(value: int) -> str:
    return "PR_SET_PTRACER_ANY" if value == 0xFFFFFFFFFFFFFFFF else str(signed32(value))


def handler_text(value: int) -> str:
    """Returns a signal handler: one of the two that are no function, or its address."""
    return {0: "SIG_DFL", 1: "SIG_IGN", U32: "SIG_ERR"}.get(value) or hexadecimal(value)


def _eth_protocol(_abi: int) -> Format:
    protocols = named("eth_protocol")
    return lambda v: f"htons({protocols((v >> 8 & 0xFF) | (v << 8 & 0xFF00))})"


def _quota_cmd(_abi: int) -> Format:
    types = {0: "USRQUOTA", 1: "GRPQUOTA", 2: "PRJQUOTA"}

    def text(value: int) -> str:
        value &= U32
        command, kind = value >> 8, value & 0xFF
        name = _QUOTA.get(command) or f"{hexadecimal(command)} /* Q_??? */"
        return f"QCMD({name}, {types.get(kind) or f'{kind:#x} /* ???QUOTA */'})"

    return text


def _ioprio(_abi: int) -> Format:
    classes = named("ioprio_class")

    def text(value: int) -> str:
        value &= U32
        return f"IOPRIO_PRIO_VALUE({classes(value >> 13)}, {value & 0x1FFF})"

    return text


def _keyring(_abi: int) -> Format:
    table = flag_table("keyring")
    names = dict((table or _NONE).names)
    return lambda value: names.get(value & U32) or str(signed32(value))


def _fanotify_init(_abi: int) -> Format:
    table = flag_table("fanotify_init_flags")
    names = (table or _NONE).names
    classes = {0: "FAN_CLASS_NOTIF", 4: "FAN_CLASS_CONTENT", 8: "FAN_CLASS_PRE_CONTENT"}

    def text(value: int) -> str:
        value &= U32
        kind = classes.get(value & 0xC, f"{value & 0xC:#x} /* FAN_CLASS_??? */")
        rest = value & ~0xC
        return f"{kind}|{flag_text(rest, names, 'FAN_???')}" if rest else kind

    return text


PLAIN: dict[str, Format] = {"ptracer": _ptracer, "sighandler": handler_text}
"""Formatters by kind."""
SPECIAL: dict[str, Callable[[int], Format]] = {
    "shm_flags": _resource_flags("shm_resource"),
    "sem_flags": _resource_flags("ipc_resource"),
    "msg_get_flags": _resource_flags("ipc_resource"),
    "sem_cmd": _ipc_cmd("sem_cmd"),
    "shm_cmd": _ipc_cmd("shm_cmd"),
    "msg_cmd": _ipc_cmd("msg_cmd"),
    "ipc_key": _ipc_key,
    "kexec_flags": _kexec_flags,
    "key_reqkey": _key_reqkey,
    "swap_flags": _swap_flags,
    "pidtype": _pid_type,
    "ioprio": _ioprio,
    "quota_cmd": _quota_cmd,
    "eth_protocol": _eth_protocol,
    "syslog_action": _syslog_action,
    "keyring": _keyring,
    "fanotify_init_flags": _fanotify_init,
}
"""Makers of formatters, by kind: of an ABI."""
