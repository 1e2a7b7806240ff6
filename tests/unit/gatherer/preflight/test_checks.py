"""Broken set-ups of many kinds: each one gets its own, right answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from gatherer.errors import ClusterUnreachable, ExecError, Forbidden, NotFound, Unauthorized
from gatherer.kube.objects.node import Node
from gatherer.preflight.evaluation import evaluate
from gatherer.preflight.findings import Level, Report
from gatherer.preflight.target_facts import TargetFacts
from gatherer.probe.facts import ContainerFacts, WritableDir

from .situations import (
    document,
    edited,
    healthy,
    of_pod,
    row,
    seen,
    target,
    without,
)

STOPS, LIMITS = Level.STOPS, Level.LIMITS


class Kind(NamedTuple):
    """A broken set-up, and what doctor must say about it."""

    name: str
    evidence: Callable[[], TargetFacts]
    check: str
    level: Level
    cause: tuple[str, ...]
    remedy: tuple[str, ...]


def failed(error: Exception) -> TargetFacts:
    return TargetFacts(healthy().target_ref, failure=error)  # type: ignore[arg-type]


def pod(**spec: Any) -> TargetFacts:
    """Problempod with other fields in its spec, seen from inside as ever."""
    manifest = document("problempod")
    manifest["spec"].update(spec)
    return replace(of_pod(manifest), interior=seen("problempod"))


def inside(recorded: str, base: str = "problempod", **lines: str) -> TargetFacts:
    evidence = target(base)
    interior = edited(recorded, **lines) if lines else seen(recorded)
    return replace(evidence, interior=interior)


def traced_already() -> TargetFacts:
    interior = edited("problempod", TracerPid="TracerPid:\t4711")
    return replace(target("problempod"), interior=interior)


def closed(name: str) -> TargetFacts:
    """Process 1 of a recording can not be opened."""
    evidence = inside(name)
    assert evidence.interior is not None
    shut = tuple(replace(p, opens=False) for p in evidence.interior.processes)
    return replace(evidence, interior=replace(evidence.interior, processes=shut))


def alone(evidence: TargetFacts) -> TargetFacts:
    """Nobody may add an ephemeral container."""
    return replace(evidence, rights=without(("patch", "pods/ephemeralcontainers")))


def without_places(evidence: TargetFacts) -> TargetFacts:
    assert evidence.interior is not None
    return replace(evidence, interior=replace(evidence.interior, places=()))


def foreign_user() -> TargetFacts:
    evidence = closed("lockedpod")
    assert evidence.interior is not None
    changed = tuple(
        replace(p, status={**p.status, "Uid": "0\t0\t0\t0"}) for p in evidence.interior.processes
    )
    return replace(evidence, interior=replace(evidence.interior, processes=changed))


def node(**fields: Any) -> TargetFacts:
    recorded = Node.from_json(document("node1"))
    seen_there = replace(seen("problempod"), machine="", release="")
    return replace(target("problempod"), node=replace(recorded, **fields), interior=seen_there)


def leaving() -> TargetFacts:
    manifest = document("problempod")
    manifest["metadata"]["deletionTimestamp"] = "2026-11-21T09:00:00Z"
    return replace(of_pod(manifest), interior=seen("problempod"))


KINDS = [
    Kind(
        "no kubeconfig",
        lambda: failed(ClusterUnreachable("no kubeconfig at /nowhere", "give one")),
        "cluster",
        STOPS,
        ("no kubeconfig at /nowhere",),
        ("give one",),
    ),
    Kind(
        "token refused",
        lambda: failed(Unauthorized("the API server refused the credentials", "log in again")),
        "cluster",
        STOPS,
        ("refused the credentials",),
        ("log in again",),
    ),
    Kind(
        "may not get pods",
        lambda: replace(
            target("problempod"),
            pod=None,
            container=None,
            node=None,
            pod_failure=Forbidden("no"),
            rights=without(("get", "pods")),
        ),
        "get pods",
        STOPS,
        ("get pods is not allowed in namespace default for system:serviceaccount:default:tracer",),
        ("--verb=get --resource=pods`", "--serviceaccount=default:tracer"),
    ),
    Kind(
        "may not exec",
        lambda: replace(
            target("problempod"), rights=without(("get", "pods/exec"), ("create", "pods/exec"))
        ),
        "get pods/exec",
        STOPS,
        ("get and create pods/exec are not allowed",),
        ("--verb=get,create --resource=pods/exec`",),
    ),
    Kind(
        "may get but not create execs",
        lambda: replace(target("problempod"), rights=without(("create", "pods/exec"))),
        "create pods/exec",
        STOPS,
        ("create pods/exec is not allowed",),
        ("--verb=create --resource=pods/exec`",),
    ),
    Kind(
        "may create but not get execs",
        lambda: replace(target("problempod"), rights=without(("get", "pods/exec"))),
        "get pods/exec",
        STOPS,
        ("get pods/exec is not allowed",),
        ("--verb=get --resource=pods/exec`",),
    ),
    Kind(
        "no such pod",
        lambda: replace(
            target("problempod"),
            pod=None,
            container=None,
            node=None,
            pod_failure=NotFound('pods "nopod" not found', "check the name"),
        ),
        "pod",
        STOPS,
        ('pods "nopod" not found',),
        ("check the name",),
    ),
    Kind(
        "no such container",
        lambda: target("problempod", "nope"),
        "container",
        STOPS,
        ("has no container 'nope'",),
        ("buggycontainer",),
    ),
    Kind(
        "several containers",
        lambda: target("sharedpod"),
        "container",
        STOPS,
        ("has 2 containers",),
        ("app, sidecar",),
    ),
    Kind(
        "crash loop",
        lambda: target("crashpod"),
        "container",
        STOPS,
        ("is not running: Error, exit code 1",),
        ("kubectl logs crashpod",),
    ),
    Kind(
        "no image",
        lambda: target("noimagepod"),
        "container",
        STOPS,
        ("ErrImageNeverPull",),
        ("image",),
    ),
    Kind(
        "pod has ended",
        lambda: target("donepod"),
        "container",
        STOPS,
        ("has ended",),
        ("kubectl get pods",),
    ),
    Kind(
        "not scheduled",
        lambda: target("pendingpod"),
        "container",
        STOPS,
        ("not scheduled",),
        ("kubectl describe pod",),
    ),
    Kind(
        "being deleted",
        leaving,
        "pod",
        LIMITS,
        ("being deleted since 2026-11-21",),
        ("replaces it",),
    ),
    Kind(
        "Windows",
        lambda: replace(node(os="windows"), interior=None),
        "node",
        STOPS,
        ("runs windows", "Linux only"),
        ("Linux node",),
    ),
    Kind(
        "node not ready",
        lambda: node(ready=False, message="Kubelet stopped posting node status."),
        "node",
        LIMITS,
        ("not ready", "stopped posting"),
        ("kubectl describe node node1",),
    ),
    Kind(
        "s390x",
        lambda: node(architecture="s390x"),
        "node",
        LIMITS,
        ("no system call table for s390x",),
        ("x86_64 or aarch64",),
    ),
    Kind(
        "old kernel",
        lambda: node(kernel="4.18.0-553.el8.x86_64"),
        "node",
        LIMITS,
        ("kernel 4.18.0-553", "PTRACE_GET_SYSCALL_INFO"),
        ("newer kernel",),
    ),
    Kind(
        "exec broken",
        lambda: replace(
            target("problempod"), interior_failure=ExecError("the exec channel ended", "try again")
        ),
        "inside",
        STOPS,
        ("the exec channel ended",),
        ("try again",),
    ),
    Kind(
        "no shell, no Python",
        lambda: alone(replace(target("barepod"), refused="'sh' could not be run")),
        "way in",
        STOPS,
        ("in container 'barecontainer': it has no shell and no Python", "nor beside it"),
        ("patch pods/ephemeralcontainers", "add CPython 3.8"),
    ),
    Kind(
        "a shell and no Python",
        lambda: alone(without_places(inside("barepod", "barepod"))),
        "way in",
        STOPS,
        ("it has no Python, and no writable place to run one from",),
        ("add CPython 3.8",),
    ),
    Kind(
        "Python too old",
        lambda: alone(
            without_places(inside("problempod", **{"3.11.2": "3.6.8 ctypes /usr/bin/python3"}))
        ),
        "way in",
        STOPS,
        ("only /usr/bin/python3 3.6.8, older than 3.8",),
        ("3.8 or later",),
    ),
    Kind(
        "Python without ctypes",
        lambda: alone(
            without_places(inside("problempod", **{"3.11.2": "3.12.1 - /usr/bin/python3"}))
        ),
        "way in",
        STOPS,
        ("only /usr/bin/python3 3.12.1, without ctypes",),
        ("patch pods/ephemeralcontainers",),
    ),
    Kind(
        "no headroom, cgroup v2",
        lambda: alone(inside("cgroup2-tight")),
        "way in",
        STOPS,
        ("are left below its memory limit of 64.0 MiB", "nor beside it"),
        ("resources.limits.memory", "--force"),
    ),
    Kind(
        "Yama 1, root without SYS_PTRACE",
        lambda: inside("yama1-root"),
        "tracing",
        LIMITS,
        ("Yama ptrace_scope is 1 and SYS_PTRACE is missing",),
        ("add SYS_PTRACE",),
    ),
    Kind(
        "Yama 2",
        lambda: inside("yama2-root"),
        "tracing",
        LIMITS,
        ("Yama ptrace_scope is 2 and SYS_PTRACE is missing",),
        ("add SYS_PTRACE",),
    ),
    Kind(
        "Yama 3",
        lambda: inside("yama3-root-sys-ptrace"),
        "tracing",
        LIMITS,
        ("Yama ptrace_scope is 3",),
        ("reboot the node",),
    ),
    Kind(
        "seccomp forbids ptrace",
        lambda: inside("noptracepod", "noptracepod"),
        "tracing",
        LIMITS,
        ("Localhost no-ptrace.json", "forbids ptrace(2)", "Operation not permitted"),
        ("RuntimeDefault",),
    ),
    Kind(
        "seccomp kills",
        lambda: replace(
            target("noptracepod"),
            interior=replace(seen("noptracepod"), killed=("/usr/bin/python3", 31), calls={}),
        ),
        "tracing",
        LIMITS,
        ("ends who calls ptrace(2)", "signal 31"),
        ("RuntimeDefault",),
    ),
    Kind(
        "a security module",
        lambda: inside("problempod", call_ptrace="call ptrace 13"),
        "tracing",
        LIMITS,
        ("answers EACCES (Permission denied) without a seccomp profile",),
        ("SELinux, AppArmor",),
    ),
    Kind(
        "already traced",
        traced_already,
        "processes",
        LIMITS,
        ("already traced: 1 by 4711",),
        ("end the other tracer",),
    ),
    Kind(
        "another user",
        foreign_user,
        "tracing",
        LIMITS,
        ("runs as uid 0, hunter as 1000",),
        ("add SYS_PTRACE", "as root"),
    ),
    Kind(
        "more capabilities",
        lambda: closed("lockedpod"),
        "tracing",
        LIMITS,
        ("more capabilities than hunter",),
        ("add SYS_PTRACE",),
    ),
    Kind(
        "refused with SYS_PTRACE",
        lambda: closed("problempod"),
        "tracing",
        LIMITS,
        ("although SYS_PTRACE is held",),
        ("SELinux, AppArmor",),
    ),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_broken_set_up_gets_its_answer(kind: Kind) -> None:
    report = evaluate(kind.evidence())
    deciding = report.stopping or report.limiting
    assert deciding is not None
    assert (deciding.check, deciding.level) == (kind.check, kind.level), str(deciding)
    assert report.exit_code == (3 if kind.level is STOPS else 0)
    for words in kind.cause:
        assert words in str(deciding)
    for words in kind.remedy:
        assert words in deciding.remedy
    assert str(deciding).isprintable()
    assert deciding.remedy.isprintable()


def test_no_two_broken_set_ups_get_the_same_answer() -> None:
    answers = set()
    for kind in KINDS:
        report = evaluate(kind.evidence())
        deciding = report.stopping or report.limiting
        answers.add(str(deciding))
    assert len(answers) == len(KINDS) >= 20


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("problempod", "ptrace: process 1 may be traced"),
        ("lockedpod", "ptrace: process 1 may be traced"),
        ("restrictedpod", "ptrace: process 1 may be traced"),
    ],
)
def test_targets_that_can_be_traced(name: str, expected: str) -> None:
    report = evaluate(replace(target(name), interior=seen(name)))
    assert report.exit_code == 0
    assert report.limiting is None
    assert row(report, "tracing").finding == expected


def test_restricted_reads_memory_another_way() -> None:
    report = evaluate(replace(target("restrictedpod"), interior=seen("restrictedpod")))
    assert row(report, "seccomp").finding == "filter (RuntimeDefault)"
    assert "process_vm_readv" in row(report, "seccomp").meaning
    assert "/proc/PID/mem" in row(report, "seccomp").meaning
    assert row(report, "no_new_privs").finding == "set"
    assert row(report, "capabilities").finding == "effective none; bounding none"


def test_a_shared_pid_namespace_is_named() -> None:
    report = evaluate(replace(target("sharedpod", "app"), interior=seen("sharedpod")))
    assert row(report, "pid namespace").finding == "shared by the pod's containers"
    assert report.can_run
    (mine,) = [process for process in seen("sharedpod").processes if process.own]
    assert mine.command == "python3"
    assert row(report, "processes").finding.endswith("; 3 of other containers")
    assert row(report, "tracing").finding == f"ptrace: process {mine.pid} may be traced"


def test_a_bigger_process_of_another_container_is_not_the_one_to_judge_by() -> None:
    interior = seen("sharedpod")
    mine, *others = interior.processes
    bigger = replace(others[0], rss_bytes=mine.rss_bytes * 2, opens=False)
    changed = replace(interior, processes=(mine, bigger))
    report = evaluate(replace(target("sharedpod", "app"), interior=changed))
    assert row(report, "tracing").finding == f"ptrace: process {mine.pid} may be traced"


def test_ebpf_is_told_apart_from_ptrace() -> None:
    report = evaluate(inside("yama1-ebpf"))
    assert row(report, "tracing").finding == "ebpf"
    assert row(report, "capabilities").meaning == "BPF PERFMON in effect"


def test_a_capability_that_is_not_in_effect_is_explained() -> None:
    report = evaluate(inside("yama1-user-sys-ptrace"))
    assert "SYS_PTRACE is granted and not in effect" in row(report, "capabilities").meaning
    assert "Yama ptrace_scope is 1" in str(row(report, "tracing"))
    assert "run it as root" in row(report, "tracing").remedy


def test_capabilities_of_a_user_namespace_do_not_count_for_bpf() -> None:
    evidence = inside("yama1-ebpf")
    assert evidence.interior is not None
    interior = replace(evidence.interior, user_namespace=True)
    report = evaluate(replace(evidence, interior=interior))
    assert "user namespace" in row(report, "uid").finding
    assert row(report, "tracing").finding.startswith("denied")


def test_create_on_exec_is_not_asked_of_old_servers() -> None:
    rights = without(("create", "pods/exec"))
    old = evaluate(replace(healthy(), rights=rights, version="v1.34.9"))
    assert old.can_run
    assert row(old, "create pods/exec").level is Level.NOTE
    assert not evaluate(replace(healthy(), rights=rights, version="v1.35.0")).can_run
    assert not evaluate(replace(healthy(), rights=rights, version="")).can_run


def test_a_server_that_does_not_say_what_is_allowed_stops_nothing() -> None:
    report = evaluate(healthy(rights={}))
    assert report.can_run
    assert row(report, "get pods/exec").level is Level.UNKNOWN


def test_an_impatient_liveness_probe_is_named_with_its_patience() -> None:
    manifest = document("problempod")
    manifest["spec"]["containers"][0]["livenessProbe"] = {
        "httpGet": {"path": "/healthz", "port": 8080}, "timeoutSeconds": 1, "periodSeconds": 5,
    }  # fmt: skip
    report = evaluate(replace(of_pod(manifest), interior=seen("problempod")))
    liveness = row(report, "liveness")
    assert liveness.finding == "GET /healthz on port 8080 every 5 s, timeout 1 s, 3 failures"
    assert "past 1 s for 11 s is restarted" in liveness.meaning
    assert "--max-overhead" in liveness.remedy
    manifest["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = 10
    patient = evaluate(replace(of_pod(manifest), interior=seen("problempod")))
    assert row(patient, "liveness").level is Level.OK


def test_without_shell_and_python_the_spec_is_all_that_is_known() -> None:
    report = evaluate(replace(target("lockedpod"), refused="no sh"))
    assert row(report, "spec").finding == "uid 1000, read-only root"
    assert row(report, "memory").finding == "limit 256.0 MiB by the spec"
    assert row(report, "shell").finding == "none that can be run: no sh"


def test_an_unknown_localhost_profile_without_a_python_is_not_judged() -> None:
    rights = seen("barepod").rights._replace(seccomp=2)
    interior = replace(seen("barepod"), rights=rights)
    report = evaluate(replace(target("noptracepod"), interior=interior))
    assert row(report, "seccomp").level is Level.UNKNOWN
    assert row(report, "tracing").level is Level.UNKNOWN


def test_no_limit_and_no_cgroup() -> None:
    unlimited = evaluate(inside("yama1-ebpf"))
    assert row(unlimited, "memory").finding == "no limit"
    assert row(unlimited, "cgroup").finding == "version 2"
    evidence = healthy()
    assert evidence.interior is not None
    none = evaluate(replace(evidence, interior=replace(evidence.interior, memory=None)))
    assert row(none, "cgroup").level is Level.UNKNOWN


def test_many_places_are_cut_short() -> None:
    evidence = healthy()
    assert evidence.interior is not None
    places = tuple(WritableDir(f"/data{n}", n % 2 == 0) for n in range(9))
    report = evaluate(replace(evidence, interior=replace(evidence.interior, places=places)))
    assert row(report, "places").finding.endswith("/data5 (noexec) and 3 more")


def test_a_container_that_was_restarted() -> None:
    manifest = document("problempod")
    status = manifest["status"]["containerStatuses"][0]
    status["restartCount"] = 3
    status["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    found = row(evaluate(replace(of_pod(manifest), interior=seen("problempod"))), "container")
    assert "restarted 3 times, last ended with OOMKilled (137)" in found.finding


def test_the_nodes_own_pid_namespace() -> None:
    assert row(evaluate(pod(hostPID=True)), "pid namespace").finding == "the node's"


def shared(app: ContainerFacts | None, sidecar: ContainerFacts | None, **changes: Any) -> Report:
    """Sharedpod whose containers look like these from inside."""
    evidence = replace(target("sharedpod", "app"), interior=app, others={"sidecar": sidecar})
    return evaluate(replace(evidence, **changes))


def may_not_trace(interior: ContainerFacts) -> ContainerFacts:
    shut = tuple(replace(process, opens=False) for process in interior.processes)
    return replace(interior, processes=shut)


def test_a_sidecar_is_taken_when_nothing_may_be_traced_from_the_target() -> None:
    report = shared(may_not_trace(seen("lockedpod")), seen("problempod"))
    assert row(report, "way in").finding.startswith("sidecar: container 'sidecar' shares")
    assert row(report, "tracing").finding == "ptrace: process 1 may be traced"
    assert report.limiting is None


def test_a_sidecar_that_may_not_trace_either_is_not_taken() -> None:
    report = shared(may_not_trace(seen("lockedpod")), may_not_trace(seen("lockedpod")))
    assert row(report, "way in").finding.startswith("memory: ")
    assert row(report, "tracing").finding.startswith("denied: ")
    assert row(report, "tracing").remedy.endswith(
        "or use --inject ephemeral, whose container has SYS_PTRACE and its own profile, and runs"
        " the target's own image"
    )


def test_an_ephemeral_container_traces_what_its_target_may_not() -> None:
    tight = evaluate(inside("cgroup2-tight"))
    assert row(tight, "way in").finding.startswith("ephemeral: only ")
    assert row(tight, "tracing").finding == "ptrace: an ephemeral container has SYS_PTRACE"
    yama3 = inside("yama3-root-sys-ptrace")
    assert yama3.interior is not None
    memory = seen("cgroup2-tight").memory
    report = evaluate(replace(yama3, interior=replace(yama3.interior, memory=memory)))
    assert row(report, "way in").finding.startswith("ephemeral: ")
    assert "Yama ptrace_scope is 3" in str(row(report, "tracing"))


def test_force_lets_hunter_into_a_crowded_container() -> None:
    evidence = inside("cgroup2-tight")
    forced = replace(evidence, target_ref=replace(evidence.target_ref, force=True))
    assert row(evaluate(forced), "way in").finding.startswith("copy: ")


@pytest.mark.parametrize(
    ("cpus", "level", "words"),
    [
        (None, None, ""),
        (0.5, Level.OK, "limit 0.5 CPUs"),
        (0.1, Level.OK, "limit 0.1 CPUs"),
        (0.01, Level.LIMITS, "limit 0.01 CPUs"),
    ],
)
def test_too_little_cpu_limits_a_capture(
    cpus: float | None, level: Level | None, words: str
) -> None:
    report = evaluate(
        replace(target("problempod"), interior=replace(seen("problempod"), cpus=cpus))
    )
    found = [each for each in report.findings if each.check == "cpu"]
    assert [(each.level, each.finding) for each in found] == ([(level, words)] if level else [])
    assert all("--inject ephemeral" in each.remedy for each in found if level is Level.LIMITS)
