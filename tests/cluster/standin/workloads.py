"""Objects that own pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job. Pure.

There is no controller here: tests make the objects and their pods, owner references included, as
the controllers would. What the status says is counted when an object is read.
"""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass
from typing import Any

from tests.cluster.standin.pods import InvalidFieldError, timestamp
from tests.cluster.standin.selectors import label_selector

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type of objects: what discovery and the routes say about it."""

    kind: str
    group: str
    short_names: tuple[str, ...]

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/v1"


KINDS = {
    "deployments": Kind("Deployment", "apps", ("deploy",)),
    "replicasets": Kind("ReplicaSet", "apps", ("rs",)),
    "statefulsets": Kind("StatefulSet", "apps", ("sts",)),
    "daemonsets": Kind("DaemonSet", "apps", ("ds",)),
    "jobs": Kind("Job", "batch", ()),
}
VERBS = ["create", "delete", "get", "list", "watch"]

COLUMNS: dict[str, list[tuple[str, int, str]]] = {
    "deployments": [
        ("Name", 0, "name"), ("Ready", 0, ""), ("Up-to-date", 0, ""), ("Available", 0, ""),
        ("Age", 0, ""), ("Containers", 1, ""), ("Images", 1, ""), ("Selector", 1, ""),
    ],
    "replicasets": [
        ("Name", 0, "name"), ("Desired", 0, ""), ("Current", 0, ""), ("Ready", 0, ""),
        ("Age", 0, ""), ("Containers", 1, ""), ("Images", 1, ""), ("Selector", 1, ""),
    ],
    "statefulsets": [
        ("Name", 0, "name"), ("Ready", 0, ""), ("Age", 0, ""), ("Containers", 1, ""),
        ("Images", 1, ""),
    ],
    "daemonsets": [
        ("Name", 0, "name"), ("Desired", 0, ""), ("Current", 0, ""), ("Ready", 0, ""),
        ("Up-to-date", 0, ""), ("Available", 0, ""), ("Node Selector", 0, ""), ("Age", 0, ""),
        ("Containers", 1, ""), ("Images", 1, ""), ("Selector", 1, ""),
    ],
    "jobs": [
        ("Name", 0, "name"), ("Status", 0, ""), ("Completions", 0, ""), ("Duration", 0, ""),
        ("Age", 0, ""), ("Containers", 1, ""), ("Images", 1, ""), ("Selector", 1, ""),
    ],
}  # fmt: skip


def admit(resource: str, manifest: Object, namespace: str) -> Object:
    """Returns the object the API server makes of what a client sent.

    Raises:
        InvalidFieldError: a field is missing or wrong.
    """
    kind = KINDS[resource]
    value = copy.deepcopy(manifest)
    metadata, spec = value.setdefault("metadata", {}), value.setdefault("spec", {})
    if not metadata.get("name"):
        raise InvalidFieldError(
            "metadata.name",
            "FieldValueRequired",
            "Required value: name or generateName is required",
        )
    metadata |= {
        "namespace": namespace,
        "creationTimestamp": timestamp(),
        "generation": 1,
        "uid": str(uuid.uuid4()),
    }
    if resource == "jobs":
        labels = {"batch.kubernetes.io/controller-uid": metadata["uid"]}
        spec.setdefault("selector", {"matchLabels": labels})
        for key in ("parallelism", "completions"):
            spec.setdefault(key, 1)
    elif not spec.get("selector", {}).get("matchLabels"):
        raise InvalidFieldError("spec.selector", "FieldValueRequired", "Required value")
    elif resource != "daemonsets":
        spec.setdefault("replicas", 1)
    value.setdefault("status", {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, **value}


def with_status(resource: str, value: Object, pods: list[Object]) -> Object:
    """Returns an object with the counts of its pods in the status.

    Args:
        resource: such as ``deployments``.
        value: the object; what its status says of conditions stays.
        pods: of its namespace.
    """
    own = [pod for pod in pods if _selected(value, pod)]
    ready = sum(_ready(pod) for pod in own)
    status = dict(value.get("status", {}))
    if resource == "jobs":
        phases = [pod["status"].get("phase") for pod in own]
        status |= {"active": len(own) - phases.count("Succeeded") - phases.count("Failed")}
        status |= {"succeeded": phases.count("Succeeded"), "failed": phases.count("Failed")}
    elif resource == "daemonsets":
        status |= {
            "desiredNumberScheduled": 1,
            "currentNumberScheduled": len(own),
            "updatedNumberScheduled": len(own),
            "numberAvailable": ready,
            "numberReady": ready,
            "numberMisscheduled": 0,
        }
    else:
        status |= {
            "observedGeneration": 1,
            "replicas": len(own),
            "updatedReplicas": len(own),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
    return {**value, "status": status}


def cells(resource: str, value: Object, since: str) -> list[object]:
    """Returns the row of an object, for the columns above; ``since`` is its age."""
    metadata, spec, status = value["metadata"], value["spec"], value["status"]
    name = metadata["name"]
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    names = ",".join(container["name"] for container in containers)
    images = ",".join(container["image"] for container in containers)
    labels = spec["selector"].get("matchLabels", {})
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    replicas = spec.get("replicas", 0)
    if resource == "deployments":
        counts = [f"{status['readyReplicas']}/{replicas}", status["updatedReplicas"]]
        return [name, *counts, status["availableReplicas"], since, names, images, selector]
    if resource == "replicasets":
        counts = [replicas, status["replicas"], status["readyReplicas"]]
        return [name, *counts, since, names, images, selector]
    if resource == "statefulsets":
        return [name, f"{status['readyReplicas']}/{replicas}", since, names, images]
    if resource == "daemonsets":
        counts = [
            status[key]
            for key in (
                *("desiredNumberScheduled", "currentNumberScheduled", "numberReady"),
                *("updatedNumberScheduled", "numberAvailable"),
            )
        ]
        return [name, *counts, "<none>", since, names, images, selector]
    ended = {item["type"] for item in status.get("conditions", []) if item["status"] == "True"}
    shown = next((word for word in ("Complete", "Failed") if word in ended), "Running")
    completions = f"{status['succeeded']}/{spec['completions']}"
    return [name, shown, completions, since, since, names, images, selector]


def _selected(value: Object, pod: Object) -> bool:
    labels = value["spec"]["selector"].get("matchLabels", {})
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    return bool(text) and label_selector(text)(pod)


def _ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
