"""Pods as the API server stores them: defaults, validation, derived fields. Pure."""

from __future__ import annotations

import copy
import datetime
import secrets
import uuid
from typing import Any

from tests.cluster.standin.quantities import parse_quantity

Object = dict[str, Any]

_TOLERATIONS = [
    {
        "effect": "NoExecute",
        "key": f"node.kubernetes.io/{condition}",
        "operator": "Exists",
        "tolerationSeconds": 300,
    }
    for condition in ("not-ready", "unreachable")
]


class InvalidFieldError(Exception):
    """A field of an object that is not acceptable.

    Attributes:
        field: path of the field.
        reason: of ``details.causes``.
        message: the text after the path.
    """

    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.reason = reason
        self.message = message


def timestamp(later: float = 0.0) -> str:
    """Returns now as metav1.Time prints it, or so many seconds later."""
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def admit(manifest: Object, namespace: str) -> Object:
    """Returns the pod the API server makes of what a client sent.

    Raises:
        InvalidFieldError: a field is missing or wrong.
    """
    pod = copy.deepcopy(manifest)
    metadata = pod.setdefault("metadata", {})
    if not metadata.get("name"):
        if not metadata.get("generateName"):
            raise InvalidFieldError(
                "metadata.name",
                "FieldValueRequired",
                "Required value: name or generateName is required",
            )
        metadata["name"] = metadata["generateName"] + secrets.token_hex(3)[:5]
    metadata["namespace"] = namespace
    metadata["creationTimestamp"] = timestamp()
    metadata["generation"] = 1
    metadata["uid"] = str(uuid.uuid4())
    metadata.pop("managedFields", None)
    spec = pod.setdefault("spec", {})
    _check(spec)
    volume = f"kube-api-access-{secrets.token_hex(3)[:5]}"
    for container in spec["containers"]:
        _default_container(container)
        if spec.get("automountServiceAccountToken", True):
            container.setdefault("volumeMounts", []).append(
                {
                    "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                    "name": volume,
                    "readOnly": True,
                }
            )
    if spec.get("automountServiceAccountToken", True):
        spec.setdefault("volumes", []).append(_service_account_volume(volume))
    for key, value in {
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
        "tolerations": _TOLERATIONS,
    }.items():
        spec.setdefault(key, copy.deepcopy(value))
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def _check(spec: Object) -> None:
    containers = spec.get("containers")
    if not containers:
        raise InvalidFieldError("spec.containers", "FieldValueRequired", "Required value")
    if spec.get("initContainers"):
        raise InvalidFieldError(
            "spec.initContainers", "FieldValueForbidden", "Forbidden: this server has none"
        )
    seen = set()
    for index, container in enumerate(containers):
        path = f"spec.containers[{index}]"
        for key in ("name", "image"):
            if not container.get(key):
                raise InvalidFieldError(f"{path}.{key}", "FieldValueRequired", "Required value")
        name = container["name"]
        if name in seen:
            raise InvalidFieldError(
                f"{path}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'
            )
        seen.add(name)
        for group in ("limits", "requests"):
            for resource, quantity in container.get("resources", {}).get(group, {}).items():
                try:
                    parse_quantity(quantity)
                except ValueError as error:
                    raise InvalidFieldError(
                        f"{path}.resources.{group}[{resource}]",
                        "FieldValueInvalid",
                        f'Invalid value: "{quantity}": {error}',
                    ) from None


def _default_container(container: Object) -> None:
    container.setdefault("imagePullPolicy", "IfNotPresent")
    resources = container.setdefault("resources", {})
    if "limits" in resources:
        resources["requests"] = {**resources["limits"], **resources.get("requests", {})}
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")


def _service_account_volume(name: str) -> Object:
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "defaultMode": 420,
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {
                    "configMap": {
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                        "name": "kube-root-ca.crt",
                    }
                },
                {"downwardAPI": {"items": [{"fieldRef": namespace, "path": "namespace"}]}},
            ],
        },
    }


def qos_class(spec: Object) -> str:
    """Returns the QoS class: Guaranteed when every limit is given and equals its request."""
    resources = [container.get("resources", {}) for container in spec["containers"]]
    if not any(item.get("limits") or item.get("requests") for item in resources):
        return "BestEffort"
    for item in resources:
        limits = item.get("limits", {})
        if set(limits) < {"cpu", "memory"} or limits != item.get("requests", {}):
            return "Burstable"
    return "Guaranteed"


def schedulable(pod: Object, node: Object) -> bool:
    """Tells whether the pod's nodeSelector takes the node."""
    labels = node["metadata"]["labels"]
    selector = pod["spec"].get("nodeSelector", {})
    return all(labels.get(key) == value for key, value in selector.items())
