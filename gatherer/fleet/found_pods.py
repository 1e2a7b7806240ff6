"""The pods that were found for a capture of many targets, and their containers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gatherer.errors import TargetNotFound, TargetNotRunning
from gatherer.kube.objects.containers import (
    ALL_CONTAINERS,
    check_running,
    has_ended,
    wanted_containers,
)
from gatherer.kube.objects.models import Container, Pod
from gatherer.kube.watch.pod_watch import PodChange
from gatherer.target.values import TargetName


@dataclass(frozen=True)
class Found:
    """A container that is to be captured, or why it cannot be.

    Attributes:
        name: of the target; its container is `-` when none can be told.
        uid: of its pod.
        node: that runs the pod.
        live: whether the pod was found by a selector or workload, not by its name.
        container: to be captured; None with a refusal.
        refusal: why there is nothing to capture; None when there may be, now or later.
        optional: whether the refusal is no failure: not all pods that a selector takes have the
            container.
        waits: why the container does not run yet; None when it does.
    """

    name: TargetName
    uid: str
    node: str
    live: bool
    container: Container | None = None
    refusal: TargetNotFound | None = None
    optional: bool = False
    waits: TargetNotRunning | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Tells the target from all others, those of the same name included."""
        return self.uid, self.name.container

    @property
    def running(self) -> bool:
        """Whether it can be captured now."""
        return self.container is not None and self.container.state.kind == "running"


class FoundPods:
    """Pods as they are known.

    Args:
        container: as `-c` names it, None for the default one of each.
        patient: whether pods that were named may run later.
    """

    def __init__(self, container: str | None, patient: bool = True) -> None:
        self._container = container
        self._patient = patient
        self._pods: dict[str, tuple[bool, Pod]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def apply(self, live: bool, change: PodChange) -> None:
        """Takes what is told about a pod.

        Args:
            live: whether it was found by a selector or workload.
            change: its state; a pod that is being deleted is as good as gone.
        """
        pod = change.pod
        if change.gone or pod.deletion_timestamp:
            self._pods.pop(pod.uid, None)
        else:
            # Who found a pod first keeps it: a selector may take one that was named.
            first = self._pods.get(pod.uid, (live, pod))[0]
            self._pods[pod.uid] = (first, pod)

    def containers(self) -> Iterator[Found]:
        """Yields every container that runs or may run later, and every refusal."""
        for live, pod in list(self._pods.values()):
            if live and has_ended(pod):
                continue
            try:
                wanted = wanted_containers(pod, self._container)
            except TargetNotFound as error:
                name = self._container or "-"
                named = bool(self._container) and self._container != ALL_CONTAINERS
                target = TargetName(pod.namespace, pod.name, name)
                yield Found(target, pod.uid, pod.node, live, None, error, live and named)
                continue
            for container in wanted:
                target = TargetName(pod.namespace, pod.name, container.name)
                refusal = _refusal(pod, container)
                waits = refusal if isinstance(refusal, TargetNotRunning) else None
                if refusal is None or (waits is not None and (live or self._patient)):
                    yield Found(target, pod.uid, pod.node, live, container, waits=waits)
                elif not live or container.state.kind != "terminated":
                    # One of many that has done its work is no failure.
                    yield Found(target, pod.uid, pod.node, live, None, refusal)

    def check(self) -> None:
        """Makes sure that there is something to capture, now or later.

        Raises:
            TargetNotFound: there is not; the first reason that was found.
        """
        refusals = []
        for found in self.containers():
            if found.refusal is None:
                return
            refusals.append(found.refusal)
        for _, pod in self._pods.values():
            for container in pod.containers:
                check_running(pod, container)
        if refusals:
            raise refusals[0]
        raise TargetNotFound("all pods that were found are being deleted", "see `kubectl get pods`")

    def runs(self, uid: str, container: str, instance: str) -> bool:
        """Whether an instance of a container still runs, as far as is known.

        Args:
            uid: of the pod.
            container: its name.
            instance: id of the container.
        """
        _, pod = self._pods.get(uid, (False, None))
        return pod is not None and any(
            one.name == container and one.container_id == instance and one.state.kind == "running"
            for one in pod.all_containers
        )


def _refusal(pod: Pod, container: Container) -> TargetNotFound | None:
    try:
        check_running(pod, container)
    except TargetNotFound as error:
        return error
    return None
