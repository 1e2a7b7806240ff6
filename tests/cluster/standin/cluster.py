"""The whole cluster: its objects, its node, its users and their credentials."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from pathlib import Path
from typing import Any

from tests.cluster.standin import rbac
from tests.cluster.standin.authority import Authority
from tests.cluster.standin.kubelet import Kubelet
from tests.cluster.standin.pods import timestamp
from tests.cluster.standin.run_directory import RunDirectory
from tests.cluster.standin.sandbox import ServiceAccount
from tests.cluster.standin.store import Store

Object = dict[str, Any]

OBJECTS = Path(__file__).parent / "objects"
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
SETTLE_SECONDS = 10.0
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def recorded(name: str) -> Object:
    """Returns an object as it was read from a real cluster."""
    value: Object = json.loads((OBJECTS / f"{name}.json").read_text())
    return value


def manifest(name: str) -> Object:
    """Returns what was applied to make a recorded pod, annotation included."""
    annotation = recorded(name)["metadata"]["annotations"][LAST_APPLIED]
    value: Object = json.loads(annotation)
    value["metadata"].setdefault("annotations", {})[LAST_APPLIED] = annotation
    return value


def _node() -> Object:
    """Returns the recorded node with this machine's figures."""
    node = recorded("node1")
    now = timestamp()
    machine = os.uname()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    node["metadata"]["creationTimestamp"] = now
    node["status"]["capacity"] |= {"cpu": str(os.cpu_count()), "memory": f"{pages}Ki"}
    node["status"]["allocatable"] |= {
        "cpu": str(os.cpu_count()),
        "memory": f"{pages - 102400}Ki",
    }
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine.machine, machine.machine)
    node["status"]["nodeInfo"] |= {
        "kernelVersion": machine.release,
        "architecture": architecture,
    }
    for key in ("beta.kubernetes.io/arch", "kubernetes.io/arch"):
        node["metadata"]["labels"][key] = architecture
    for condition in node["status"]["conditions"]:
        condition |= {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return node


class Cluster:
    """Everything but the server."""

    def __init__(self, run: RunDirectory) -> None:
        """Makes an empty cluster: one node, the usual namespaces, no pods."""
        self.run = run
        self.authority = Authority()
        self.store = Store()
        self.host, self.port = "127.0.0.1", 0
        self.tokens = {name: secrets.token_urlsafe(24) for name in rbac.USERS}
        self.certificates = {"admin-certificate": self.authority.client(rbac.ADMIN.name)}
        self._users_by_token = {self.tokens[name]: user for name, user in rbac.USERS.items()}
        self._account_tokens: dict[tuple[str, str], str] = {}
        node = _node()
        self.store.put("nodes", node)
        for name in NAMESPACES:
            self.store.put("namespaces", _namespace(name))
        self.kubelet = Kubelet(self.store, run, node, self._service_account)

    def add_namespace(self, name: str) -> Object:
        """Adds a namespace and returns it."""
        return self.store.put("namespaces", _namespace(name))

    async def settled(self) -> None:
        """Waits until no container is on its way up, at most 10 s."""
        with self.store.watch(self.store.version) as changes:
            try:
                async with asyncio.timeout(SETTLE_SECONDS):
                    while any(_starting(pod) for pod in self.store.list("pods", None)):
                        await changes.next()
            except TimeoutError:
                pass

    def user_by_token(self, token: str) -> rbac.User | None:
        """Returns whose token it is."""
        return self._users_by_token.get(token)

    def user_by_certificate(self, name: str) -> rbac.User:
        """Returns the user of a client certificate of our authority."""
        known = {user.name: user for user in rbac.USERS.values()}
        return known.get(name, rbac.User(name))

    def _service_account(self, namespace: str, name: str) -> ServiceAccount:
        if namespace == "default" and name in self.tokens:
            token = self.tokens[name]
        else:
            key = (namespace, name)
            token = self._account_tokens.setdefault(key, secrets.token_urlsafe(24))
            self._users_by_token[token] = rbac.service_account(namespace, name)
        return ServiceAccount(token, self.authority.pem, self.host, self.port)


def _starting(pod: Object) -> bool:
    return any(
        item["state"].get("waiting", {}).get("reason") == "ContainerCreating"
        for item in pod["status"].get("containerStatuses", [])
    )


def _namespace(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "creationTimestamp": timestamp(),
            "labels": {"kubernetes.io/metadata.name": name},
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
