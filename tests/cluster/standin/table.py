"""Objects as rows of a meta.k8s.io/v1 Table, which is what ``kubectl get`` prints. Pure."""

from __future__ import annotations

import datetime
from typing import Any

from tests.cluster.standin import workloads

Object = dict[str, Any]

# Name, priority (over 0: only with -o wide), format.
_COLUMNS: dict[str, list[tuple[str, int, str]]] = {
    "pods": [
        ("Name", 0, "name"),
        ("Ready", 0, ""),
        ("Status", 0, ""),
        ("Restarts", 0, ""),
        ("Age", 0, ""),
        ("IP", 1, ""),
        ("Node", 1, ""),
        ("Nominated Node", 1, ""),
        ("Readiness Gates", 1, ""),
    ],
    "nodes": [
        ("Name", 0, "name"),
        ("Status", 0, ""),
        ("Roles", 0, ""),
        ("Age", 0, ""),
        ("Version", 0, ""),
        ("Internal-IP", 1, ""),
        ("External-IP", 1, ""),
        ("OS-Image", 1, ""),
        ("Kernel-Version", 1, ""),
        ("Container-Runtime", 1, ""),
    ],
    "namespaces": [("Name", 0, "name"), ("Status", 0, ""), ("Age", 0, "")],
    **workloads.COLUMNS,
}


def wants_table(accept: str) -> bool:
    """Tells whether the Accept header prefers a Table."""
    return "as=Table" in accept.split(",", 1)[0]


def table(
    resource: str,
    objects: list[Object],
    version: int,
    include_object: str,
    with_columns: bool = True,
) -> Object:
    """Returns the Table of some objects.

    Args:
        resource: pods, nodes, namespaces or a workload.
        objects: the rows.
        version: resource version of the list.
        include_object: ``None``, ``Metadata`` (the default) or ``Object``.
        with_columns: a watch sends the columns with its first event only.
    """
    cells = {"pods": _pod_cells, "nodes": _node_cells, "namespaces": _namespace_cells}.get(
        resource, lambda value: _workload_cells(resource, value)
    )
    columns = [
        {"name": name, "type": "string", "format": form, "description": name, "priority": priority}
        for name, priority, form in _COLUMNS[resource]
    ]
    rows = []
    for value in objects:
        row: Object = {"cells": cells(value)}
        if include_object == "Object":
            row["object"] = value
        elif include_object != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": value["metadata"],
            }
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(version)},
        "columnDefinitions": columns if with_columns else [],
        "rows": rows,
    }


def age(since: str) -> str:
    """Returns how long ago an RFC 3339 time was, as kubectl shows it (duration.HumanDuration)."""
    then = datetime.datetime.fromisoformat(since)
    seconds = max(0, int((datetime.datetime.now(datetime.UTC) - then).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    return f"{days}d"


def pod_state(pod: Object) -> str:
    """Returns the STATUS column of a pod."""
    shown = str(pod["status"].get("reason") or pod["status"]["phase"])
    any_running = False
    for item in reversed(pod["status"].get("containerStatuses", [])):
        state = item["state"]
        if "waiting" in state and state["waiting"].get("reason"):
            shown = state["waiting"]["reason"]
        elif "terminated" in state:
            shown = state["terminated"]["reason"]
        elif item["ready"] and "running" in state:
            any_running = True
    if shown == "Completed" and any_running:
        shown = "Running"
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else shown


def _pod_cells(pod: Object) -> list[object]:
    statuses = pod["status"].get("containerStatuses", [])
    ready = sum(item["ready"] for item in statuses)
    restarts = sum(item["restartCount"] for item in statuses)
    shown_restarts = str(restarts)
    ends = [
        item["lastState"]["terminated"]["finishedAt"]
        for item in statuses
        if "terminated" in item["lastState"]
    ]
    if restarts and ends:
        shown_restarts += f" ({age(max(ends))} ago)"
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(pod['spec']['containers'])}",
        pod_state(pod),
        shown_restarts,
        age(pod["metadata"]["creationTimestamp"]),
        pod["status"].get("podIP", "<none>"),
        pod["spec"].get("nodeName", "<none>"),
        "<none>",
        "<none>",
    ]


def _node_cells(node: Object) -> list[object]:
    status = node["status"]
    facts = status["nodeInfo"]
    addresses = {item["type"]: item["address"] for item in status["addresses"]}
    ready = {item["type"]: item["status"] for item in status["conditions"]}.get("Ready") == "True"
    return [
        node["metadata"]["name"],
        "Ready" if ready else "NotReady",
        "<none>",
        age(node["metadata"]["creationTimestamp"]),
        facts["kubeletVersion"],
        addresses.get("InternalIP", "<none>"),
        "<none>",
        facts["osImage"],
        facts["kernelVersion"],
        facts["containerRuntimeVersion"],
    ]


def _workload_cells(resource: str, value: Object) -> list[object]:
    return workloads.cells(resource, value, age(value["metadata"]["creationTimestamp"]))


def _namespace_cells(namespace: Object) -> list[object]:
    metadata = namespace["metadata"]
    return [metadata["name"], namespace["status"]["phase"], age(metadata["creationTimestamp"])]
