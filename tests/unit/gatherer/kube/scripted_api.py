"""An API server that is a script: lists, watches, and pauses that cost no time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from gatherer.errors import NotFound
from gatherer.kube.objects.models import Container, ContainerState, Owner, Pod
from gatherer.kube.objects.references import Reference
from gatherer.kube.objects.workloads import Workload
from gatherer.kube.watch.watch_events import PodList, WatchEvent

RUNNING = ContainerState("running")
Step = WatchEvent | Exception


class ScriptEnded(Exception):
    """Nothing more was written."""


def pod(
    name: str,
    uid: str = "",
    *,
    state: ContainerState = RUNNING,
    containers: Sequence[str] = ("main",),
    controller: str = "",
    **more: object,
) -> Pod:
    made = tuple(Container(container, state=state) for container in containers)
    fields: dict[str, object] = {"phase": "Running", "node": "node1", **more}
    owner = Owner("ReplicaSet", "web", controller)
    return Pod("default", name, uid or f"uid-{name}", containers=made, owner=owner, **fields)  # type: ignore[arg-type]


class ScriptedApi:
    """Plays answers in their order.

    Attributes:
        asked: what was asked for.
    """

    def __init__(
        self,
        lists: Sequence[PodList | Exception] = (),
        watches: Sequence[Sequence[Step] | Exception] = (),
        workloads: Sequence[Workload | Exception] = (),
        replica_sets: Sequence[list[Workload] | Exception] = (),
        pods: Sequence[Pod] = (),
    ) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.pauses: list[float] = []
        self._lists = list(lists)
        self._watches = list(watches)
        self._workloads = list(workloads)
        self._replica_sets = list(replica_sets)
        self._pods = {pod.name: pod for pod in pods}

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def list_pods(self, namespace: str, selector: str) -> PodList:
        self.asked.append(("list", namespace, selector))
        return _played(self._lists)

    async def watch_pods(
        self, namespace: str, selector: str, version: str, seconds: int, name: str = ""
    ) -> AsyncIterator[WatchEvent]:
        self.asked.append(("watch", namespace, selector, version))
        for step in _played(self._watches):
            if isinstance(step, Exception):
                raise step
            yield step

    async def read_pod(self, namespace: str, name: str) -> Pod:
        self.asked.append(("get", namespace, name))
        if name not in self._pods:
            raise NotFound(f'pods "{name}" not found')
        return self._pods[name]

    async def read_workload(self, namespace: str, reference: Reference) -> Workload:
        self.asked.append(("get", namespace, str(reference)))
        return _played(self._workloads)

    async def list_replica_sets(self, namespace: str, selector: str) -> list[Workload]:
        self.asked.append(("list replicasets", namespace, selector))
        return _played(self._replica_sets)


def _played(script: list):  # type: ignore[no-untyped-def, type-arg]
    if not script:
        raise ScriptEnded
    step = script.pop(0)
    if isinstance(step, Exception):
        raise step
    return step
