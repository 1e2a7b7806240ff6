"""What the API server says about itself: groups, resources, and the little of OpenAPI asked for.

Pure.
"""

from __future__ import annotations

from typing import Any

from tests.cluster.standin import plain_objects, workloads

Object = dict[str, Any]

# Name, kind, namespaced, verbs, short names.
_CORE: list[tuple[str, str, bool, list[str], list[str]]] = [
    ("namespaces", "Namespace", False, ["create", "get", "list", "watch"], ["ns"]),
    ("nodes", "Node", False, ["get", "list", "watch"], ["no"]),
    ("pods", "Pod", True, ["create", "delete", "get", "list", "watch"], ["po"]),
    ("serviceaccounts", "ServiceAccount", True, plain_objects.VERBS, ["sa"]),
]
_SUBRESOURCES: list[tuple[str, str, list[str]]] = [
    ("pods/attach", "PodAttachOptions", ["create", "get"]),
    ("pods/ephemeralcontainers", "Pod", ["get", "patch", "update"]),
    ("pods/exec", "PodExecOptions", ["create", "get"]),
    ("pods/log", "Pod", ["get"]),
    ("pods/portforward", "PodPortForwardOptions", ["create", "get"]),
    ("pods/proxy", "PodProxyOptions", ["create", "delete", "get", "patch", "update"]),
]
# The groups in which users ask about themselves: their one resource and its kind.
_REVIEWS = {
    "authorization.k8s.io": ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    "authentication.k8s.io": ("selfsubjectreviews", "SelfSubjectReview"),
}
GROUPS = ("apps", "authentication.k8s.io", "authorization.k8s.io", "batch", plain_objects.RBAC)


def api_versions(server: str) -> Object:
    """Returns /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    }


def api_groups() -> Object:
    """Returns /apis."""
    groups = []
    for name in GROUPS:
        version = {"groupVersion": f"{name}/v1", "version": "v1"}
        groups.append({"name": name, "versions": [version], "preferredVersion": version})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def workload_resources(group: str) -> Object:
    """Returns /apis/apps/v1 or /apis/batch/v1."""
    resources = [
        {
            "name": name,
            "singularName": kind.kind.lower(),
            "namespaced": True,
            "kind": kind.kind,
            "verbs": workloads.VERBS,
            **({"shortNames": list(kind.short_names)} if kind.short_names else {}),
            "categories": ["all"],
        }
        for name, kind in workloads.KINDS.items()
        if kind.group == group
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/v1",
        "resources": resources,
    }


def core_resources() -> Object:
    """Returns /api/v1."""
    resources: list[Object] = [
        {
            "name": name,
            "singularName": kind.lower(),
            "namespaced": namespaced,
            "kind": kind,
            "verbs": verbs,
            "shortNames": short_names,
            **({"categories": ["all"]} if name == "pods" else {}),
        }
        for name, kind, namespaced, verbs, short_names in _CORE
    ]
    resources += [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
        for name, kind, verbs in _SUBRESOURCES
    ]
    return {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}


def group_resources(group: str) -> Object:
    """Returns /apis/GROUP/v1 of one of ``GROUPS``."""
    if group == plain_objects.RBAC:
        return rbac_resources()
    return review_resources(group) if group in _REVIEWS else workload_resources(group)


def rbac_resources() -> Object:
    """Returns /apis/rbac.authorization.k8s.io/v1."""
    resources = [
        {
            "name": name,
            "singularName": kind.kind.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": plain_objects.VERBS,
        }
        for name, kind in plain_objects.KINDS.items()
        if kind.group == plain_objects.RBAC
    ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{plain_objects.RBAC}/v1",
        "resources": resources,
    }


def review_resources(group: str) -> Object:
    """Returns /apis/GROUP/v1 of the groups in which users ask about themselves."""
    name, kind = _REVIEWS[group]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/v1",
        "resources": [
            {
                "name": name,
                "singularName": kind.lower(),
                "namespaced": False,
                "kind": kind,
                "verbs": ["create"],
            }
        ],
    }


def wants_aggregated(accept: str) -> str | None:
    """Returns the version of aggregated discovery (KEP-3352) a client prefers, or None."""
    first = accept.split(",", 1)[0].replace(" ", "")
    if "as=APIGroupDiscoveryList" not in first:
        return None
    return "v2" if "v=v2;" in first + ";" else "v2beta1"


def aggregated(path: str, version: str) -> Object:
    """Returns /api or /apis as one APIGroupDiscoveryList."""
    if path == "/api":
        items = [_aggregated_group("", core_resources())]
    else:
        items = [_aggregated_group(group, group_resources(group)) for group in GROUPS]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def _aggregated_group(group: str, listed: Object) -> Object:
    resources: dict[str, Object] = {}
    for item in listed["resources"]:
        name, _, subresource = item["name"].partition("/")
        kind = {"group": group, "version": "v1", "kind": item["kind"]}
        if subresource:
            resources[name].setdefault("subresources", []).append(
                {"subresource": subresource, "responseKind": kind, "verbs": item["verbs"]}
            )
            continue
        resources[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if item["namespaced"] else "Cluster",
            "singularResource": item["singularName"],
            "verbs": item["verbs"],
            **{key: item[key] for key in ("shortNames", "categories") if key in item},
        }
    versions = [{"version": "v1", "resources": list(resources.values()), "freshness": "Current"}]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def openapi_index() -> Object:
    """Returns /openapi/v3."""
    roots = ["api/v1", *(f"apis/{group}/v1" for group in GROUPS)]
    return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots}}


def openapi(group: str) -> Object:
    """Returns /openapi/v3 of one group: that the server validates fields is all kubectl asks."""
    listed = group_resources(group) if group else core_resources()
    root = f"/apis/{group}/v1" if group else "/api/v1"
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {}
    for resource in listed["resources"]:
        if "/" in resource["name"]:
            continue
        scope = "/namespaces/{namespace}" if resource["namespaced"] else ""
        kind = {"group": group, "version": "v1", "kind": resource["kind"]}
        paths[f"{root}{scope}/{resource['name']}/{{name}}"] = {
            "patch": {"parameters": [parameter], "x-kubernetes-group-version-kind": kind}
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
    }
