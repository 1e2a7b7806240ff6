"""The end of a container instance, and the successor of a pod, by the API's objects. Pure.

A container that runs again has another `containerID`, and the end of the instance before is in its
`lastState`. What concerns the whole pod (eviction, deletion, preemption) is told by the phase's
reason, the condition `DisruptionTarget` (KEP-3329) and `deletionTimestamp`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from gatherer.kube.objects.models import Container, ContainerState, Owner, Pod, condition
from gatherer.kube.objects.node import Node
from gatherer.target.values import TargetEnd

DELETED = "Deleted"
EVICTED = "Evicted"
NODE_LOST = "NodeLost"
OOM_KILLED = "OOMKilled"
RESTARTED = "Restarted"

_DISRUPTIONS = {
    "EvictionByEvictionAPI": EVICTED,
    "TerminationByKubelet": EVICTED,
    "DeletionByTaintManager": EVICTED,
    "PreemptionByScheduler": "Preempted",
    "DeletionByPodGC": NODE_LOST,
}
# A deletion that nobody saw: a pod lives this long after it, by default.
_UNSEEN_SECONDS = 60
# Labels that tell one revision or one replica from another.
_OWN_LABELS = (
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
)


@dataclass(frozen=True)
class Instance:
    """One run of a container.

    Attributes:
        pod_uid: of the pod.
        container: its name.
        container_id: such as `containerd://303c…`.
        node: where it runs.
    """

    pod_uid: str
    container: str
    container_id: str
    node: str = ""


def instance_end(instance: Instance, pod: Pod | None) -> TargetEnd | None:
    """Returns how an instance ended, None while it runs or while the kubelet has not said.

    Args:
        instance: the one that was captured.
        pod: the pod of its name now; None when there is none.
    """
    if pod is None:
        return TargetEnd(DELETED, "the pod does not exist any more")
    if pod.uid != instance.pod_uid:
        return TargetEnd(DELETED, "another pod has its name now", successor=pod.name)
    container = pod.find_container(instance.container)
    if container is None:
        return TargetEnd(DELETED, "the container is not in the pod any more")
    state = _termination(instance, container)
    over = pod.phase in ("Succeeded", "Failed")
    if state is None and not over:
        return None
    state = state or ContainerState()
    reason, message = _reason(pod, state)
    return TargetEnd(
        reason,
        message,
        exit_code=state.exit_code,
        signal=state.signal,
        finished_at=state.finished_at,
        restart_count=container.restart_count,
        restarts=not over and not pod.deletion_timestamp and restarts(pod, container, state),
    )


def running_instance(pod: Pod, container: str) -> str:
    """Returns the container id of the instance that runs, empty when none does."""
    found = pod.find_container(container)
    return found.container_id if found is not None and found.state.kind == "running" else ""


def node_end(node: Node | None) -> TargetEnd | None:
    """Returns the end of everything on a node that is gone, None for one that is well.

    Args:
        node: as the API tells it; None when it does not exist any more.
    """
    if node is None:
        return TargetEnd(NODE_LOST, "the node does not exist any more")
    ready = condition(node.conditions, "Ready")
    if ready.status != "Unknown":
        return None
    message = ready.message or "the node does not report any more"
    return TargetEnd(NODE_LOST, message, certain=False)


def sibling_selector(pod: Pod) -> str:
    """Returns the label selector of the pods that may take a pod's place, empty for none.

    Args:
        pod: the pod, with its controller.
    """
    if not pod.owner.uid:
        return ""
    labels = pod.labels or {}
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels) if key not in _OWN_LABELS)


def replaced_since(pod: Pod, now: datetime) -> str:
    """Returns the earliest moment at which a pod's successor can have been made, as RFC 3339.

    Args:
        pod: the pod as it was last seen.
        now: the present; counts when the pod was never seen on its way.
    """
    moment = now - timedelta(seconds=_UNSEEN_SECONDS)
    if pod.deletion_timestamp:
        try:
            over = datetime.fromisoformat(pod.deletion_timestamp.replace("Z", "+00:00"))
            # What is told is the moment at which the grace period is over.
            moment = over - timedelta(seconds=pod.deletion_grace_seconds or 0)
        except (ValueError, OverflowError):
            pass  # The present is as good.
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017


def successor(pod: Pod, others: Iterable[Pod], since: str) -> str:
    """Returns the name of the pod that takes a pod's place, empty when there is none yet.

    Args:
        pod: the pod that went.
        others: the pods of its namespace that `sibling_selector` finds.
        since: RFC 3339 time of the earliest moment at which its successor can have been made.
    """
    family = _family(pod.owner, pod)
    found = [
        other
        for other in others
        if other.uid != pod.uid
        and not other.deletion_timestamp
        and other.phase not in ("Succeeded", "Failed")
        and other.created_at >= since
        and _family(other.owner, other) == family
        and (pod.owner.kind != "DaemonSet" or other.node in ("", pod.node))
    ]
    return min(found, key=lambda other: (other.created_at, other.name)).name if found else ""


def _family(owner: Owner, pod: Pod) -> tuple[str, str]:
    """Returns what a pod and its successor have in common.

    The ReplicaSets of a Deployment are named after it and the hash of their template; a rollout
    puts pods of another one in the place of the old ones.
    """
    revision = (pod.labels or {}).get("pod-template-hash")
    if owner.kind == "ReplicaSet" and revision:
        return "Deployment", owner.name.removesuffix(f"-{revision}")
    return owner.kind, owner.uid


def _termination(instance: Instance, container: Container) -> ContainerState | None:
    """Returns the terminated state of an instance, None when it is not told to have ended."""
    for state in (container.state, container.last_state):
        if state.kind == "terminated" and state.container_id == instance.container_id:
            return state
    if container.container_id == instance.container_id:
        # An old kubelet may leave the id out of the state itself.
        same = container.state.kind == "terminated" and not container.state.container_id
        return container.state if same else None
    if not container.container_id:
        return None
    if container.state.kind == "running" and container.last_state.kind == "terminated":
        message = f"it ran again meanwhile and last ended with {container.last_state.reason}"
        return ContainerState("terminated", RESTARTED, message)
    return ContainerState("terminated", RESTARTED)


def _reason(pod: Pod, state: ContainerState) -> tuple[str, str]:
    if state.reason == OOM_KILLED:
        return OOM_KILLED, state.message
    if pod.phase == "Failed" and pod.reason:
        return pod.reason, pod.message
    disruption = condition(pod.conditions, "DisruptionTarget")
    if disruption.status == "True" and (pod.deletion_timestamp or pod.phase == "Failed"):
        return _DISRUPTIONS.get(disruption.reason, disruption.reason), disruption.message
    if pod.deletion_timestamp:
        return DELETED, state.message
    return state.reason or ("Error" if state.exit_code else "Completed"), state.message


def restarts(pod: Pod, container: Container, state: ContainerState) -> bool:
    """Tells whether the kubelet runs a container again after an end.

    Args:
        pod: of the container, which goes on.
        container: as its status tells it now.
        state: how the instance in question ended.
    """
    if container.kind == "ephemeral":
        return False
    if container.container_id != state.container_id and container.container_id:
        return True
    policy = container.restart_policy or pod.restart_policy
    if container.kind == "init" and container.restart_policy != "Always" and policy == "Always":
        policy = "OnFailure"  # One that has done its work is not needed again.
    return policy == "Always" or (policy == "OnFailure" and state.exit_code != 0)
