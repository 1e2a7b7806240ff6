"""Ephemeral containers as the API server admits them into a pod. Pure."""

from __future__ import annotations

import copy
from typing import Any

from tests.cluster.standin.pods import InvalidFieldError

Object = dict[str, Any]

# What only a container that the scheduler and the kubelet plan for can have.
_FORBIDDEN = (
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "resizePolicy",
)


def patched(pod: Object, patch: Object) -> Object:
    """Returns a pod after a strategic merge patch of its ephemeral containers.

    Args:
        pod: as it is stored.
        patch: the body; only ``spec.ephemeralContainers`` of it counts, merged by name.

    Raises:
        InvalidFieldError: one cannot be admitted, or one that is there would change.
    """
    wanted = patch.get("spec", {}).get("ephemeralContainers", [])
    result = copy.deepcopy(pod)
    containers: list[Object] = result["spec"].get("ephemeralContainers", [])
    known = {container["name"]: container for container in containers}
    for sent in wanted:
        name = sent.get("name", "")
        if name in known:
            merged = {**known[name], **sent}
            if merged != known[name]:
                raise InvalidFieldError(
                    "spec.ephemeralContainers",
                    "FieldValueForbidden",
                    f'Forbidden: existing ephemeral containers "{name}" may not be changed'
                    f"\n{_difference(known[name], merged)}",
                )
            continue
        added = copy.deepcopy(sent)
        _check(result, added, len(containers))
        _default(added)
        containers.append(added)
        known[name] = added
    if containers != result["spec"].get("ephemeralContainers", []) or wanted:
        result["spec"]["ephemeralContainers"] = containers
    if result["spec"] != pod["spec"]:
        result["metadata"]["generation"] = pod["metadata"].get("generation", 1) + 1
    return result


def _difference(before: Object, after: Object) -> str:
    lines = []
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            shown = key[0].upper() + key[1:]
            lines += [f'- "{shown}": "{before.get(key)}",', f'+ "{shown}": "{after.get(key)}",']
    return "\n".join(lines) + "\n"


def _check(pod: Object, container: Object, index: int) -> None:
    path = f"spec.ephemeralContainers[{index}]"
    for key in ("name", "image"):
        if not container.get(key):
            raise InvalidFieldError(f"{path}.{key}", "FieldValueRequired", "Required value")
    names = [item["name"] for item in pod["spec"]["containers"]]
    if container["name"] in names:
        raise InvalidFieldError(
            f"{path}.name", "FieldValueDuplicate", f'Duplicate value: "{container["name"]}"'
        )
    for key in _FORBIDDEN:
        if container.get(key):
            raise InvalidFieldError(
                f"{path}.{key}",
                "FieldValueForbidden",
                "Forbidden: cannot be set for an Ephemeral Container",
            )
    target = container.get("targetContainerName")
    if target and target not in names:
        raise InvalidFieldError(
            f"{path}.targetContainerName", "FieldValueNotFound", f'Not found: "{target}"'
        )


def _default(container: Object) -> None:
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    policy = "Always" if tag in ("", "latest") else "IfNotPresent"
    container.setdefault("imagePullPolicy", policy)
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
