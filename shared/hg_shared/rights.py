"""Rights of a process: capabilities, Yama, seccomp, and why ptrace(2) is refused. Pure."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional

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


def parse_rights(status: Mapping[str, str], yama: str) -> Rights:
    """Returns the rights that /proc/PID/status shows.

    Args:
        status: its fields.
        yama: contents of ptrace_scope, empty without Yama.
    """
    uids = status.get("Uid", "0 0").split()
    return Rights(
        int(uids[1]) if len(uids) > 1 else 0,
        capability_names(status.get("CapEff", "")),
        int(status.get("Seccomp", "0")),
        status.get("NoNewPrivs", "0") == "1",
        int(yama) if yama.strip().isdigit() else None,
    )


def capability_names(mask: str) -> List[str]:
    """Returns the names in a capability set of /proc/PID/status, without `CAP_`.

    Args:
        mask: hexadecimal; anything else is the empty set. Bits without a name are left out.
    """
    try:
        bits = int(mask or "0", 16)
    except ValueError:
        return []
    return [name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1]


class Refusal(NamedTuple):
    """A reason why ptrace(2) answers EPERM, and what to do about it."""

    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.cause}; {self.remedy}"


def why_refused(mine: Rights, target: Mapping[str, str]) -> Refusal:
    """Returns the one cause of an EPERM from ptrace(2), and its remedy.

    Args:
        mine: hunter's rights.
        target: fields of the target's /proc/PID/status.
    """
    add = "add SYS_PTRACE to the container's capabilities"
    if mine.uid != 0:
        add += " and run it as root, Kubernetes gives capabilities to no other user"
    tracer = target.get("TracerPid", "0")
    if tracer not in ("", "0"):
        return Refusal(f"already traced by pid {tracer}", "end that tracer first")
    if mine.yama == 3:
        return Refusal(
            "Yama ptrace_scope is 3, which forbids all tracing until the node boots again",
            "set kernel.yama.ptrace_scope to 2 or less and reboot the node",
        )
    if "SYS_PTRACE" in mine.capabilities:
        return Refusal(
            "refused although SYS_PTRACE is held",
            "a security module (SELinux, AppArmor) or a seccomp profile stands in the way",
        )
    if mine.yama is not None and mine.yama >= 1:
        return Refusal(f"Yama ptrace_scope is {mine.yama} and SYS_PTRACE is missing", add)
    uids = target.get("Uid", "").split()
    if uids and any(uid != str(mine.uid) for uid in uids[:3]):
        return Refusal(
            f"it runs as uid {uids[0]}, hunter as {mine.uid}, and SYS_PTRACE is missing", add
        )
    return Refusal(
        "it has more capabilities than hunter or is not dumpable, and SYS_PTRACE is missing", add
    )
