"""A cluster that KUBECONFIG names, as the tests use the stand-in: the same methods, by its API.

What tests see from the node's side (processes, files, cgroups) is looked up on this machine, when
it is the node. What such a cluster cannot be made to do skips the test with the reason.
"""

from __future__ import annotations

import json
import os
import secrets
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.cluster.standin import cgroups, rbac, workloads
from tests.cluster.standin.cluster import LAST_APPLIED, manifest
from tests.cluster.standin.harness import KUBECTL, Object, PodError, StandInCluster

PROXY_SECONDS = 60.0
PROC = Path("/proc")
# What the tests call an image, and the variable that names the one of the cluster.
IMAGES = {
    "pyapp:dev": "CLUSTER_IMAGE_PYTHON",
    "bare:dev": "CLUSTER_IMAGE_BUSYBOX",
    "distroless:dev": "CLUSTER_IMAGE_DISTROLESS",
}
_LAYERS = Path(__file__).parent / "standin/layers/app"


def not_applicable(reason: str) -> NoReturn:
    """Ends the test: it does not apply to this cluster."""
    pytest.skip(f"not applicable: {reason}")


def image(name: str) -> str:
    """Returns what an image of the tests is called in the cluster."""
    return os.environ.get(IMAGES[name], name) if name in IMAGES else name


class RealCluster(StandInCluster):
    """A running cluster with a namespace of the tests' own, users and problempod in it."""

    pod_seconds = 90.0
    poll_seconds = 0.2

    def __init__(self, directory: Path) -> None:
        """Makes the namespace, the users and problempod.

        Args:
            directory: for the kubeconfig with the users of the tests.

        Raises:
            subprocess.CalledProcessError: kubectl cannot use KUBECONFIG.
        """
        self.namespace = f"gatherer-tests-{secrets.token_hex(3)}"
        self._made: list[str] = []
        self._cgroups: dict[str, str] = {}
        self.kubeconfig = directory / "kubeconfig"
        view = [KUBECTL, "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]
        given = json.loads(subprocess.run(view, check=True, capture_output=True).stdout)
        self._proxy = subprocess.Popen(
            [KUBECTL, "proxy", "--port=0"], stdout=subprocess.PIPE, text=True
        )
        assert self._proxy.stdout is not None
        # "Starting to serve on 127.0.0.1:PORT"
        self.server = "http://" + self._proxy.stdout.readline().split()[-1]
        self.tls = ssl.create_default_context()
        try:
            self._make_namespace(self.namespace)
            self.tokens = self._make_users()
            self._write_kubeconfig(given)
            self._wait_account()
            pod = self.create_recorded("problempod")
            self.node = str(pod["spec"]["nodeName"])
            self.version = str(self.request("GET", "/version")["gitVersion"])
            # The shim of problempod: it has the node's mount namespace.
            self.pid = self._shim()
        except BaseException:
            self.stop()
            raise

    def _shim(self) -> int:
        """Returns the parent of problempod's process; 0 when the node is another machine."""
        if self._processes(self.container_id("problempod", "buggycontainer")) is None:
            return 0
        pid = self.host_pid("problempod", "buggycontainer")
        stat = (PROC / str(pid) / "stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])

    def errors(self) -> str:
        """Returns nothing: the cluster tells of its errors elsewhere."""
        return ""

    def stop(self) -> None:
        """Removes what the tests made."""
        try:
            for path in reversed(self._made):
                try:
                    self.request("DELETE", path)
                except urllib.error.HTTPError as error:
                    if error.code != 404:
                        raise
        finally:
            self._proxy.terminate()
            self._proxy.communicate(timeout=30)

    def _post(self, path: str, body: Object) -> None:
        self.request("POST", path, body)
        self._made.append(f"{path}/{body['metadata']['name']}")

    def _make_namespace(self, name: str) -> None:
        self._post("/api/v1/namespaces", {"metadata": {"name": name}})

    def _wait_account(self) -> None:
        """Waits for the service account that pods run as."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        deadline = time.monotonic() + self.pod_seconds
        while not any(
            item["metadata"]["name"] == "default" for item in self.request("GET", path)["items"]
        ):
            if time.monotonic() > deadline:
                raise PodError(f"no service account in {self.namespace}")
            time.sleep(self.poll_seconds)

    def _make_users(self) -> dict[str, str]:
        """Makes a service account for each user of the stand-in; returns their tokens."""
        tokens = {}
        root = "/apis/rbac.authorization.k8s.io/v1"
        for name, user in rbac.USERS.items():
            if user.superuser:
                continue
            accounts = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
            self.request("POST", accounts, {"metadata": {"name": name}})
            rules = [
                {
                    "verbs": sorted(rule.verbs),
                    "resources": sorted(rule.resources),
                    "apiGroups": sorted(rule.groups),
                }
                for rule in user.rules
            ]
            wide = [rule for rule in rules if "nodes" in rule["resources"]]
            subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
            group = "rbac.authorization.k8s.io"
            own = f"{self.namespace}-{name}"
            for kind, where, called, these in (
                ("Role", f"{root}/namespaces/{self.namespace}/", name, rules),
                ("ClusterRole", f"{root}/", own, wide),
            ):
                if not these:
                    continue
                role = {"metadata": {"name": called}, "rules": these}
                bound = {
                    "metadata": {"name": called},
                    "roleRef": {"apiGroup": group, "kind": kind, "name": called},
                    "subjects": [subject],
                }
                self._post(f"{where}{kind.lower()}s", role)
                self._post(f"{where}{kind.lower()}bindings", bound)
            token = self.request(
                "POST", f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 7200}}
            )
            tokens[name] = str(token["status"]["token"])
        return tokens

    def _write_kubeconfig(self, given: Object) -> None:
        users = [{"name": name, "user": {"token": token}} for name, token in self.tokens.items()]
        users.append({"name": "admin", "user": given["users"][0]["user"]})
        named = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": given["clusters"][0]["cluster"]}],
            "users": users,
            "contexts": [
                {
                    "name": user["name"],
                    "context": {
                        "cluster": "cluster", "user": user["name"], "namespace": self.namespace,
                    },
                }
                for user in users
            ],
            "current-context": "admin",
        }  # fmt: skip
        self.kubeconfig.touch(0o600)
        self.kubeconfig.write_text(json.dumps(named))

    def _path(self, path: str) -> str:
        """Returns a path as this cluster has it: the tests' default namespace is our own."""
        if path.startswith("/standin/"):
            not_applicable("the stand-in is told to make a fault, which a cluster cannot be")
        if path.startswith("/api/v1/nodes/") and path.endswith("/status"):
            not_applicable("the status of a node is its kubelet's to write")
        return path.replace("/namespaces/default/", f"/namespaces/{self.namespace}/")

    def _open(self, method: str, path: str, data: bytes | None, kind: str) -> bytes:
        request = urllib.request.Request(
            self.server + self._path(path), method=method, data=data,
            headers={"Content-Type": kind},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: bytes = response.read()
        return answer

    def request(self, method: str, path: str, body: Object | None = None) -> Object:
        """Makes a request to the API with the rights that KUBECONFIG gives."""
        data = None if body is None else json.dumps(body).encode()
        value: Object = json.loads(self._open(method, path, data, "application/json"))
        return value

    def log(self, name: str, namespace: str = "default") -> str:
        """Returns the log of a pod's only container; empty while it has none."""
        try:
            path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
            return self._open("GET", path, None, "application/json").decode()
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            return ""

    def proxy(
        self, pod: str, path: str, body: bytes | None = None, namespace: str = "default"
    ) -> bytes:
        """Asks a server in a pod: GET, or POST with a body."""
        where = f"/api/v1/namespaces/{namespace}/pods/{pod}/proxy/{path}"
        return self._open("GET" if body is None else "POST", where, body, "text/plain")

    def audited(self, since: int = 0) -> tuple[list[Object], int]:
        """Skips the test."""
        not_applicable("the audit log of the API server is not ours to read")

    def end_part(self, part: str, how: str = "kill", *, kills_execs: bool = False) -> None:
        """Skips the test."""
        not_applicable(f"it ends the node's {part}")

    def start_part(self, part: str, boot_seconds: float = 0.0) -> None:
        """Skips the test."""
        not_applicable(f"it starts the node's {part}")

    def create_pod(self, pod: Object, *, wait: bool = True, namespace: str = "default") -> Object:
        """Creates a pod, waits until its containers run, and returns it."""
        for owner in pod["metadata"].get("ownerReferences", []):
            if owner["uid"].startswith("uid-of-"):
                not_applicable("its pods name an owner that is none; the cluster removes such pods")
        if namespace != "default" and namespace not in self._namespaces():
            self._make_namespace(namespace)
        self.request("POST", f"/api/v1/namespaces/{namespace}/pods", _adapted(pod))
        name = pod["metadata"]["name"]
        return self.wait_running(name, namespace) if wait else self.pod(name, namespace)

    def _recorded(self, name: str) -> Object:
        pod = manifest(name)
        pod["metadata"].pop("namespace", None)
        pod["metadata"]["annotations"].pop(LAST_APPLIED)
        return pod

    def create_workload(self, resource: str, name: str, *more: Any, **spec: Any) -> Object:
        """Skips the test."""
        not_applicable(
            "it makes the pods of a workload by itself; here a controller makes and removes them"
        )

    def run_workload(
        self, resource: str, name: str, labels: dict[str, str], pods: list[Object]
    ) -> list[str]:
        """Creates a workload, waits until its controller's pods run, and returns their names."""
        template = {"metadata": {"labels": labels}, "spec": _adapted(pods[0])["spec"]}
        spec: Object = {"template": template}
        if resource != "jobs":
            spec |= {"selector": {"matchLabels": labels}, "replicas": len(pods)}
        if resource == "statefulsets":
            spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
        kind = workloads.KINDS[resource]
        self.request(
            "POST",
            f"/apis/{kind.api_version}/namespaces/default/{resource}",
            {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "metadata": {"name": name, "labels": labels},
                "spec": spec,
            },
        )
        selector = ",".join(f"{key}%3D{value}" for key, value in labels.items())
        path = f"/api/v1/namespaces/default/pods?labelSelector={selector}"
        deadline = time.monotonic() + self.pod_seconds
        while True:
            made = [
                str(item["metadata"]["name"])
                for item in self.request("GET", path)["items"]
                if item["metadata"].get("ownerReferences")
            ]
            if len(made) == len(pods):
                break
            if time.monotonic() > deadline:
                raise PodError(f"{resource}/{name} has pods {made}")
            time.sleep(self.poll_seconds)
        for pod in made:
            self.wait_running(pod)
        return sorted(made)

    def replace_pod(self, resource: str, workload: str, pod: Object) -> None:
        """Deletes a StatefulSet's pod and waits until the next one of its name runs."""
        name = pod["metadata"]["name"]
        first = self.pod(name)["metadata"]["uid"]
        self.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=1")
        deadline = time.monotonic() + self.pod_seconds
        while True:
            try:
                if self.pod(name)["metadata"]["uid"] != first:
                    break
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
            if time.monotonic() > deadline:
                raise PodError(f"{name} does not come again")
            time.sleep(self.poll_seconds)
        self.wait_running(name)

    def complete_job(self, name: str) -> None:
        """Does nothing: the Job's controller sees its pod end."""

    def end_workload(self, resource: str, name: str, pods: list[str]) -> None:
        """Removes a workload and its pods."""
        root = f"/apis/{workloads.KINDS[resource].api_version}/namespaces/default"
        policy = "propagationPolicy=Background"
        self.request("DELETE", f"{root}/{resource}/{name}?{policy}")
        for pod in pods:
            self.delete_pod(pod)

    def delete_pod(self, name: str, namespace: str = "default") -> None:
        """Removes a pod, if it is there, and waits until the kubelet has ended its containers."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        try:
            self.request("DELETE", f"{path}/{name}?gracePeriodSeconds=1")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        deadline = time.monotonic() + self.pod_seconds
        while any(pod["metadata"]["name"] == name for pod in self.request("GET", path)["items"]):
            if time.monotonic() > deadline:
                raise PodError(f"{name} does not go away")
            time.sleep(self.poll_seconds)

    def _processes(self, identifier: str) -> str | None:
        """Returns the memory cgroup of a container's processes on this machine."""
        if identifier not in self._cgroups:
            for path in PROC.glob("[0-9]*/cgroup"):
                try:
                    lines = path.read_text().splitlines()
                except OSError:
                    continue
                for line in lines:
                    _, controllers, cgroup = line.split(":", 2)
                    wanted = "" if cgroups.is_v2() else "memory"
                    if identifier in cgroup and controllers == wanted:
                        self._cgroups[identifier] = cgroup
                        return cgroup
        return self._cgroups.get(identifier)

    def cgroup(self, pod: str, container: str, namespace: str = "default") -> Path:
        """Returns the directory of a container's memory cgroup."""
        deadline = time.monotonic() + self.pod_seconds
        while True:
            found = self._processes(self.container_id(pod, container, namespace))
            if found is not None:
                return cgroups.memory_directory(found)
            if "running" in self._state(pod, container, namespace):
                not_applicable("the node is another machine, and the test looks at its processes")
            if time.monotonic() > deadline:
                raise PodError(f"{pod}: container {container} does not run")
            time.sleep(self.poll_seconds)

    def _state(self, pod: str, container: str, namespace: str) -> Object:
        told = self.pod(pod, namespace)["status"]
        for status in told["containerStatuses"] + told.get("ephemeralContainerStatuses", []):
            if status["name"] == container:
                return dict(status["state"])
        raise PodError(f"{pod} has no container {container}")


@cache
def _program(path: str) -> str:
    """Returns the text of a program that the stand-in's image has below /app."""
    return (_LAYERS / path.removeprefix("/app/")).read_text()


def _adapted(pod: Object) -> Object:
    """Returns a pod for images that have nothing but Python or busybox in them.

    The stand-in's images run programs of their own, which come with the pod here.
    """
    pod = json.loads(json.dumps(pod))
    for container in pod["spec"]["containers"]:
        name, command = container["image"], container.get("command")
        if command is None and name == "pyapp:dev":
            command = ["python3", "/app/leak.py"]
        elif command is None and name == "bare:dev":
            command = ["sleep", "1000000"]
        elif command is None and name == "distroless:dev":
            command = ["/busybox/sleep", "1000000"]
        if command is not None:
            if command[:1] == ["python3"] and command[1].startswith("/app/agents/"):
                not_applicable("the stand-in agents are in an image of the stand-in only")
            if command[:1] == ["python3"] and command[1].startswith("/app/"):
                command = ["python3", "-c", _program(command[1]), *command[2:]]
            container["command"] = command
        container["image"] = image(name)
    return dict(pod)
