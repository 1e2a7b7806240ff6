"""The stand-in cluster as tests use it: a process of its own, reached by its API."""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.standin import cgroups, workloads
from tests.cluster.standin.cluster import manifest
from tests.cluster.standin.pod_worker import BACKOFF_ANNOTATION

Object = dict[str, Any]

START_SECONDS = 20.0
STOP_SECONDS = 15.0
POD_SECONDS = 20.0
KUBECTL_SECONDS = 60.0
NEWEST_KUBECTL = str(Path(sys.executable).with_name("kubectl"))
# The machine's own when it has one, else the one the test dependencies bring.
KUBECTL = shutil.which("kubectl") or NEWEST_KUBECTL
_REPOSITORY = Path(__file__).parents[3]


class PodError(Exception):
    """A pod did not become what was waited for; the text holds its status."""


def pod_manifest(
    name: str,
    command: list[str] | None = None,
    *,
    image: str = "pyapp:dev",
    container: str = "main",
    env: dict[str, str] | None = None,
    memory: str | None = None,
    security: Object | None = None,
    **spec: Any,
) -> Object:
    """Returns a pod with one container, ready to be created.

    Args:
        name: of the pod.
        command: the whole command line; the image's own when not given.
        image: ``pyapp:dev`` or ``bare:dev``.
        container: name of the container.
        env: its environment.
        memory: its memory limit, e.g. ``128Mi``.
        security: its securityContext.
        spec: more fields of the pod's spec.
    """
    main: Object = {"name": container, "image": image, "imagePullPolicy": "Never"}
    if command is not None:
        main["command"] = command
    if env:
        main["env"] = [{"name": key, "value": value} for key, value in env.items()]
    if memory:
        main["resources"] = {"limits": {"memory": memory}}
    if security:
        main["securityContext"] = security
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, **spec, "containers": [main]},
    }


def owner_reference(owner: Object) -> Object:
    """Returns how a pod or a ReplicaSet names what controls it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_pod(pod: Object, owner: Object) -> Object:
    """Returns a pod as the controller of a workload makes it: its labels and its owner."""
    metadata = pod["metadata"]
    labels = owner["spec"]["selector"]["matchLabels"]
    metadata["labels"] = {**metadata.get("labels", {}), **labels}
    metadata["ownerReferences"] = [owner_reference(owner)]
    return pod


class StandInCluster:
    """A running stand-in cluster, and what tests do with it. All waiting has a limit.

    Attributes:
        namespace: in which the tests' pods are.
        node: name of the node they run on.
        version: of the API server.
        pod_seconds: how long a pod may take to become what is waited for.
        poll_seconds: between two looks at it.
    """

    namespace = "default"
    node = "node1"
    version = "v1.36.2"
    pod_seconds = POD_SECONDS
    poll_seconds = 0.02

    def __init__(self, directory: Path, pods: list[str] | None = None) -> None:
        """Starts the cluster and waits until it answers.

        Args:
            directory: for its kubeconfig and its error output.
            pods: names of recorded pods to start; problempod when not given.

        Raises:
            RuntimeError: it did not start; the text is what it said.
        """
        self.kubeconfig = directory / "kubeconfig"
        self._errors = directory / "standin.stderr"
        arguments = ["problempod"] if pods is None else pods or ["--no-pods"]
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.cluster.standin", "--lifeline"),
                    *("--kubeconfig", str(self.kubeconfig), *arguments),
                ],
                cwd=_REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        limit = threading.Timer(START_SECONDS, self._process.kill)
        limit.start()
        line = self._process.stdout.readline()
        limit.cancel()
        if not line:
            self._process.wait(STOP_SECONDS)
            raise RuntimeError(f"the stand-in cluster did not start:\n{self.errors()}")
        ready = json.loads(line)
        self.server: str = ready["server"]
        self.plain: str = ready["plain"]
        self._audit = self.kubeconfig.with_name("audit.jsonl")
        self.pid: int = ready["pid"]
        self._run: str = ready["run"]
        config = json.loads(self.kubeconfig.read_text())
        users = {item["name"]: item["user"] for item in config["users"]}
        self.tokens = {name: user["token"] for name, user in users.items() if "token" in user}
        self.tls = ssl.create_default_context(cafile=str(self._authority(config, directory)))
        for pod in pods if pods is not None else ["problempod"]:
            if pod == "problempod":
                self.wait_running(pod)

    @staticmethod
    def _authority(config: Object, directory: Path) -> Path:
        data = config["clusters"][0]["cluster"]["certificate-authority-data"]
        path = directory / "ca.crt"
        path.write_bytes(base64.b64decode(data))
        return path

    def audited(self, since: int = 0) -> tuple[list[Object], int]:
        """Returns the requests that have arrived, and where the next ones will begin.

        Args:
            since: what the last call returned as the beginning.
        """
        with self._audit.open("rb") as log:
            log.seek(since)
            data = log.read()
        return [json.loads(line) for line in data.splitlines()], since + len(data)

    def errors(self) -> str:
        """Returns what the cluster wrote to stderr: nothing, when all is well."""
        return self._errors.read_text()

    def stop(self) -> None:
        """Stops the cluster and removes what it made.

        Raises:
            RuntimeError: it complained, or did not end as it should.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
            clean = [sys.executable, "-m", "tests.cluster.standin", "--clean"]
            subprocess.run(clean, cwd=_REPOSITORY, check=True, timeout=STOP_SECONDS)
        self._process.stdout.close()
        if code != 0 or self.errors():
            raise RuntimeError(f"the stand-in cluster ended with {code}:\n{self.errors()}")

    def request(self, method: str, path: str, body: Object | None = None) -> Object:
        """Makes a request to the API as admin.

        Raises:
            urllib.error.HTTPError: the answer is not 2xx.
        """
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.tokens['admin']}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=30, context=self.tls) as response:
            value: Object = json.load(response)
        return value

    def kubectl(
        self,
        *arguments: str,
        context: str = "admin",
        program: str = KUBECTL,
        input: bytes | None = None,
        env: dict[str, str] | None = None,
        timeout: float = KUBECTL_SECONDS,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs kubectl; a failure of it is for the test to judge."""
        return subprocess.run(
            self.kubectl_command(*arguments, context=context, program=program),
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )

    def kubectl_command(
        self, *arguments: str, context: str = "admin", program: str = KUBECTL
    ) -> list[str]:
        """Returns the command line ``kubectl`` runs, for a test that wants the process."""
        return [
            *(program, "--kubeconfig", str(self.kubeconfig), "--context", context),
            *arguments,
        ]

    def create_pod(self, pod: Object, *, wait: bool = True, namespace: str = "default") -> Object:
        """Creates a pod, waits until its containers run, and returns it."""
        if namespace not in self._namespaces():
            self.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
        name = pod["metadata"]["name"]
        return self.wait_running(name, namespace) if wait else self.pod(name, namespace)

    def _namespaces(self) -> set[str]:
        items = self.request("GET", "/api/v1/namespaces")["items"]
        return {item["metadata"]["name"] for item in items}

    def create_recorded(self, name: str, *, wait: bool = True) -> Object:
        """Creates one of the recorded pods: barepod, lockedpod, crashpod, sharedpod, ...

        One that another test has created stays as it is.
        """
        try:
            return self.create_pod(self._recorded(name), wait=wait)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise
        return self.wait_running(name) if wait else self.pod(name)

    def _recorded(self, name: str) -> Object:
        pod = manifest(name)
        if name == "crashpod":
            # It stays as it is after its first restart, however long a test takes to look.
            pod["metadata"]["annotations"][BACKOFF_ANNOTATION] = "86400"
        return pod

    def pod(self, name: str, namespace: str = "default") -> Object:
        """Returns a pod as it is now."""
        return self.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    def wait_running(self, name: str, namespace: str = "default") -> Object:
        """Waits until all containers of a pod run."""
        return self.wait_state(
            name, lambda state: "running" in state, "all containers running", namespace
        )

    def wait_state(
        self,
        name: str,
        wanted: Callable[[Object], bool],
        what: str,
        namespace: str = "default",
    ) -> Object:
        """Waits until a predicate holds for the state of every container.

        Raises:
            PodError: it did not within ``pod_seconds``.
        """

        def holds(pod: Object) -> bool:
            statuses = pod["status"].get("containerStatuses", [])
            return bool(statuses) and all(wanted(status["state"]) for status in statuses)

        return self.wait_condition(name, holds, what, namespace)

    def wait_condition(
        self,
        name: str,
        wanted: Callable[[Object], bool],
        what: str = "what was waited for",
        namespace: str = "default",
    ) -> Object:
        """Waits until a predicate holds for a pod.

        Raises:
            PodError: it did not within ``pod_seconds``.
        """
        deadline = time.monotonic() + self.pod_seconds
        while True:
            pod = self.pod(name, namespace)
            if wanted(pod):
                return pod
            if time.monotonic() > deadline:
                raise PodError(f"{name}: not {what}: {json.dumps(pod['status'])}")
            time.sleep(self.poll_seconds)

    def create_workload(
        self,
        resource: str,
        name: str,
        labels: dict[str, str],
        *,
        owner: Object | None = None,
        template: Object | None = None,
        **spec: Any,
    ) -> Object:
        """Creates a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job without its pods.

        Args:
            resource: such as ``deployments``.
            name: of the object.
            labels: of its pods, by which it selects them; a Job selects by its own uid.
            owner: what controls it.
            template: spec of its pods, for those who read it.
            spec: more fields of its spec.
        """
        kind = workloads.KINDS[resource]
        value: Object = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "labels": labels},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": template or {}}, **spec},
        }
        if owner is not None:
            value["metadata"]["ownerReferences"] = [owner_reference(owner)]
        if resource != "jobs":
            value["spec"]["selector"] = {"matchLabels": labels}
        path = f"/apis/{kind.api_version}/namespaces/default/{resource}"
        return self.request("POST", path, value)

    def run_workload(
        self, resource: str, name: str, labels: dict[str, str], pods: list[Object]
    ) -> list[str]:
        """Creates a workload and its pods, as its controller would; returns their names.

        Args:
            resource: such as ``statefulsets``.
            name: of the workload.
            labels: by which it selects its pods.
            pods: equal but for their names, which a controller may choose itself.
        """
        owner = self.create_workload(resource, name, labels)
        if resource == "deployments":
            owner = self.create_workload("replicasets", f"{name}-1", labels, owner=owner)
        return [str(self.create_pod(owned_pod(pod, owner))["metadata"]["name"]) for pod in pods]

    def end_workload(self, resource: str, name: str, pods: list[str]) -> None:
        """Removes a workload and its pods."""
        if resource == "deployments":
            self.delete_workload("replicasets", f"{name}-1")
        self.delete_workload(resource, name)
        for pod in pods:
            self.delete_pod(pod)

    def replace_pod(self, resource: str, workload: str, pod: Object) -> None:
        """Has a workload's pod go and one of the same name come, as a StatefulSet does."""
        root = f"/apis/{workloads.KINDS[resource].api_version}/namespaces/default"
        owner = self.request("GET", f"{root}/{resource}/{workload}")
        self.delete_pod(pod["metadata"]["name"])
        self.create_pod(owned_pod(pod, owner))

    def complete_job(self, name: str) -> None:
        """Says of a Job that it has finished, as its controller does once its pod has ended."""
        status = {"conditions": [{"type": "Complete", "status": "True"}]}
        path = f"/apis/batch/v1/namespaces/default/jobs/{name}/status"
        self.request("PUT", path, {"status": status})

    def delete_workload(self, resource: str, name: str) -> None:
        """Removes a workload; its pods stay."""
        root = f"/apis/{workloads.KINDS[resource].api_version}"
        self.request("DELETE", f"{root}/namespaces/default/{resource}/{name}")

    def log(self, name: str, namespace: str = "default") -> str:
        """Returns the log of a pod's only container."""
        request = urllib.request.Request(
            f"{self.server}/api/v1/namespaces/{namespace}/pods/{name}/log",
            headers={"Authorization": f"Bearer {self.tokens['admin']}"},
        )
        with urllib.request.urlopen(request, timeout=30, context=self.tls) as response:
            return str(response.read().decode())

    def wait_log(self, name: str, words: str, namespace: str = "default") -> None:
        """Waits until the log of a pod's only container holds some words.

        Raises:
            PodError: it did not within ``pod_seconds``.
        """
        deadline = time.monotonic() + self.pod_seconds
        while words not in (text := self.log(name, namespace)):
            if time.monotonic() > deadline:
                raise PodError(f"{name}: no {words!r} in its log: {text}")
            time.sleep(self.poll_seconds)

    def delete_pod(self, name: str, namespace: str = "default") -> None:
        """Removes a pod, if it is there, and waits until its containers are gone."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        try:
            self.request("DELETE", f"{path}/{name}?gracePeriodSeconds=0")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        deadline = time.monotonic() + self.pod_seconds
        while any(pod["metadata"]["name"] == name for pod in self.request("GET", path)["items"]):
            if time.monotonic() > deadline:
                raise PodError(f"{name} does not go away")
            time.sleep(self.poll_seconds)

    def container_id(self, pod: str, container: str, namespace: str = "default") -> str:
        """Returns the id of a container's present or last run."""
        told = self.pod(pod, namespace)["status"]
        for status in told["containerStatuses"] + told.get("ephemeralContainerStatuses", []):
            if status["name"] == container:
                return str(status["containerID"]).removeprefix("containerd://")
        raise PodError(f"{pod} has no container {container}")

    def proxy(
        self, pod: str, path: str, body: bytes | None = None, namespace: str = "default"
    ) -> bytes:
        """Asks a server in a pod, as admin: GET, or POST with a body.

        Args:
            pod: its name, with a port after a colon.
            path: without the leading slash, with the query.
            body: of a POST.
            namespace: of the pod.

        Raises:
            urllib.error.HTTPError: the answer is not 2xx.
        """
        request = urllib.request.Request(
            f"{self.server}/api/v1/namespaces/{namespace}/pods/{pod}/proxy/{path}",
            data=body,
            headers={
                "Authorization": f"Bearer {self.tokens['admin']}",
                "Content-Type": "text/plain",
            },
        )
        with urllib.request.urlopen(request, timeout=30, context=self.tls) as response:
            data: bytes = response.read()
        return data

    def end_part(self, part: str, how: str = "kill", *, kills_execs: bool = False) -> None:
        """Ends the node's kubelet or containerd.

        Args:
            part: `kubelet` or `containerd`.
            how: `kill` or `stop`: SIGKILL or SIGTERM.
            kills_execs: whether containerd kills the processes of execs over a kubelet that goes.
        """
        self.request("POST", f"/standin/parts/{part}", {"how": how, "kills_execs": kills_execs})

    def start_part(self, part: str, boot_seconds: float = 0.0) -> None:
        """Starts the node's kubelet or containerd again.

        Args:
            part: `kubelet` or `containerd`.
            boot_seconds: how long a kubelet does not know its pods.
        """
        how = {"how": "start", "boot_seconds": boot_seconds}
        self.request("POST", f"/standin/parts/{part}", how)

    def cgroup(self, pod: str, container: str, namespace: str = "default") -> Path:
        """Returns the directory of a container's memory cgroup."""
        identifier = self.container_id(pod, container, namespace)
        return cgroups.memory_directory(cgroups.container_path(self._run, identifier))

    def host_pids(self, pod: str, container: str, namespace: str = "default") -> dict[int, int]:
        """Returns the processes in a container: process id inside to process id outside."""
        found = {}
        text = (self.cgroup(pod, container, namespace) / "cgroup.procs").read_text()
        for line in text.split():
            try:
                status = Path(f"/proc/{line}/status").read_text()
            except OSError:
                continue
            fields = dict(item.split(":\t", 1) for item in status.splitlines() if ":\t" in item)
            if "NSpid" not in fields:
                continue
            found[int(fields["NSpid"].split()[-1])] = int(line)
        return found

    def host_pid(self, pod: str, container: str, namespace: str = "default") -> int:
        """Returns the host's process id of a container's first process."""
        pids = self.host_pids(pod, container, namespace)
        return pids[min(pids)]

    def rss(self, pod: str, container: str, namespace: str = "default") -> int:
        """Returns the resident bytes of a container's first process."""
        statm = Path(f"/proc/{self.host_pid(pod, container, namespace)}/statm").read_text()
        return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def rootfs(self, pod: str, container: str, namespace: str = "default") -> Path:
        """Returns the container's file system as this machine sees it, mounts included."""
        return Path(f"/proc/{self.host_pid(pod, container, namespace)}/root")

    def tracer_pids(self, pod: str, container: str, namespace: str = "default") -> set[int]:
        """Returns the TracerPid of every thread in a container; {0} when nothing is traced."""
        tracers = set()
        for pid in self.host_pids(pod, container, namespace).values():
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                try:
                    text = status.read_text()
                except OSError:
                    continue
                tracers.add(int(text.split("TracerPid:\t", 1)[1].split("\n", 1)[0]))
        return tracers
