"""A node as far as a capture needs it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatherer.kube.objects.models import Condition, conditions_of


@dataclass(frozen=True)
class Node:
    """What kind of machine runs a pod.

    Attributes:
        name: of the node.
        architecture: in Go's words, such as `amd64`; empty when unknown.
        os: such as `linux` or `windows`; empty when unknown.
        kernel: kernel release, such as `6.1.0-18-amd64`.
        runtime: container runtime and version, such as `containerd://1.6.20`.
        kubelet: version, such as `v1.36.2`.
        ready: status of the condition Ready, None when it is not told.
        message: the words to that condition.
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
        node = _mapping(document)
        status = _mapping(node.get("status"))
        told = _mapping(status.get("nodeInfo"))
        listed = status.get("conditions")
        conditions = [_mapping(entry) for entry in listed] if isinstance(listed, list) else []
        ready = next((c for c in conditions if c.get("type") == "Ready"), {})
        return cls(
            name=_text(_mapping(node.get("metadata")), "name"),
            architecture=_text(told, "architecture"),
            os=_text(told, "operatingSystem"),
            kernel=_text(told, "kernelVersion"),
            runtime=_text(told, "containerRuntimeVersion"),
            kubelet=_text(told, "kubeletVersion"),
            ready=_text(ready, "status") == "True" if ready else None,
            message=_text(ready, "message"),
            conditions=conditions_of(status),
        )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""
