"""From a container of a pod to the configuration runc reads. Pure.

Defaults are containerd's; the format is the OCI runtime specification 1.0.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.standin import seccomp
from tests.cluster.standin.quantities import parse_quantity

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)
ALL_CAPABILITIES = (
    *DEFAULT_CAPABILITIES,
    "CAP_DAC_READ_SEARCH",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_LEASE",
    "CAP_AUDIT_CONTROL",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
_MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
_READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Surroundings:
    """What the node and the pod give a container.

    Attributes:
        rootfs: path of its mounted root file system.
        image_command: runs when the container names neither command nor args.
        cgroups_path: path of its cgroup, the same in every hierarchy.
        namespaces: paths of namespaces it joins by type; an absent type of ``pid`` gets a new
            one, an empty path and an absent ``network`` mean the node's.
        mounts: what is bound into it: target to (source, read-only).
        environment: variables that come before the container's own.
        hostname: the name of the pod.
        possible: the capabilities this machine can give: a privileged container gets them all.
    """

    rootfs: str
    image_command: tuple[str, ...]
    cgroups_path: str
    hostname: str
    namespaces: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    possible: frozenset[str] = frozenset(ALL_CAPABILITIES)


def effective_security(pod_spec: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    """Returns the container's securityContext over the pod's."""
    return {**pod_spec.get("securityContext", {}), **container.get("securityContext", {})}


def capability_set(security: dict[str, Any]) -> tuple[str, ...]:
    """Returns the capabilities of a container: the default ones, then drop, then add."""
    if security.get("privileged"):
        return ALL_CAPABILITIES
    changes = security.get("capabilities", {})
    dropped = {_capability(name) for name in changes.get("drop", [])}
    added = {_capability(name) for name in changes.get("add", [])}
    kept = set() if "CAP_ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
    kept |= set(ALL_CAPABILITIES) if "CAP_ALL" in added else added
    return tuple(name for name in ALL_CAPABILITIES if name in kept)


def _capability(name: str) -> str:
    return "CAP_" + name.upper().removeprefix("CAP_")


def runtime_config(
    pod_spec: dict[str, Any], container: dict[str, Any], around: Surroundings
) -> dict[str, Any]:
    """Returns config.json of a container.

    Raises:
        ValueError: a quantity or a seccomp profile is not known.
    """
    security = effective_security(pod_spec, container)
    privileged = bool(security.get("privileged"))
    capabilities = capability_set(security)
    if privileged:
        capabilities = tuple(name for name in capabilities if name in around.possible)
    linux: dict[str, Any] = {
        "namespaces": _namespaces(around.namespaces),
        "cgroupsPath": around.cgroups_path,
        "resources": _resources(container, privileged),
        "maskedPaths": [] if privileged else list(_MASKED_PATHS),
        "readonlyPaths": [] if privileged else list(_READONLY_PATHS),
    }
    filters = seccomp.profile(security.get("seccompProfile"), frozenset(capabilities))
    if filters is not None and not privileged:
        linux["seccomp"] = filters
    return {
        "ociVersion": "1.0.2",
        "process": _process(container, security, capabilities, around),
        "root": {
            "path": around.rootfs,
            "readonly": bool(security.get("readOnlyRootFilesystem")),
        },
        "mounts": _mounts(around.mounts, privileged),
        "linux": linux,
    }


def _arguments(container: dict[str, Any], image_command: tuple[str, ...]) -> list[str]:
    command, args = container.get("command"), container.get("args")
    if command:
        return [*command, *(args or [])]
    return [image_command[0], *args] if args else list(image_command)


def _process(
    container: dict[str, Any],
    security: dict[str, Any],
    capabilities: tuple[str, ...],
    around: Surroundings,
) -> dict[str, Any]:
    environment = {"PATH": PATH, "HOSTNAME": around.hostname, **around.environment}
    environment |= {item["name"]: item.get("value", "") for item in container.get("env", [])}
    return {
        "terminal": False,
        "user": {
            "uid": security.get("runAsUser", 0),
            "gid": security.get("runAsGroup", 0),
            "additionalGids": [
                *security.get("supplementalGroups", []),
                *([security["fsGroup"]] if "fsGroup" in security else []),
            ],
        },
        "args": _arguments(container, around.image_command),
        "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": container.get("workingDir", "/"),
        # No inheritable and no ambient set, as containerd since CVE-2022-24769: a process that
        # is not root has none in effect.
        "capabilities": {
            name: list(capabilities) for name in ("bounding", "effective", "permitted")
        },
        "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
        "oomScoreAdj": 1000 if not container.get("resources") else 900,
    }


def _namespaces(joined: Mapping[str, str]) -> list[dict[str, str]]:
    namespaces = [{"type": "mount"}, {"type": "cgroup"}]
    if "pid" not in joined:
        namespaces.append({"type": "pid"})
    namespaces += [{"type": kind, "path": path} for kind, path in joined.items() if path]
    return namespaces


def _resources(container: dict[str, Any], privileged: bool) -> dict[str, Any]:
    resources: dict[str, Any] = {"devices": [{"allow": privileged, "access": "rwm"}]}
    limits = container.get("resources", {}).get("limits", {})
    if "memory" in limits:
        resources["memory"] = {"limit": int(parse_quantity(limits["memory"]))}
    if "cpu" in limits:
        period = 100_000
        quota = max(1000, int(parse_quantity(limits["cpu"]) * period))
        resources["cpu"] = {"period": period, "quota": quota}
    return resources


def _mounts(binds: Mapping[str, tuple[str, bool]], privileged: bool) -> list[dict[str, Any]]:
    guarded = ["nosuid", "noexec", "nodev"]
    access = "rw" if privileged else "ro"
    mounts: list[dict[str, Any]] = [
        _mount("/proc", "proc", guarded),
        _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount(
            "/dev/pts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        _mount("/dev/mqueue", "mqueue", guarded),
        _mount("/sys", "sysfs", [*guarded, access]),
        _mount("/sys/fs/cgroup", "cgroup", [*guarded, "relatime", access]),
    ]
    for target, (source, readonly) in binds.items():
        options = ["rbind", "rprivate", "ro" if readonly else "rw"]
        mounts.append({"destination": target, "type": "bind", "source": source, "options": options})
    return mounts


def _mount(destination: str, kind: str, options: list[str]) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": options}
