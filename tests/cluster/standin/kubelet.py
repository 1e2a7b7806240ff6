"""The node: schedules pods, runs their containers and reports what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.cluster.standin.images import ImageStore
from tests.cluster.standin.node_parts import NodeParts
from tests.cluster.standin.pod_status import unschedulable
from tests.cluster.standin.pod_worker import Node, PodWorker
from tests.cluster.standin.pods import schedulable, timestamp
from tests.cluster.standin.run_directory import RunDirectory
from tests.cluster.standin.runc import Runc
from tests.cluster.standin.sandbox import ServiceAccount
from tests.cluster.standin.store import Store

Object = dict[str, Any]


class Kubelet:
    """The only node and its scheduler.

    Attributes:
        lost: set while nobody reaches the node.
        parts: its programs that can be ended and started.
    """

    def __init__(
        self,
        store: Store,
        run: RunDirectory,
        node: Object,
        account: Callable[[str, str], ServiceAccount],
    ) -> None:
        """Takes over the node.

        Args:
            store: where the pods are.
            run: the directory of this run; a tmpfs is mounted on it.
            node: the node object.
            account: gives the service account of a namespace and name.
        """
        self._store = store
        self._node = node
        self._account = account
        self._workers: dict[tuple[str, str], PodWorker] = {}
        self._last_address = 1
        self._unreported: dict[str, Object] = {}
        self.lost = asyncio.Event()
        self.parts = NodeParts()
        self.parts.when_up(self._report_late)
        self._services = Node(
            run=run,
            images=ImageStore(run.subdirectory("images")),
            runc=Runc(run.subdirectory("runc"), run.subdirectory("scratch")),
            host_ip=node["status"]["addresses"][0]["address"],
            parts=self.parts,
        )

    async def add(self, pod: Object) -> None:
        """Schedules a stored pod and starts its containers; returns when they are on their way."""
        metadata = pod["metadata"]
        if (
            pod["spec"].get("nodeName", self._node["metadata"]["name"])
            != self._node["metadata"]["name"]
        ):
            # Bound to another node from the start: no kubelet of ours reports on it.
            self._store.put("pods", pod)
            return
        if not schedulable(pod, self._node):
            pod["status"] = unschedulable(pod, timestamp())
            self._store.put("pods", pod)
            return
        pod["spec"]["nodeName"] = self._node["metadata"]["name"]
        self._store.put("pods", pod)
        self._last_address += 1
        worker = PodWorker(
            pod,
            self._services,
            f"10.244.0.{self._last_address}",
            self._report,
        )
        self._workers[metadata["namespace"], metadata["name"]] = worker
        await worker.start(self._account(metadata["namespace"], pod["spec"]["serviceAccountName"]))

    def _report(self, pod: Object) -> None:
        metadata = pod["metadata"]
        if not self.parts.up:
            self._unreported[metadata["uid"]] = pod
            return
        stored = self._store.get("pods", metadata["namespace"], metadata["name"])
        if stored is not None and stored["metadata"]["uid"] == metadata["uid"]:
            stored["status"] = pod["status"]
            self._store.put("pods", stored)

    def _report_late(self) -> None:
        pods, self._unreported = self._unreported, {}
        for pod in pods.values():
            self._report(pod)

    async def evict(self, namespace: str, name: str, message: str) -> None:
        """Ends a pod for want of something on the node; the pod stays, failed."""
        worker = self._workers.get((namespace, name))
        if worker is not None:
            await worker.evict(message)

    async def remove(self, namespace: str, name: str, grace_seconds: float) -> None:
        """Ends a pod's containers, then removes the pod."""
        worker = self._workers.pop((namespace, name), None)
        if worker is not None:
            await worker.stop(grace_seconds)
        self._store.remove("pods", namespace, name)

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """Returns who runs a pod, None for one that has no node."""
        return self._workers.get((namespace, name))

    async def stop(self) -> None:
        """Ends every pod at once."""
        workers = list(self._workers.values())
        self._workers.clear()
        await asyncio.gather(*(worker.stop(0) for worker in workers), return_exceptions=True)
