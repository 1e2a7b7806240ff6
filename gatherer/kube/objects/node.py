"""A node as far as a capture needs it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gatherer.kube.objects.json_fields import as_mapping, as_mappings, string_at
from gatherer.kube.objects.models import Condition, conditions_of


@dataclass(frozen=True)
class Node:
    """The machine that runs a pod.

    Attributes:
        name: of the node.
        architecture: as Go names it, such as `amd64`; empty when unknown.
        os: such as `linux` or `windows`; empty when unknown.
        kernel: kernel release, such as `6.1.0-18-amd64`.
        runtime: container runtime and version, such as `containerd://1.6.20`.
        kubelet: version, such as `v1.36.2`.
        ready: status of the condition Ready, None when it is not told.
        message: of that condition.
        conditions: all of them; the status of Ready is `Unknown` once the kubelet is silent.
    """

    name: str
    architecture: str = ""
    os: str = ""
    kernel: str = ""
    runtime: str = ""
    kubelet: str = ""
    ready: bool | None = None
    message: str = ""
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def from_json(cls, document: object) -> Node:
        """Reads a decoded v1.Node; what is missing is left empty."""
        node = as_mapping(document)
        status = as_mapping(node.get("status"))
        told = as_mapping(status.get("nodeInfo"))
        conditions = as_mappings(status.get("conditions"))
        ready = next((c for c in conditions if c.get("type") == "Ready"), {})
        return cls(
            name=string_at(as_mapping(node.get("metadata")), "name"),
            architecture=string_at(told, "architecture"),
            os=string_at(told, "operatingSystem"),
            kernel=string_at(told, "kernelVersion"),
            runtime=string_at(told, "containerRuntimeVersion"),
            kubelet=string_at(told, "kubeletVersion"),
            ready=string_at(ready, "status") == "True" if ready else None,
            message=string_at(ready, "message"),
            conditions=conditions_of(status),
        )
