"""The stand-in's containers: rights, limits and what is left when the server ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.standin import cgroups
from tests.cluster.standin.cluster import manifest
from tests.cluster.standin.harness import KUBECTL, StandInCluster, pod_manifest
from tests.cluster.standin.run_directory import BASE

REPOSITORY = Path(__file__).parents[2]

# Prints whether process 1 may be traced, read with process_vm_readv, and read by /proc/1/mem.
PROBE = """
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
pid = int(os.environ.get("TARGET", "1"))
seize, interrupt, detach = 0x4206, 0x4207, 17
def call(result):
    return "yes" if result >= 0 else os.strerror(ctypes.get_errno())
traced = call(libc.ptrace(seize, pid, 0, 0))
if traced == "yes":
    libc.ptrace(interrupt, pid, 0, 0)
    os.waitpid(pid, 0x40000000)
    libc.ptrace(detach, pid, 0, 0)
start = int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16)
buffer = ctypes.create_string_buffer(4)
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
here, there = Vector(ctypes.addressof(buffer), 4), Vector(start, 4)
read = call(libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
with open(f"/proc/{pid}/mem", "rb", 0) as memory:
    memory.seek(start)
    print(traced, read, "yes" if memory.read(4) == b"\\x7fELF" else "no", sep=", ")
"""


@pytest.mark.parametrize(
    ("pod", "rights"),
    [
        ("problempod", "yes, yes, yes"),
        ("lockedpod", "yes, yes, yes"),
        ("restrictedpod", "yes, Operation not permitted, yes"),
        ("noptracepod", "Operation not permitted, Operation not permitted, yes"),
    ],
)
def test_tracing_rights_are_those_measured_on_a_real_cluster(
    cluster: StandInCluster, pod: str, rights: str
) -> None:
    if pod != "problempod":
        cluster.create_recorded(pod)
    result = cluster.kubectl("exec", pod, "--", "python3", "-c", PROBE)
    if pod != "problempod":
        cluster.delete_pod(pod)
    assert result.stdout.decode().strip() == rights, result.stderr


def test_a_container_sees_itself_alone(cluster: StandInCluster) -> None:
    script = (
        "cat /proc/1/comm; cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
        "/sys/fs/cgroup/memory.max 2>/dev/null; hostname; ls /tmp; "
        "grep -c . /proc/net/dev; which python3"
    )
    result = cluster.kubectl("exec", "problempod", "--", "sh", "-c", script)
    assert result.stdout.decode().split() == [
        *("python3", str(256 << 20), "problempod"),
        *("3", "/usr/bin/python3"),
    ]


def test_shared_memory_is_writable_but_not_executable(cluster: StandInCluster) -> None:
    cluster.create_recorded("lockedpod")
    script = (
        "touch /tmp/x || echo tmp is read-only; cp /bin/true /dev/shm/true && "
        "chmod +x /dev/shm/true; /dev/shm/true || echo $?"
    )
    result = cluster.kubectl("exec", "lockedpod", "--", "sh", "-c", script)
    cluster.delete_pod("lockedpod")
    assert result.stdout == b"tmp is read-only\n126\n"


def test_containers_of_a_pod_can_share_processes(cluster: StandInCluster) -> None:
    pod = manifest("sharedpod")
    pod["metadata"]["name"] = "together"
    cluster.create_pod(pod)
    command = ("exec", "together", "-c", "sidecar", "--", "ps", "-o", "comm")
    listed = cluster.kubectl(*command).stdout.decode().split()
    cluster.delete_pod("together")
    assert listed[:2] == ["COMMAND", "pause"]
    assert "python3" in listed


def test_volumes_can_be_read_only(cluster: StandInCluster, make_pod: Callable[..., Any]) -> None:
    pod = pod_manifest("volumes", ["sleep", "1000"], image="bare:dev")
    pod["spec"]["volumes"] = [{"name": "empty", "emptyDir": {}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "empty", "mountPath": "/dev/shm", "readOnly": True},
        {"name": "empty", "mountPath": "/data"},
    ]
    make_pod(pod)
    script = "echo there > /data/file; cat /dev/shm/file; echo x > /dev/shm/file"
    result = cluster.kubectl("exec", "volumes", "--", "sh", "-c", script)
    assert result.stdout == b"there\n"
    assert b"Read-only file system" in result.stderr


def test_a_pod_can_ask_the_api_with_its_service_account(
    cluster: StandInCluster, make_pod: Callable[..., Any]
) -> None:
    script = """
import json, os, ssl, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
path = f"/api/v1/namespaces/{open(account + 'namespace').read()}/pods/inside"
headers = {"Authorization": "Bearer " + open(account + "token").read()}
request = urllib.request.Request(server + path, headers=headers)
tls = ssl.create_default_context(cafile=account + "ca.crt")
print(json.load(urllib.request.urlopen(request, context=tls))["spec"]["serviceAccountName"])
"""
    pod = pod_manifest("inside", ["sleep", "1000"], hostNetwork=True, serviceAccountName="execer")
    make_pod(pod)
    result = cluster.kubectl("exec", "inside", "--", "python3", "-c", script)
    assert (result.stdout, result.stderr) == (b"execer\n", b"")


def test_a_container_restarts_at_once_the_first_time(
    cluster: StandInCluster, make_pod: Callable[..., Any]
) -> None:
    script = "test -e /data/second && exec sleep 1000; touch /data/second; exit 5"
    pod = pod_manifest("again", ["sh", "-c", script], image="bare:dev")
    pod["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    make_pod(pod, wait=False)
    cluster.wait_condition(
        "again", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    cluster.wait_running("again")
    status = cluster.pod("again")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 5


def test_a_pod_that_is_wrong_is_refused(cluster: StandInCluster, tmp_path: Path) -> None:
    pod = pod_manifest("wrong", memory="256Mb")
    path = tmp_path / "pod.json"
    path.write_text(json.dumps(pod))
    result = cluster.kubectl("create", "-f", str(path))
    assert result.returncode == 1
    assert result.stderr.startswith(
        b'The Pod "wrong" is invalid: spec.containers[0].resources.limits[memory]: Invalid value'
    )


def start_for_people(directory: Path) -> tuple[subprocess.Popen[str], str]:
    """Starts the cluster as ``make cluster-up`` does; returns its process and what it printed."""
    command = [sys.executable, "-m", "tests.cluster.standin"]
    path = directory / "kubeconfig"
    process = subprocess.Popen(
        [*command, "--kubeconfig", str(path)],
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    return process, printed


def processes_of(run: str) -> set[int]:
    return {
        int(line)
        for path in cgroups.memory_directory(cgroups.container_path(run, "")).rglob("cgroup.procs")
        for line in path.read_text().split()
    }


def lives(pid: int) -> bool:
    """Tells whether a process is there; one that only waits to be reaped is not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def run_name(pid: int) -> str:
    return next(path.name for path in BASE.iterdir() if path.name.startswith(f"{pid}-"))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_everything(tmp_path: Path, number: signal.Signals) -> None:
    process, printed = start_for_people(tmp_path)
    run = run_name(process.pid)
    try:
        assert f"export KUBECONFIG={tmp_path}/kubeconfig\n" in printed
        command = [KUBECTL, "--kubeconfig", str(tmp_path / "kubeconfig"), "get", "nodes"]
        assert subprocess.run(command, capture_output=True, timeout=30).returncode == 0
        left = processes_of(run)
        assert left
        process.send_signal(number)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.communicate()
    assert not any(lives(pid) for pid in left)
    assert run not in cgroups.tree_names()
    assert not (BASE / run).exists()
    assert not (tmp_path / "kubeconfig").exists()


def test_the_next_start_removes_what_a_crash_left(cluster: StandInCluster, tmp_path: Path) -> None:
    process, _ = start_for_people(tmp_path)
    run = run_name(process.pid)
    left = processes_of(run)
    assert left
    process.kill()
    process.communicate()
    command = [sys.executable, "-m", "tests.cluster.standin", "--clean"]
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True, timeout=30)
    assert not any(lives(pid) for pid in left)
    assert run not in cgroups.tree_names()
    assert not (BASE / run).exists()
    # A run whose owner lives is not touched.
    assert cluster.pod("problempod")["status"]["phase"] == "Running"
    assert cluster.host_pids("problempod", "buggycontainer")
