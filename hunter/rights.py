"""What hunter may do here: capabilities, Yama, seccomp, and why ptrace(2) was refused."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

# capability.h, by bit.
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()


class Rights(NamedTuple):
    """Rights of one process.

    Attributes:
        uid: effective user id.
        capabilities: effective ones by name, without `CAP_`.
        seccomp: 0 none, 1 strict, 2 filter.
        no_new_privs: whether it is set.
        yama: /proc/sys/kernel/yama/ptrace_scope, None without Yama.
    """

    uid: int
    capabilities: List[str]
    seccomp: int
    no_new_privs: bool
    yama: Optional[int]


def parse_rights(status: Dict[str, str], yama: str) -> Rights:
    """Returns the rights that /proc/PID/status shows.

    Args:
        status: its fields.
        yama: contents of ptrace_scope, empty without Yama.
    """
    effective = int(status.get("CapEff", "0") or "0", 16)
    uids = status.get("Uid", "0 0").split()
    return Rights(
        int(uids[1]) if len(uids) > 1 else 0,
        [name for bit, name in enumerate(CAPABILITIES) if effective >> bit & 1],
        int(status.get("Seccomp", "0")),
        status.get("NoNewPrivs", "0") == "1",
        int(yama) if yama.strip().isdigit() else None,
    )


def why_refused(mine: Rights, target: Dict[str, str]) -> str:
    """Returns the one cause of an EPERM from ptrace(2), and its remedy.

    Args:
        mine: hunter's rights.
        target: fields of the target's /proc/PID/status.
    """
    tracer = target.get("TracerPid", "0")
    if tracer not in ("", "0"):
        return f"already traced by pid {tracer}; end that tracer first"
    if mine.yama == 3:
        return (
            "Yama ptrace_scope is 3, which forbids all tracing until the node boots again; "
            "set kernel.yama.ptrace_scope to 2 or less and reboot the node"
        )
    if "SYS_PTRACE" in mine.capabilities:
        return "refused although SYS_PTRACE is held; a security module (SELinux, AppArmor) or a \
seccomp profile stands in the way"
    if mine.yama is not None and mine.yama >= 1:
        return (
            f"Yama ptrace_scope is {mine.yama} and SYS_PTRACE is missing; "
            "add SYS_PTRACE to the container's capabilities"
        )
    uids = target.get("Uid", "").split()
    if uids and any(uid != str(mine.uid) for uid in uids[:3]):
        return (
            f"it runs as uid {uids[0]}, hunter as {mine.uid}, and SYS_PTRACE is missing; "
            "add SYS_PTRACE to the container's capabilities"
        )
    return (
        "it has more capabilities than hunter or is not dumpable, and SYS_PTRACE is missing; "
        "add SYS_PTRACE to the container's capabilities"
    )
