"""Sources of the pods of a capture: a name, a workload, a selector."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from gatherer.errors import Forbidden, GathererError, NotFound, TargetNotFound
from gatherer.kube.objects.models import Pod
from gatherer.kube.objects.references import POD, Reference
from gatherer.kube.objects.workloads import Workload
from gatherer.kube.watch.last_seen import LastSeen
from gatherer.kube.watch.pod_watch import PodApi, PodChange, PodWatch

Warn = Callable[[str], None]
READ_SECONDS = 5.0
"""Time between two reads of a pod of which the watch tells nothing."""


class WorkloadApi(PodApi, Protocol):
    """Requests to the API server; see `gatherer.kube.api`."""

    async def read_pod(self, namespace: str, name: str) -> Pod:
        """Returns a pod."""
        ...

    async def read_workload(self, namespace: str, reference: Reference) -> Workload:
        """Returns an object that owns pods."""
        ...

    async def list_replica_sets(self, namespace: str, selector: str) -> list[Workload]:
        """Returns the ReplicaSets that a selector takes."""
        ...


class PodSource(Protocol):
    """Pods that belong together.

    Attributes:
        live: whether more of them may appear.
    """

    live: bool

    def changes(self) -> AsyncIterator[tuple[PodChange, ...]]:
        """Yields the pods there are, then every change; ends when there cannot be any more.

        Raises:
            GathererError: at the start: there is no such object, or it cannot be asked for.
        """
        ...

    async def exhausted(self) -> bool:
        """Whether no pod can appear any more: the Job is done, the Deployment is gone."""
        ...


class NamedPod:
    """One pod, by its name.

    Args:
        api: the API server.
        namespace: of the pod.
        name: of the pod.
    """

    live = False

    def __init__(self, api: WorkloadApi, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name

    async def changes(self) -> AsyncIterator[tuple[PodChange, ...]]:
        """Yields the pod, then every change; ends with it, unless its StatefulSet makes it anew.

        Raises:
            GathererError: at the start: there is no such pod, or it cannot be asked for.
        """
        pod = await self._api.read_pod(self._namespace, self._name)
        yield (PodChange(pod),)
        seen = LastSeen(self._api, pod)
        seen.start()
        try:
            while True:
                await seen.changed(READ_SECONDS)
                try:
                    now = await self._api.read_pod(self._namespace, self._name)
                except NotFound:
                    if pod.owner.kind == "StatefulSet":
                        continue
                    yield (PodChange(pod, True),)
                    return
                except GathererError:
                    continue  # Those who have something to do with it will tell.
                if now.deletion_timestamp and now.owner.kind == "StatefulSet":
                    continue
                if now.uid != pod.uid:
                    yield (PodChange(pod, True), PodChange(now))
                elif now != pod:
                    yield (PodChange(now),)
                pod = now
        finally:
            await seen.aclose()

    async def exhausted(self) -> bool:
        """Returns True: a pod of the same name would be another one."""
        return True


class SelectedPods:
    """The pods that a label selector takes.

    Args:
        api: the API server.
        namespace: of the pods.
        selector: labelSelector.
        warn: takes sentences about what does not work as it should.
    """

    live = True

    def __init__(self, api: WorkloadApi, namespace: str, selector: str, warn: Warn) -> None:
        self._watch = PodWatch(api, namespace, selector, warn)
        self._problem = f"no pod in namespace {namespace!r} has labels that fit {selector!r}"

    async def changes(self) -> AsyncIterator[tuple[PodChange, ...]]:
        """Yields the pods there are, then every change.

        Raises:
            GathererError: the pods cannot be listed, or there are none.
        """
        first = True
        async for changes in self._watch.changes():
            if first and not changes:
                raise TargetNotFound(
                    self._problem, "check the selector: `kubectl get pods --show-labels`"
                )
            first = False
            yield changes

    async def exhausted(self) -> bool:
        """Returns False: who knows."""
        return False


class WorkloadPods:
    """The pods of a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.

    Args:
        api: the API server.
        namespace: of the workload.
        reference: its type and name.
        warn: takes sentences about what does not work as it should.
    """

    live = True

    def __init__(self, api: WorkloadApi, namespace: str, reference: Reference, warn: Warn) -> None:
        self._api = api
        self._namespace = namespace
        self._reference = reference
        self._warn = warn
        self._replica_sets: set[str] | None = set()
        self._foreign: set[str] = set()

    async def changes(self) -> AsyncIterator[tuple[PodChange, ...]]:
        """Yields the pods there are, then every change.

        Raises:
            GathererError: there is no such workload, or it or its pods cannot be asked for.
        """
        workload = await self._api.read_workload(self._namespace, self._reference)
        if not workload.selector:
            raise TargetNotFound(
                f"{self._reference} has no selector", "give its pods with -p POD or -l SELECTOR"
            )
        first = True
        watch = PodWatch(self._api, self._namespace, workload.selector, self._warn)
        async for changes in watch.changes():
            own = tuple([change for change in changes if await self._owns(workload, change.pod)])
            if first and not own:
                finished = " any more, it has finished" if workload.finished else ""
                raise TargetNotFound(
                    f"{self._reference} has no pods{finished}",
                    f"see `kubectl describe {self._reference}`",
                )
            first = False
            if own:
                yield own

    async def exhausted(self) -> bool:
        """Whether the workload is gone, or is a Job that has finished."""
        try:
            workload = await self._api.read_workload(self._namespace, self._reference)
        except NotFound:
            return True
        except GathererError:
            return False
        return workload.finished

    async def _owns(self, workload: Workload, pod: Pod) -> bool:
        """Whether a pod is the workload's own; a Deployment's belong to its ReplicaSets."""
        if workload.reference.resource != "deployments":
            return workload.owns(pod)
        if self._replica_sets is None:
            return True
        if pod.controller not in self._replica_sets and pod.controller not in self._foreign:
            try:
                listed = await self._api.list_replica_sets(self._namespace, workload.selector)
            except Forbidden as error:
                self._warn(f"{error.cause}; every pod that the selector takes is traced")
                self._replica_sets = None
                return True
            except GathererError as error:
                self._warn(f"pod {pod.name!r} may belong to {self._reference}: {error.cause}")
                return True
            self._replica_sets = {one.uid for one in listed if one.controller == workload.uid}
            if pod.controller not in self._replica_sets:
                self._foreign.add(pod.controller)
        return pod.controller in self._replica_sets


def pod_source(api: WorkloadApi, namespace: str, reference: Reference, warn: Warn) -> PodSource:
    """Returns where the pods of a reference come from.

    Args:
        api: the API server.
        namespace: of the object.
        reference: a pod or a workload.
        warn: takes sentences about what does not work as it should.
    """
    if reference.resource == POD:
        return NamedPod(api, namespace, reference.name)
    return WorkloadPods(api, namespace, reference, warn)
