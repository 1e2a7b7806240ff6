"""Objects that own pods, and which pods are theirs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gatherer.kube.objects.json_fields import as_mapping, as_mappings
from gatherer.kube.objects.models import Pod, owner_of
from gatherer.kube.objects.references import Reference

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "", "DoesNotExist": "!"}


@dataclass(frozen=True)
class Workload:
    """A Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.

    Attributes:
        reference: its type and name.
        uid: tells it from a later one of the same name.
        selector: of its pods, as the API takes it; empty when it has none.
        controller: uid of what owns it, empty when nothing does.
        finished: whether it is a Job that has completed or failed for good.
    """

    reference: Reference
    uid: str
    selector: str
    controller: str = ""
    finished: bool = False

    @classmethod
    def from_json(cls, resource: str, document: object) -> Workload:
        """Reads a decoded object; what is missing or of a wrong type is left empty."""
        body = as_mapping(document)
        metadata, spec = as_mapping(body.get("metadata")), as_mapping(body.get("spec"))
        conditions = as_mappings(as_mapping(body.get("status")).get("conditions"))
        return cls(
            reference=Reference(resource, str(metadata.get("name", ""))),
            uid=str(metadata.get("uid", "")),
            selector=selector_text(as_mapping(spec.get("selector"))),
            controller=owner_of(metadata).uid,
            finished=resource == "jobs"
            and any(
                condition.get("type") in ("Complete", "Failed")
                and condition.get("status") == "True"
                for condition in conditions
            ),
        )

    def owns(self, pod: Pod, replica_sets: Collection[str] = ()) -> bool:
        """Whether a pod that its selector takes is its own.

        Selectors of two workloads may overlap; the owner tells.

        Args:
            pod: whose labels the selector takes.
            replica_sets: uids of a Deployment's ReplicaSets.
        """
        return pod.controller == self.uid or pod.controller in replica_sets


def selector_text(selector: Mapping[str, Any]) -> str:
    """Returns a metav1.LabelSelector in the form of the query parameter labelSelector.

    Args:
        selector: matchLabels and matchExpressions, all of which must hold.
    """
    parts = [f"{key}={value}" for key, value in as_mapping(selector.get("matchLabels")).items()]
    for expression in as_mappings(selector.get("matchExpressions")):
        key, operator = expression.get("key", ""), str(expression.get("operator", ""))
        values = ",".join(str(value) for value in expression.get("values") or ())
        word = _OPERATORS.get(operator)
        if word is None:
            # No pod at all rather than too many.
            parts.append(f"{key},!{key}")
        elif operator in ("In", "NotIn"):
            parts.append(f"{key} {word} ({values})")
        else:
            parts.append(f"{word}{key}")
    return ",".join(parts)
