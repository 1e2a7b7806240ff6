"""Seccomp profiles of containers, as ``linux.seccomp`` of the OCI runtime specification.

The real RuntimeDefault is a list of what is allowed. Here it is a list of what is not: of the
calls that profile denies, those that can make a difference to a debugger or its target.
"""

from __future__ import annotations

from typing import Any

EPERM = 1

_ALWAYS_DENIED = (
    "add_key",
    "get_mempolicy",
    "keyctl",
    "mbind",
    "move_pages",
    "nfsservctl",
    "request_key",
    "set_mempolicy",
    "userfaultfd",
    "vmsplice",
)
_DENIED_WITHOUT: dict[tuple[str, ...], tuple[str, ...]] = {
    ("CAP_SYS_PTRACE",): (
        "kcmp",
        "pidfd_getfd",
        "process_madvise",
        "process_vm_readv",
        "process_vm_writev",
    ),
    ("CAP_BPF", "CAP_SYS_ADMIN"): ("bpf",),
    ("CAP_PERFMON", "CAP_SYS_ADMIN"): ("perf_event_open",),
    ("CAP_DAC_READ_SEARCH",): ("open_by_handle_at",),
    ("CAP_SYS_ADMIN",): (
        "fanotify_init",
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "mount",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "pivot_root",
        "quotactl",
        "setns",
        "swapoff",
        "swapon",
        "umount",
        "umount2",
        "unshare",
    ),
    ("CAP_SYS_BOOT",): ("reboot", "kexec_load", "kexec_file_load"),
    ("CAP_SYS_MODULE",): ("delete_module", "init_module", "finit_module"),
    ("CAP_SYS_TIME",): ("settimeofday", "clock_settime", "stime"),
    ("CAP_SYS_RAWIO",): ("iopl", "ioperm"),
    ("CAP_SYSLOG", "CAP_SYS_ADMIN"): ("syslog",),
}

_LOCALHOST_DENIED = {
    "no-ptrace.json": ("ptrace", "process_vm_readv", "process_vm_writev"),
}


def _deny(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": sorted(names), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
        ],
    }


def profile(selected: dict[str, Any] | None, capabilities: frozenset[str]) -> dict[str, Any] | None:
    """Returns the filter for a container, None for Unconfined.

    Args:
        selected: ``seccompProfile`` of the container or its pod; without one the kubelet runs
            containers unconfined.
        capabilities: the container's bounding set, which the default profile looks at.

    Raises:
        ValueError: the node has no localhost profile of that name.
    """
    kind = (selected or {}).get("type", "Unconfined")
    if kind == "Unconfined":
        return None
    if kind == "Localhost":
        name = (selected or {}).get("localhostProfile", "")
        if name not in _LOCALHOST_DENIED:
            raise ValueError(f'cannot load seccomp profile "{name}": no such file or directory')
        return _deny(_LOCALHOST_DENIED[name])
    denied = set(_ALWAYS_DENIED)
    for needed, names in _DENIED_WITHOUT.items():
        if not capabilities.intersection(needed):
            denied.update(names)
    return _deny(tuple(denied))
