"""Checks: user, capabilities, seccomp, no_new_privs, Yama. Pure."""

from __future__ import annotations

from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from gatherer.probe.facts import ContainerFacts
from hg_shared.rights import CAPABILITIES

TELLING = ("SYS_PTRACE", "BPF", "PERFMON", "SYS_ADMIN")
"""Capabilities a tracer is interested in."""

_SECCOMP = {0: "none", 1: "strict", 2: "filter"}
_YAMA = {
    0: "any process of the same user may be traced",
    1: "only with SYS_PTRACE: hunter is no ancestor of the target",
    2: "only with SYS_PTRACE",
    3: "nobody may trace until the node boots again",
}


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the rows `uid`, `capabilities`, `seccomp`, `no_new_privs` and `yama`."""
    interior = evidence.interior
    if interior is None:
        return []
    return [
        _user(interior),
        _capabilities(interior),
        _seccomp(evidence, interior),
        Finding("no_new_privs", "set" if interior.rights.no_new_privs else "not set", ""),
        _yama(interior),
    ]


def _user(interior: ContainerFacts) -> Finding:
    uid = interior.rights.uid
    if interior.user_namespace:
        return Finding(
            "uid", f"{uid}, in a user namespace",
            "its capabilities count inside only: no eBPF", Level.NOTE,
        )  # fmt: skip
    return Finding("uid", str(uid), "root" if uid == 0 else "not root")


def _capabilities(interior: ContainerFacts) -> Finding:
    held = interior.rights.capabilities
    telling = [name for name in TELLING if name in held]
    bound = [name for name in TELLING if name in interior.bounding and name not in held]
    finding = f"effective {_named(held)}; bounding {_named(interior.bounding)}"
    if telling:
        return Finding("capabilities", finding, f"{' '.join(telling)} in effect")
    if bound:
        return Finding(
            "capabilities",
            finding,
            f"{' '.join(bound)} is granted and not in effect: uid {interior.rights.uid} is not "
            "root, and Kubernetes sets no ambient capabilities",
            Level.NOTE,
        )
    return Finding("capabilities", finding, f"none of {' '.join(TELLING)}")


def _named(names: object) -> str:
    listed = list(names) if isinstance(names, (list, tuple)) else []
    if not listed:
        return "none"
    if len(listed) == len(CAPABILITIES):
        return "all"
    telling = [name for name in TELLING if name in listed]
    others = len(listed) - len(telling)
    named = " ".join(telling)
    if not telling:
        return f"{others} others"
    return f"{named} and {others} others" if others else named


def profile_name(evidence: TargetFacts) -> str:
    """Returns what the pod's spec calls the seccomp profile, empty when it says nothing."""
    if evidence.container is None:
        return ""
    return evidence.container.security.profile


def _seccomp(evidence: TargetFacts, interior: ContainerFacts) -> Finding:
    mode = _SECCOMP.get(interior.rights.seccomp, str(interior.rights.seccomp))
    name = profile_name(evidence)
    finding = f"{mode} ({name})" if name else mode
    if interior.rights.seccomp == 0:
        return Finding("seccomp", finding, "no call is refused")
    if interior.killed is not None:
        return Finding(
            "seccomp", finding, "it may kill who calls ptrace(2)", Level.NOTE
        )  # fmt: skip
    if "ptrace" not in interior.calls:
        return Finding(
            "seccomp", finding, "whether it allows ptrace(2) shows only a Python", Level.UNKNOWN
        )
    refused = [name for name, errno in interior.calls.items() if is_refusal(name, errno)]
    if not refused:
        return Finding("seccomp", finding, "allows what hunter calls")
    meaning = f"refuses {', '.join(refused)}"
    if refused == ["process_vm_readv"]:
        meaning += ": memory is read through /proc/PID/mem"
    return Finding("seccomp", finding, meaning, Level.NOTE)


def is_refusal(call: str, errno: int) -> bool:
    """Whether the answer to a probing call is a seccomp profile's: EPERM, EACCES or ENOSYS.

    Args:
        call: its name; bpf(2) is refused for want of a capability as well and tells nothing then.
        errno: that it was answered with.
    """
    return call != "bpf" and errno in (1, 13, 38)


def _yama(interior: ContainerFacts) -> Finding:
    scope = interior.rights.yama
    if scope is None:
        return Finding("yama", "not in this kernel", "")
    meaning = _YAMA.get(scope, "a value this gatherer does not know")
    if scope in (1, 2) and "SYS_PTRACE" in interior.rights.capabilities:
        meaning = "SYS_PTRACE is in effect and lifts it"
        return Finding("yama", f"ptrace_scope {scope}", meaning)
    return Finding(
        "yama", f"ptrace_scope {scope}", meaning, Level.OK if scope == 0 else Level.NOTE
    )  # fmt: skip
