"""Objects that the stand-in only keeps: service accounts, and the roles that they are bound to.

What users may do is in rbac.py; `kubectl apply` must be able to make these all the same.
"""

from __future__ import annotations

import copy
import json
import uuid
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.cluster.standin import status
from tests.cluster.standin.pods import timestamp
from tests.cluster.standin.responses import json_response
from tests.cluster.standin.store import Store

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A type of objects: what discovery and the routes say about it."""

    kind: str
    group: str
    namespaced: bool


RBAC = "rbac.authorization.k8s.io"
KINDS = {
    "serviceaccounts": Kind("ServiceAccount", "", True),
    "roles": Kind("Role", RBAC, True),
    "rolebindings": Kind("RoleBinding", RBAC, True),
    "clusterroles": Kind("ClusterRole", RBAC, False),
    "clusterrolebindings": Kind("ClusterRoleBinding", RBAC, False),
}
VERBS = ["create", "delete", "get"]


class PlainObjectRoutes:
    """The routes, over the store of one cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        """Returns what the server routes here."""
        found = []
        for resource, kind in KINDS.items():
            root = f"/apis/{kind.group}/v1" if kind.group else "/api/v1"
            scope = "/namespaces/{namespace}" if kind.namespaced else ""
            path = f"{root}{scope}/{{resource:{resource}}}"
            found += [
                web.post(path, self.create),
                web.get(path + "/{name}", self.get),
                web.delete(path + "/{name}", self.delete),
            ]
        return found

    def _find(self, request: web.Request) -> Object:
        resource, name = request.match_info["resource"], request.match_info["name"]
        found = self._store.get(resource, request.match_info.get("namespace", ""), name)
        if found is None:
            raise status.not_found(resource, name, KINDS[resource].group)
        return found

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET of one object."""
        return json_response(request, self._find(request))

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST of an object."""
        resource = request.match_info["resource"]
        kind, namespace = KINDS[resource], request.match_info.get("namespace", "")
        value = copy.deepcopy(json.loads(await request.read()))
        if value.get("kind") != kind.kind:
            raise status.bad_request(f'expected a {kind.kind}, got "{value.get("kind", "")}"')
        metadata = value["metadata"]
        if self._store.get(resource, namespace, metadata["name"]) is not None:
            name = f"{resource}.{kind.group}" if kind.group else resource
            raise status.already_exists(name, metadata["name"])
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
        if kind.namespaced:
            metadata["namespace"] = namespace
        return json_response(request, self._store.put(resource, value), 201)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE of one object."""
        value = self._find(request)
        resource = request.match_info["resource"]
        namespace = request.match_info.get("namespace", "")
        self._store.remove(resource, namespace, value["metadata"]["name"])
        return json_response(request, value)
