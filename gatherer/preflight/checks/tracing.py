"""Check: whether hunter may trace, by which engine, and the one cause when it may not. Pure."""

from __future__ import annotations

import errno
import re

from gatherer.inject.plan import DEFAULT_IMAGE, own_image
from gatherer.preflight.checks.kernel import MACHINES, too_old
from gatherer.preflight.checks.privileges import is_refusal, profile_name
from gatherer.preflight.checks.way_in import choice
from gatherer.preflight.findings import Finding, Level
from gatherer.preflight.target_facts import TargetFacts
from gatherer.probe.facts import ContainerFacts, Process
from hg_shared.linux_abi import ERRNO
from hg_shared.rights import Refusal, why_refused

_EBPF_KERNEL = (5, 8)
_EVIDENCE = "memory evidence only"

SYS_PTRACE_MANIFEST = """\
securityContext:
  runAsUser: 0
  runAsNonRoot: false
  capabilities:
    add: [SYS_PTRACE]
"""


def findings(evidence: TargetFacts) -> list[Finding]:
    """Returns the row `tracing`: of the container hunter would run in."""
    chosen = choice(evidence)
    if chosen is None or evidence.machine not in MACHINES or too_old(evidence.kernel):
        return []  # the row `node` says so, if anything is known
    if chosen.inject == "ephemeral":
        return [_beside(evidence.interior)]
    return [_inside(evidence, chosen.interior)] if chosen.interior is not None else []


def _beside(interior: ContainerFacts | None) -> Finding:
    """Judges an ephemeral container: it has SYS_PTRACE, and no seccomp profile of the target's."""
    if interior is not None and interior.rights.yama == 3:
        return _denied(why_refused(interior.rights, {}))
    return Finding("tracing", "ptrace: an ephemeral container has SYS_PTRACE", "")


def _inside(evidence: TargetFacts, interior: ContainerFacts) -> Finding:
    ebpf = no_ebpf(evidence, interior)
    if not ebpf:
        return Finding("tracing", "ebpf", "BPF and PERFMON, or SYS_ADMIN, are in effect")
    refused = _refused_by_seccomp(evidence, interior)
    if refused is not None:
        return _denied(refused)
    target = candidate(interior)
    if target is None:
        return Finding("tracing", "not known", "no process to judge by", Level.UNKNOWN)
    who = f"process {target.pid}"
    if target.tracer or not target.opens:
        refusal = why_refused(interior.rights, target.status)
        lacking = "add SYS_PTRACE" in refusal.remedy
        remedy = f"{refusal.remedy}; {_ephemeral(evidence)}" if lacking else refusal.remedy
        manifest = SYS_PTRACE_MANIFEST if lacking else ""
        return _denied(Refusal(f"{who}: {refusal.cause}", remedy), manifest)
    unseen = interior.rights.seccomp and "ptrace" not in interior.calls
    if unseen and profile_name(evidence).startswith("Localhost"):
        return Finding(
            "tracing",
            f"{who} may be traced unless the seccomp profile forbids it",
            f"{profile_name(evidence)} lies on the node",
            Level.UNKNOWN,
        )
    return Finding("tracing", f"ptrace: {who} may be traced", f"not ebpf: {ebpf}")


def candidate(interior: ContainerFacts) -> Process | None:
    """Returns the process tracing is judged by: the container's biggest that nobody traces."""
    mine = [process for process in interior.processes if process.own] or interior.processes
    return next((process for process in mine if not process.tracer), next(iter(mine), None))


def no_ebpf(evidence: TargetFacts, interior: ContainerFacts) -> str:
    """Returns why the engine `ebpf` cannot be used, empty when nothing speaks against it."""
    held = interior.rights.capabilities
    missing = [name for name in ("BPF", "PERFMON") if name not in held]
    if missing and "SYS_ADMIN" not in held:
        return f"{' and '.join(missing)} missing"
    if interior.user_namespace:
        return "capabilities of a user namespace do not count"
    release = re.match(r"(\d{1,3})\.(\d{1,3})", evidence.kernel)
    if release and (int(release[1]), int(release[2])) < _EBPF_KERNEL:
        return "kernel older than 5.8"
    if interior.calls.get("bpf", errno.EINVAL) in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return "a seccomp profile or a security module forbids bpf(2)"
    return ""


def _refused_by_seccomp(evidence: TargetFacts, interior: ContainerFacts) -> Refusal | None:
    profile = f" ({name})" if (name := profile_name(evidence)) else ""
    remedy = (
        "allow ptrace in the profile, or set seccompProfile RuntimeDefault on the container; "
        + _ephemeral(evidence)
    )
    if interior.killed is not None and interior.rights.seccomp:
        path, number = interior.killed
        return Refusal(
            f"the seccomp profile{profile} ends who calls ptrace(2): {path} got signal {number}",
            remedy,
        )
    answer = interior.calls.get("ptrace", 0)
    if not is_refusal("ptrace", answer):
        return None
    if interior.rights.seccomp:
        return Refusal(
            f"the seccomp profile{profile} forbids ptrace(2): it answers {_errno_text(answer)}",
            remedy,
        )
    return Refusal(
        f"ptrace(2) answers {_errno_text(answer)} without a seccomp profile",
        "see the security module of the node (SELinux, AppArmor) and its log",
    )


def _ephemeral(evidence: TargetFacts) -> str:
    """Returns the way round the target's own profile and capabilities, and what image it takes."""
    own = evidence.container is not None and own_image(evidence.container, evidence.interior)
    image = "the target's own image" if own else f"image {DEFAULT_IMAGE}, or what --image names"
    return (
        "or use --inject ephemeral, whose container has SYS_PTRACE and its own profile, and runs "
        + image
    )


def _errno_text(number: int) -> str:
    name, text = ERRNO.get(number, ("", ""))
    return f"{name} ({text})" if name else f"errno {number}"


def _denied(refusal: Refusal, manifest: str = "") -> Finding:
    return Finding(
        "tracing",
        f"denied: {refusal.cause}",
        _EVIDENCE,
        Level.LIMITS,
        refusal.remedy,
        manifest,
        f"tracing is denied: {refusal.cause}",
    )
