"""Doctor against real containers: what it says of each, and that it leaves nothing there."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatherer.commands.doctor import run_doctor
from gatherer.config import TargetConfig
from tests.cluster.agent_pods import agent_pod
from tests.cluster.captures import capture, session, until
from tests.cluster.standin import rbac
from tests.cluster.standin.harness import StandInCluster, owned_pod, pod_manifest

MakePod = Callable[..., dict[str, Any]]
PODS = ("lockedpod", "restrictedpod", "noptracepod")


@pytest.fixture(scope="module")
def fixture_pods(cluster: StandInCluster, recorded_pods: frozenset[str]) -> Iterator[None]:
    """The recorded pods that doctor is asked about."""
    for name in PODS:
        cluster.create_recorded(name)
    yield
    for name in PODS:
        cluster.delete_pod(name)


def doctor(
    cluster: StandInCluster, *arguments: str, context: str = "admin"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "gatherer", "doctor", "--kubeconfig", str(cluster.kubeconfig)),
            *("--context", context, *arguments),
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )


def report(
    cluster: StandInCluster, pod: str, container: str | None = None, context: str = "admin"
) -> dict[str, Any]:
    """What `doctor --json` prints, asked in this process: a new one loads slowly."""
    target = TargetConfig("kubernetes", pod, container, None, context, str(cluster.kubeconfig))
    printed = io.StringIO()
    code = run_doctor(target, printed, as_json=True)
    value: dict[str, Any] = json.loads(printed.getvalue())
    assert printed.getvalue().count("\n") == 1
    assert code == value["exit_code"]
    value["rows"] = {check["check"]: check for check in value["checks"]}
    return value


def changes(cluster: StandInCluster, pod: str, container: str) -> set[str]:
    """Paths of all files that lie in the container's writable directories."""
    root = cluster.rootfs(pod, container)
    places = ("tmp", "var/tmp", "dev/shm", "run", "usr/lib/python3.11/ctypes")
    return {str(path) for place in places for path in (root / place).rglob("*")}


@pytest.mark.parametrize(
    ("pod", "container", "rows"),
    [
        (
            "problempod",
            "buggycontainer",
            {
                "python": "/usr/bin/python3 3.11",
                "places": "/tmp, ",
                "capabilities": "effective SYS_PTRACE and 14 others",
                "seccomp": "none",
                "way in": "copy: /usr/bin/python3 3.11.2 runs it from a file ",
                "tracing": "ptrace: process 1 may be traced",
            },
        ),
        (
            "lockedpod",
            "lockedcontainer",
            {
                "places": "/dev/shm (noexec)",
                "uid": "1000",
                "capabilities": "effective none; bounding 14 others",
                "no_new_privs": "not set",
                "way in": "memory: ",
                "tracing": "ptrace: process 1 may be traced",
            },
        ),
        (
            "restrictedpod",
            "restrictedcontainer",
            {
                "capabilities": "effective none; bounding none",
                "seccomp": "filter (RuntimeDefault)",
                "no_new_privs": "set",
                "way in": "memory: ",
                "tracing": "ptrace: process 1 may be traced",
            },
        ),
        (
            "sharedpod",
            "app",
            {
                "pid namespace": "shared by the pod's containers",
                "processes": "1, the biggest ",
                "tracing": "ptrace: process ",
            },
        ),
    ],
)
def test_containers_that_can_be_traced(
    cluster: StandInCluster,
    fixture_pods: None,
    pod: str,
    container: str,
    rows: dict[str, str],
) -> None:
    before = changes(cluster, pod, container)
    told = report(cluster, pod, container)
    assert (told["exit_code"], told["cause"]) == (0, None), told
    assert told["target"] == f"{cluster.namespace}/{pod}/{container}"
    for check, finding in rows.items():
        assert told["rows"][check]["finding"].startswith(finding), told["rows"][check]
    assert told["rows"]["cluster"]["finding"].endswith(f"(context admin): {cluster.version}")
    assert told["rows"]["node"]["finding"].startswith(f"{cluster.node}: linux/")
    assert told["rows"]["cgroup"]["finding"] == "version 1"
    assert " of 256.0 MiB in use, " in told["rows"]["memory"]["finding"]
    leak = {path for path in changes(cluster, pod, container) - before if "leak.txt" not in path}
    assert leak == set()
    assert cluster.tracer_pids(pod, container) == {0}


def test_a_seccomp_profile_without_ptrace_is_the_cause(
    cluster: StandInCluster, fixture_pods: None
) -> None:
    told = report(cluster, "noptracepod")
    assert (told["can_run"], told["exit_code"]) == (True, 0)
    assert told["cause"] == (
        "tracing is denied: the seccomp profile (Localhost no-ptrace.json) forbids ptrace(2): "
        "it answers EPERM (Operation not permitted)"
    )
    assert "RuntimeDefault" in told["remedy"]
    assert "--inject ephemeral" in told["remedy"]
    assert told["rows"]["way in"]["finding"].startswith("memory: ")
    assert told["rows"]["seccomp"]["meaning"] == "refuses ptrace, process_vm_readv"
    assert told["rows"]["tracing"]["level"] == "limits"


def test_a_bare_container_is_looked_into_without_a_python(
    cluster: StandInCluster, fixture_pods: None
) -> None:
    told = report(cluster, "barepod")
    rows = told["rows"]
    assert rows["shell"]["finding"] == "sh"
    assert rows["python"]["finding"] == "none"
    assert rows["processes"]["finding"].startswith("1, the biggest 1 sleep ")
    assert rows["capabilities"]["finding"].startswith("effective SYS_PTRACE and")
    assert rows["tracing"]["finding"] == "ptrace: process 1 may be traced"
    assert rows["way in"]["finding"].startswith("bundle: it has no Python")
    assert (told["exit_code"], told["cause"]) == (0, None)


@pytest.mark.parametrize(("verb", "resource"), rbac.CAPTURE)
def test_exactly_the_missing_verb_is_named(
    cluster: StandInCluster, verb: str, resource: str
) -> None:
    context = rbac.without(verb, resource)
    told = report(cluster, "problempod", context=context)
    rows = told["rows"]
    rights = {f"{one} {other}": rows[f"{one} {other}"] for one, other in rbac.CAPTURE}
    refused = [check for check, row in rights.items() if row["level"] != "ok"]
    assert refused == [f"{verb} {resource}"]
    needed = resource in ("pods", "pods/exec")
    assert told["exit_code"] == (3 if needed else 0)
    remedy = rights[refused[0]]["remedy"]
    assert f"--verb={verb} --resource={resource}`" in remedy
    assert f"--serviceaccount={cluster.namespace}:{context}`" in remedy
    if needed:
        refusal = f"{verb} {resource} is not allowed in namespace {cluster.namespace}"
        assert told["cause"].startswith(refusal)
        assert told["remedy"] == remedy
    # kubectl asks the same server the same question.
    name, _, subresource = resource.partition("/")
    asked = cluster.kubectl(
        "auth", "can-i", verb, name, *(["--subresource", subresource] if subresource else []),
        context=context,
    )  # fmt: skip
    assert asked.stdout == b"no\n"


def test_who_has_no_right_to_exec_gets_one_role_for_both_verbs(cluster: StandInCluster) -> None:
    told = report(cluster, "problempod", context="viewer")
    viewer = f"system:serviceaccount:{cluster.namespace}:viewer"
    assert told["cause"] == (
        f"get and create pods/exec are not allowed in namespace {cluster.namespace} for {viewer}"
    )
    assert told["rows"]["user"]["finding"] == viewer
    # The manifest is the one kubectl would have made.
    command = told["remedy"].split("`")[1]
    made = cluster.kubectl(*command.split()[1:], "--dry-run=client", "-o", "json")
    assert made.returncode == 0, made.stderr
    rule = json.loads(made.stdout)["rules"]
    assert rule == [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]}]
    assert 'resources: ["pods/exec"]\n  verbs: [get, create]' in told["manifest"]
    whoami = cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}",
                             context="viewer")  # fmt: skip
    assert whoami.stdout.decode() == viewer


@pytest.mark.parametrize(
    ("arguments", "check", "cause", "remedy"),
    [
        (("nopod",), "pod", 'pods "nopod" not found', "kubectl get pods"),
        (("problempod", "nope"), "container", "no container 'nope'", "buggycontainer"),
        (("sharedpod",), "container", "has 2 containers", "app, sidecar"),
        (("crashpod",), "container", "is not running", "--previous"),
        (("noimagepod",), "container", "ErrImageNeverPull", "image"),
        (("pendingpod",), "container", "not scheduled", "kubectl describe pod"),
        (("donepod",), "container", "has ended", "kubectl get pods"),
    ],
)
def test_targets_that_cannot_be_captured(
    cluster: StandInCluster,
    recorded_pods: frozenset[str],
    crashpod_waits: Callable[[], dict[str, Any]],
    arguments: tuple[str, ...],
    check: str,
    cause: str,
    remedy: str,
) -> None:
    if "crashpod" in arguments:
        crashpod_waits()
    told = report(cluster, *arguments)
    assert told["exit_code"] == 3
    assert told["rows"][check]["level"] == "stops"
    assert cause in told["cause"]
    assert remedy in told["remedy"]


def make_distroless(cluster: StandInCluster, make_pod: MakePod) -> None:
    """A pod whose image has no program but its own."""
    make_pod(
        pod_manifest(
            "distroless", ["sleep", "1000"], image="bare:dev", memory="64Mi",
            security={"runAsUser": 65532},
        )
    )  # fmt: skip
    binaries = cluster.rootfs("distroless", "main") / "bin"
    for name in ("sh", "ash", "busybox"):
        (binaries / name).unlink()


def test_a_container_with_nothing_to_run_is_judged_by_its_spec(
    cluster: StandInCluster, make_pod: MakePod
) -> None:
    make_distroless(cluster, make_pod)
    told = report(cluster, "distroless")
    rows = told["rows"]
    assert rows["shell"]["finding"].startswith("none that can be run: 'sh' could not be run")
    assert rows["python"]["finding"] == "none that can be run"
    assert rows["spec"]["finding"] == "uid 65532, writable root"
    assert rows["memory"]["finding"] == "limit 64.0 MiB by the spec"


def test_a_python_without_a_shell_answers_as_well(
    cluster: StandInCluster, make_pod: MakePod
) -> None:
    make_pod(pod_manifest("shellless", ["python3", "-c", "import time\ntime.sleep(1000)"]))
    binaries = cluster.rootfs("shellless", "main") / "usr/bin"
    for name in ("sh", "dash", "bash", "busybox"):
        (binaries / name).unlink(missing_ok=True)
    before = changes(cluster, "shellless", "main")
    told = report(cluster, "shellless")
    rows = told["rows"]
    assert rows["shell"]["finding"] == "none"
    assert rows["python"]["finding"].startswith("/usr/bin/python3 3.11")
    assert rows["processes"]["finding"].startswith("1, the biggest 1 python3 ")
    assert rows["tracing"]["finding"] == "ptrace: process 1 may be traced"
    assert told["exit_code"] == 0
    assert changes(cluster, "shellless", "main") == before


def test_the_table_is_for_people(cluster: StandInCluster) -> None:
    done = doctor(cluster, "-p", "problempod")
    assert (done.returncode, done.stderr) == (0, "")
    as_json = doctor(cluster, "-p", "problempod", "--json")
    assert (as_json.returncode, as_json.stderr) == (0, "")
    assert json.loads(as_json.stdout)["can_run"] is True
    lines = done.stdout.splitlines()
    assert lines[0] == f"target: {cluster.namespace}/problempod/buggycontainer"
    assert lines[2].split() == ["check", "finding", "meaning"]
    assert lines[-1] == "a capture can run"
    assert all(line.isprintable() for line in lines)


def test_an_unusable_kubeconfig_and_an_unreachable_server(
    cluster: StandInCluster, tmp_path: Path
) -> None:
    done = doctor(cluster, "-p", "problempod", "--kubeconfig", str(tmp_path / "nothing"))
    assert (done.returncode, done.stderr) == (3, "")
    assert "no capture can start: " in done.stdout
    assert "nothing" in done.stdout
    document = json.loads(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    closed = tmp_path / "closed"
    closed.write_text(json.dumps(document))
    done = doctor(cluster, "-p", "problempod", "--kubeconfig", str(closed))
    assert done.returncode == 3
    assert "connection refused" in done.stdout


@pytest.mark.parametrize(
    ("context", "pod"),
    [
        ("viewer", "problempod"),
        pytest.param("getonly", "problempod", marks=pytest.mark.long),
        pytest.param(rbac.without("get", "pods"), "problempod", marks=pytest.mark.long),
        (rbac.without("patch", "pods/ephemeralcontainers"), "distroless"),
    ],
)
def test_a_capture_that_cannot_start_says_what_doctor_says(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path, context: str, pod: str
) -> None:
    if pod == "distroless":
        make_distroless(cluster, make_pod)
    told = report(cluster, pod, context=context)
    done = capture(cluster, tmp_path / "logs", "-p", pod, context=context)
    assert done.returncode == told["exit_code"] == 3
    assert done.stderr == f"gatherer: error: {told['cause']}; {told['remedy']}\n"


def test_one_pod_of_a_workload_is_looked_at(cluster: StandInCluster, make_pod: MakePod) -> None:
    deployment = cluster.create_workload("deployments", "shop", {"app": "shop"})
    replica_set = cluster.create_workload(
        "replicasets", "shop-1", {"app": "shop"}, owner=deployment
    )
    try:
        make_pod(owned_pod(pod_manifest("shop-1-a", image="noimage:dev"), replica_set), wait=False)
        make_pod(owned_pod(pod_manifest("shop-1-b", ["sleep", "1000"]), replica_set))
        told = report(cluster, "deploy/shop")
        assert told["target"] == f"{cluster.namespace}/shop-1-b/main"
        assert told["exit_code"] == 0
    finally:
        cluster.delete_workload("replicasets", "shop-1")
        cluster.delete_workload("deployments", "shop")
    gone = report(cluster, "deploy/shop")
    assert gone["exit_code"] == 3
    assert 'deployments.apps "shop" not found' in gone["cause"]
    usage = doctor(cluster, "-p", "cronjob/shop")
    assert usage.returncode == 2
    assert "give POD, deploy/NAME" in usage.stderr


def agent_rows(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in told["checks"] if check["check"] == "agent"]


def test_agents_on_the_node_are_listed(cluster: StandInCluster, make_pod: MakePod) -> None:
    (none,) = agent_rows(report(cluster, "problempod"))
    assert none["finding"].startswith("no coroot-node-agent, Parca agent, StackRox Collector on")
    make_pod(agent_pod("coroot"))
    make_pod(agent_pod("collector"))

    def told_agents() -> list[Any] | None:
        told = report(cluster, "problempod")
        assert told["exit_code"] == 0
        rows = sorted(agent_rows(told), key=lambda row: str(row["finding"]))
        # Until its log says how it started there is nothing to tell of Collector.
        return rows if rows[0]["meaning"] != "asked in a capture" else None

    collector, coroot = until(told_agents, "the start of Collector is told")
    assert coroot["finding"].startswith("coroot-node-agent default/coroot-node-agent-x1b2c on")
    assert collector["finding"].startswith("StackRox Collector default/collector-x1b2c on port")
    assert collector["meaning"].startswith("connected to Sensor, driver ")
    assert {row["level"] for row in (coroot, collector)} == {"ok"}


def agent_row(cluster: StandInCluster) -> dict[str, Any]:
    told = report(cluster, "problempod")
    assert told["can_run"]
    (row,) = [check for check in told["checks"] if check["check"] == "agent"]
    return dict(row)


@pytest.mark.parametrize(
    ("startup", "form", "case", "remedy"),
    [
        ("no-sensor", "new", "not connected to Sensor", "GRPC_SERVER"),
        ("no-driver", "old", "no driver", "uname -r"),
        ("no-driver", "new", "no driver", "BTF"),
        ("not-loaded", "old", "driver not loaded", "privileged"),
    ],
)
def test_a_collector_that_does_not_start_is_named_by_its_case(
    cluster: StandInCluster, make_pod: MakePod, startup: str, form: str, case: str, remedy: str
) -> None:
    make_pod(agent_pod("collector", env={"STARTUP": startup, "LOG_FORMAT": form}), wait=False)
    cluster.wait_condition(
        "collector-x1b2c",
        lambda pod: (
            "waiting" in pod["status"]["containerStatuses"][0]["state"]
            and pod["status"]["containerStatuses"][0]["restartCount"] > 0
        ),
        "crash-looping",
    )
    row = agent_row(cluster)
    assert row["finding"].startswith(f"StackRox Collector default/collector-x1b2c: {case}: ")
    assert remedy in row["remedy"]
    assert row["level"] == "note"


def test_a_missing_container_label_is_explained_by_the_agents_mounts(
    cluster: StandInCluster, make_pod: MakePod, make_agent: Callable[..., str]
) -> None:
    pod = agent_pod("parca")
    pod["spec"]["volumes"] = pod["spec"]["volumes"][:1]
    pod["spec"]["containers"][0]["volumeMounts"][1:] = []
    make_pod(pod)
    row = agent_row(cluster)
    assert "container label missing: container label, containerd 1.6.20" in row["finding"]
    assert "/run/containerd/containerd.sock" in row["finding"]
    assert "hostPath" in row["remedy"]
    cluster.delete_pod("parca-agent-x1b2c")
    make_agent("parca", name="parca-agent-y2c3d")
    row = agent_row(cluster)
    assert (row["level"], row["remedy"]) in (("ok", ""), ("ok", None))
    assert "containerd 1.6.20, tries /run/containerd/containerd.sock" in row["meaning"]


def test_nothing_is_compiled_into_the_container(
    cluster: StandInCluster, make_pod: MakePod, tmp_path: Path
) -> None:
    """Images of python.org come without .pyc files, which an import by root would write."""
    make_pod(pod_manifest("uncompiled", ["python3", "-B", "-c", "import time\ntime.sleep(1000)"]))
    library = cluster.rootfs("uncompiled", "main") / "usr/lib/python3.11"
    for cache in list(library.rglob("__pycache__")):
        shutil.rmtree(cache)
    assert report(cluster, "uncompiled")["exit_code"] == 0
    done = capture(cluster, tmp_path / "logs", "-p", "uncompiled", "-m", "0", "--duration", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(library.rglob("__pycache__")) == []


def shared_pod() -> dict[str, Any]:
    """An app that may not trace, and a neighbour that may."""
    pod = pod_manifest(
        "pair",
        memory="256Mi",
        shareProcessNamespace=True,
        env={"CAP_MIB": "40"},
        security={"seccompProfile": {"type": "Localhost", "localhostProfile": "no-ptrace.json"}},
    )
    pod["spec"]["containers"].append(
        {
            "name": "neighbour",
            "image": "pyapp:dev",
            "imagePullPolicy": "Never",
            "command": ["sleep", "1000"],
            "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}},
        }
    )
    return pod


@pytest.mark.parametrize(
    ("pod", "container", "way"),
    [
        ("lockedpod", "lockedcontainer", "memory"),
        ("barepod", "barecontainer", "bundle"),
        ("pair", "main", "sidecar"),
    ],
)
@pytest.mark.long
def test_a_capture_takes_the_way_that_doctor_names(
    cluster: StandInCluster,
    fixture_pods: None,
    make_pod: MakePod,
    tmp_path: Path,
    pod: str,
    container: str,
    way: str,
) -> None:
    if pod == "pair":
        make_pod(shared_pod())
    told = report(cluster, pod, container)
    assert told["rows"]["way in"]["finding"].startswith(f"{way}: ")
    assert told["rows"]["tracing"]["finding"].startswith("ptrace: process ")
    output = tmp_path / "logs"
    done = capture(
        cluster, output, "-p", pod, "-c", container, "-m", "0", "-f", "0.5", "--duration", "2"
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = session(output)
    assert written["hunter"]["inject"] == way
    assert written["tracing"] == "on"
