"""Frozen values read from the JSON of the API server.

The server's objects are incomplete more often than their schema admits (an unscheduled pod has no
container status, an old server lacks new fields), so every field is optional here: what is missing
or of a wrong type becomes the empty value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatherer.kube.objects.json_fields import (
    as_mapping,
    as_mappings,
    as_strings,
    integer_at,
    string_at,
)
from gatherer.kube.objects.pod_spec import HealthCheck, SecurityContext
from gatherer.kube.objects.quantity import parse_quantity

DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"

_NO_LIMIT = 1 << 62  # kubelet reports "no limit" as 2**63 - 4096 bytes in status.resources


@dataclass(frozen=True)
class Cause:
    """One entry of a Status's `details.causes`.

    Attributes:
        reason: such as `ExitCode`.
        message: such as `137`.
        field: path of the offending field, empty when the cause has none.
    """

    reason: str
    message: str
    field: str = ""


@dataclass(frozen=True)
class Status:
    """A metav1.Status: how a request or an exec ended.

    Attributes:
        success: the `status` field is `Success`.
        message: the server's.
        reason: such as `Forbidden` or `NonZeroExitCode`.
        code: HTTP status code, 0 when absent.
        causes: details of the failure.
    """

    success: bool
    message: str = ""
    reason: str = ""
    code: int = 0
    causes: tuple[Cause, ...] = ()

    @classmethod
    def from_json(cls, document: object) -> Status:
        """Reads a decoded Status; a field that is absent or of a wrong type is left empty."""
        body = as_mapping(document)
        causes = (
            Cause(
                string_at(cause, "reason"), string_at(cause, "message"), string_at(cause, "field")
            )
            for cause in as_mappings(as_mapping(body.get("details")).get("causes"))
        )
        return cls(
            success=body.get("status") == "Success",
            message=string_at(body, "message"),
            reason=string_at(body, "reason"),
            code=integer_at(body, "code") or 0,
            causes=tuple(causes),
        )


@dataclass(frozen=True)
class ContainerState:
    """The state of a container: running, waiting, or how it ended.

    Attributes:
        kind: `running`, `waiting`, `terminated`, or empty when the kubelet has not said yet.
        reason: such as `CrashLoopBackOff` or `OOMKilled`.
        message: the kubelet's or the runtime's.
        exit_code: of a terminated container, else None.
        signal: that ended it, 0 when none is told.
        started_at: RFC 3339 time, empty when unknown.
        finished_at: RFC 3339 time, empty when unknown.
        container_id: of a terminated container: which instance it was, empty when unknown.
    """

    kind: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    started_at: str = ""
    finished_at: str = ""
    container_id: str = ""

    @classmethod
    def from_json(cls, document: object) -> ContainerState:
        """Reads a decoded v1.ContainerState, of which one member at most is set."""
        states = as_mapping(document)
        for kind in ("running", "terminated", "waiting"):
            if isinstance(states.get(kind), Mapping):
                state = as_mapping(states[kind])
                return cls(
                    kind=kind,
                    reason=string_at(state, "reason"),
                    message=string_at(state, "message"),
                    exit_code=(integer_at(state, "exitCode") or 0)
                    if kind == "terminated"
                    else None,
                    signal=integer_at(state, "signal") or 0,
                    started_at=string_at(state, "startedAt"),
                    finished_at=string_at(state, "finishedAt"),
                    container_id=string_at(state, "containerID"),
                )
        return cls()


@dataclass(frozen=True)
class Container:
    """A container of a pod: what its spec asks for and what its status says.

    Attributes:
        name: of the container.
        kind: `container`, `init` or `ephemeral`.
        image: as the spec names it.
        memory_limit: bytes, None when unlimited.
        state: now.
        last_state: of the instance before.
        restart_count: restarts so far.
        container_id: such as `containerd://303c…`, empty before the first start.
        target: of an ephemeral container: the container whose PID namespace it joined.
        restart_policy: `Always` makes an init container a sidecar.
        security: its securityContext over the pod's.
        liveness: its liveness probe.
    """

    name: str
    kind: str = "container"
    image: str = ""
    memory_limit: int | None = None
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    restart_count: int = 0
    container_id: str = ""
    target: str = ""
    restart_policy: str = ""
    security: SecurityContext = field(default_factory=SecurityContext)
    liveness: HealthCheck | None = None


@dataclass(frozen=True)
class Condition:
    """One condition of a pod or a node.

    Attributes:
        type: such as `Ready` or `DisruptionTarget`.
        status: `True`, `False` or `Unknown`.
        reason: in a word, such as `EvictionByEvictionAPI`.
        message: to the reason.
    """

    type: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True)
class Owner:
    """The controller that made a pod: its owner reference with `controller: true`.

    Attributes:
        kind: such as `ReplicaSet`; empty when nobody controls the pod.
        name: its name.
        uid: tells it from a later one of the same name.
    """

    kind: str = ""
    name: str = ""
    uid: str = ""


@dataclass(frozen=True)
class Pod:
    """A pod as far as a capture needs it.

    Attributes:
        namespace: of the pod.
        name: of the pod.
        uid: tells a pod from a later one of the same name.
        node: name of the node, empty while unscheduled.
        phase: `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
        reason: such as `Evicted`.
        message: to the reason, or why it is unscheduled.
        annotations: of the pod.
        containers: of `spec.containers`, in their order.
        init_containers: of `spec.initContainers`.
        ephemeral_containers: of `spec.ephemeralContainers`.
        deletion_timestamp: RFC 3339 time, empty unless the pod is being deleted.
        shares_process_namespace: `spec.shareProcessNamespace`.
        host_pid: `spec.hostPID`: the pod's processes are in the node's PID namespace.
        os: `spec.os.name`, such as `windows`; empty when nothing is said.
        labels: of the pod.
        owner: its controller.
        created_at: RFC 3339 time.
        restart_policy: `Always`, `OnFailure` or `Never`.
        deletion_grace_seconds: how long its containers may take to end, None unless it is deleted.
        conditions: what is told about it besides the phase.
        memory_limit: of the whole pod (`spec.resources`), bytes, None when there is none.
        resource_version: of this state of the pod, which a watch can go on from.
    """

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    phase: str = ""
    reason: str = ""
    message: str = ""
    annotations: Mapping[str, str] | None = None
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    deletion_timestamp: str = ""
    shares_process_namespace: bool = False
    host_pid: bool = False
    os: str = ""
    labels: Mapping[str, str] | None = None
    owner: Owner = Owner()
    created_at: str = ""
    restart_policy: str = "Always"
    deletion_grace_seconds: int | None = None
    conditions: tuple[Condition, ...] = ()
    memory_limit: int | None = None
    resource_version: str = field(default="", compare=False)

    @property
    def controller(self) -> str:
        """Uid of the owner that controls it, such as a ReplicaSet; empty without one."""
        return self.owner.uid

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Its containers of every kind; the ephemeral ones come last."""
        return (*self.containers, *self.init_containers, *self.ephemeral_containers)

    def find_container(self, name: str) -> Container | None:
        """Returns a container of whatever kind by its name, None when there is none."""
        return next((each for each in self.all_containers if each.name == name), None)

    @classmethod
    def from_json(cls, document: object) -> Pod:
        """Reads a decoded v1.Pod."""
        pod = as_mapping(document)
        metadata, spec = as_mapping(pod.get("metadata")), as_mapping(pod.get("spec"))
        status = as_mapping(pod.get("status"))
        return cls(
            namespace=string_at(metadata, "namespace"),
            name=string_at(metadata, "name"),
            uid=string_at(metadata, "uid"),
            node=string_at(spec, "nodeName"),
            phase=string_at(status, "phase"),
            reason=string_at(status, "reason"),
            message=string_at(status, "message") or _unscheduled_message(status),
            annotations=as_strings(metadata.get("annotations")),
            containers=_containers(spec, "containers", status, "containerStatuses", "container"),
            init_containers=_containers(
                spec, "initContainers", status, "initContainerStatuses", "init"
            ),
            ephemeral_containers=_containers(
                spec, "ephemeralContainers", status, "ephemeralContainerStatuses", "ephemeral"
            ),
            deletion_timestamp=string_at(metadata, "deletionTimestamp"),
            shares_process_namespace=spec.get("shareProcessNamespace") is True,
            host_pid=spec.get("hostPID") is True,
            os=string_at(as_mapping(spec.get("os")), "name"),
            labels=as_strings(metadata.get("labels")),
            owner=owner_of(metadata),
            created_at=string_at(metadata, "creationTimestamp"),
            restart_policy=string_at(spec, "restartPolicy") or "Always",
            deletion_grace_seconds=integer_at(metadata, "deletionGracePeriodSeconds"),
            conditions=conditions_of(status),
            memory_limit=_memory_limit(spec),
            resource_version=string_at(metadata, "resourceVersion"),
        )


def condition(conditions: tuple[Condition, ...], kind: str) -> Condition:
    """Returns a condition by its type; one of empty status when it is not told."""
    return next((each for each in conditions if each.type == kind), Condition(kind, ""))


def _containers(
    spec: Mapping[str, Any], spec_key: str, status: Mapping[str, Any], status_key: str, kind: str
) -> tuple[Container, ...]:
    statuses = {string_at(entry, "name"): entry for entry in as_mappings(status.get(status_key))}
    found = []
    for entry in as_mappings(spec.get(spec_key)):
        name = string_at(entry, "name")
        told = statuses.get(name, {})
        found.append(
            Container(
                name=name,
                kind=kind,
                image=string_at(entry, "image"),
                memory_limit=_memory_limit(entry),
                state=ContainerState.from_json(told.get("state")),
                last_state=ContainerState.from_json(told.get("lastState")),
                restart_count=integer_at(told, "restartCount") or 0,
                container_id=string_at(told, "containerID"),
                target=string_at(entry, "targetContainerName"),
                restart_policy=string_at(entry, "restartPolicy"),
                security=SecurityContext.from_json(
                    spec.get("securityContext"), entry.get("securityContext")
                ),
                liveness=HealthCheck.from_json(entry.get("livenessProbe")),
            )
        )
    return tuple(found)


def owner_of(metadata: Mapping[str, Any]) -> Owner:
    """Returns the owner that controls an object, an empty one when there is none.

    Args:
        metadata: of the object.
    """
    for reference in as_mappings(metadata.get("ownerReferences")):
        if reference.get("controller") is True:
            return Owner(
                string_at(reference, "kind"),
                string_at(reference, "name"),
                string_at(reference, "uid"),
            )
    return Owner()


def conditions_of(status: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Returns the conditions in the status of a pod or a node."""
    return tuple(
        Condition(*(string_at(entry, key) for key in ("type", "status", "reason", "message")))
        for entry in as_mappings(status.get("conditions"))
    )


def _memory_limit(spec: Mapping[str, Any]) -> int | None:
    limits = as_mapping(as_mapping(spec.get("resources")).get("limits"))
    value = limits.get("memory")
    limit = parse_quantity(str(value)) if isinstance(value, (str, int)) else None
    return limit if limit is not None and 0 < limit < _NO_LIMIT else None


def _unscheduled_message(status: Mapping[str, Any]) -> str:
    for condition in as_mappings(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return string_at(condition, "message")
    return ""
