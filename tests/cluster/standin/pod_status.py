"""The status of a pod, from the states of its containers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass
class ContainerRecord:
    """What the kubelet knows of one container.

    Attributes:
        state: a metav1 ContainerState: one key of waiting, running, terminated.
        last_state: the state before the last restart, or empty.
        will_restart: whether a terminated container runs again later.
    """

    name: str
    image: str
    image_id: str = ""
    container_id: str = ""
    restart_count: int = 0
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: Object = field(default_factory=dict)
    will_restart: bool = False

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return "running" in self.state


def terminated(
    container_id: str, exit_code: int, reason: str, started: str, finished: str
) -> Object:
    """Returns the ContainerState of one that has ended."""
    return {
        "terminated": {
            "containerID": f"containerd://{container_id}",
            "exitCode": exit_code,
            "finishedAt": finished,
            "reason": reason,
            "startedAt": started,
        }
    }


def could_not_start(state: Object) -> bool:
    """Tells whether a container ended because the runtime could not start its program."""
    return bool(state["terminated"]["reason"] == "StartError")


def run_container_error(state: Object) -> Object:
    """Returns what the kubelet shows of one that could not start, where it would start it again.

    As 1.36 does, of ephemeral containers too: it goes by the pod's restartPolicy alone.
    """
    message = state["terminated"]["message"].removesuffix(": unknown")
    return {"waiting": {"message": message, "reason": "RunContainerError"}}


def unschedulable(pod: Object, now: str) -> Object:
    """Returns the status of a pod no node takes."""
    return {
        "conditions": [
            {
                "lastProbeTime": None,
                "lastTransitionTime": now,
                "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node "
                "affinity/selector. no new claims to deallocate, preemption: 0/1 nodes are "
                "available: 1 Preemption is not helpful for scheduling.",
                "observedGeneration": 1,
                "reason": "Unschedulable",
                "status": "False",
                "type": "PodScheduled",
            }
        ],
        "phase": "Pending",
        "qosClass": pod["status"]["qosClass"],
    }


def phase(records: list[ContainerRecord]) -> str:
    """Returns the phase: what the kubelet derives from all containers together."""
    if any("waiting" in record.state and not record.last_state for record in records):
        return "Pending"
    if any(record.running or record.will_restart for record in records):
        return "Running"
    codes = [record.state["terminated"]["exitCode"] for record in records]
    return "Failed" if any(codes) else "Succeeded"


def pod_status(
    pod: Object,
    records: list[ContainerRecord],
    ephemeral: list[ContainerRecord],
    host_ip: str,
    pod_ip: str,
    now: str,
) -> Object:
    """Returns the whole status; condition times change only when the condition does.

    Ephemeral containers count for nothing but their own statuses.
    """
    current = phase(records)
    resources = _total_resources(pod["spec"]["containers"])
    return {
        **({"allocatedResources": resources["requests"]} if "requests" in resources else {}),
        "conditions": _conditions(pod, records, current, now),
        "containerStatuses": [
            _container_status(record, container)
            for record, container in zip(records, pod["spec"]["containers"], strict=True)
        ],
        **_ephemeral_statuses(pod, ephemeral),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "observedGeneration": pod["metadata"].get("generation", 1),
        "phase": current,
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "qosClass": pod["status"]["qosClass"],
        "resources": resources,
        "startTime": pod["status"].get("startTime", now),
    }


def evicted(status: Object, message: str, now: str) -> Object:
    """Returns the status of a pod that the kubelet's eviction manager ends.

    While a container runs only the condition tells; phase and reason follow with the last one.
    """
    target = {
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "message": message,
        "observedGeneration": status["observedGeneration"],
        "reason": "TerminationByKubelet",
        "status": "True",
        "type": "DisruptionTarget",
    }
    status = {**status, "conditions": [*status["conditions"], target]}
    if any("terminated" not in item["state"] for item in status["containerStatuses"]):
        return status
    return {**status, "phase": "Failed", "reason": "Evicted", "message": message}


def _total_resources(containers: list[Object]) -> Object:
    # One container with resources is all the pods here have; sums would need formatting.
    for container in containers:
        if container["resources"]:
            return dict(container["resources"])
    return {}


def _conditions(
    pod: Object, records: list[ContainerRecord], current: str, now: str
) -> list[Object]:
    unready = [record.name for record in records if not record.running]
    ready: Object = {"status": "True"}
    if current in ("Succeeded", "Failed"):
        reason = "PodCompleted" if current == "Succeeded" else "PodFailed"
        ready = {"reason": reason, "status": "False"}
    elif unready:
        ready = {
            "message": f"containers with unready status: [{' '.join(unready)}]",
            "reason": "ContainersNotReady",
            "status": "False",
        }
    sandbox = {"status": "False" if current in ("Succeeded", "Failed") else "True"}
    wanted = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", {"status": "True"}),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", {"status": "True"}),
    ]
    before = {item["type"]: item for item in pod["status"].get("conditions", [])}
    conditions = []
    for kind, values in wanted:
        old = before.get(kind)
        changed = old is None or old["status"] != values["status"]
        conditions.append(
            {
                "lastProbeTime": None,
                "lastTransitionTime": now if old is None or changed else old["lastTransitionTime"],
                "observedGeneration": pod["metadata"].get("generation", 1),
                **values,
                "type": kind,
            }
        )
    return conditions


def _container_status(record: ContainerRecord, container: Object) -> Object:
    resources = container["resources"]
    status: Object = {}
    if "requests" in resources:
        status["allocatedResources"] = resources["requests"]
    if record.container_id:
        status["containerID"] = f"containerd://{record.container_id}"
    status |= {
        "image": record.image,
        "imageID": record.image_id,
        "lastState": record.last_state,
        "name": record.name,
        "ready": record.running,
        "resources": resources,
        "restartCount": record.restart_count,
        "started": record.running,
        "state": record.state,
    }
    if container.get("volumeMounts"):
        status["volumeMounts"] = [
            {**mount, **({"recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})}
            for mount in container["volumeMounts"]
        ]
    return status


def _ephemeral_statuses(pod: Object, records: list[ContainerRecord]) -> Object:
    if not pod["spec"].get("ephemeralContainers"):
        return {}
    statuses = []
    for record in sorted(records, key=lambda item: item.name):
        status: Object = {}
        if record.container_id:
            status["containerID"] = f"containerd://{record.container_id}"
        status |= {
            "image": record.image,
            "imageID": record.image_id,
            "lastState": {},
            "name": record.name,
            "ready": False,
            **({"resources": {}} if record.container_id else {}),
            "restartCount": 0,
            "state": record.state,
        }
        statuses.append(status)
    return {"ephemeralContainerStatuses": statuses}
