"""Requests to the Kubernetes API, and the objects that answer them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from urllib.parse import quote, urlencode

import aiohttp

from gatherer.errors import ApiError
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.http_client import Request
from gatherer.kube.objects.json_fields import as_mapping, string_at
from gatherer.kube.objects.models import Pod
from gatherer.kube.objects.node import Node
from gatherer.kube.objects.references import Reference
from gatherer.kube.objects.review import Right, allowed, git_version, user_name
from gatherer.kube.objects.workloads import Workload
from gatherer.kube.transport import Transport, request_error
from gatherer.kube.watch.watch_events import GONE, PodList, WatchDecoder, WatchEvent

_TIMEOUT = 20.0  # seconds, for one request
_WATCH_GRACE = 30.0  # seconds that a watch may last longer than it was asked for
_PAGE = 500  # objects in one answer of a list
_LIST_ATTEMPTS = 3  # a list that takes longer than the server remembers starts again
_CORE = "/api/v1"
_APPS = "/apis/apps/v1"
_BATCH = "/apis/batch/v1"
_JSON = {"Accept": "application/json"}
_USER_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


class KubernetesApi:
    """One API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._transport = Transport(access)

    async def read_pod(self, namespace: str, name: str) -> Pod:
        """Returns a pod.

        Raises:
            NotFound: there is no such pod.
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        document = await self._get(_path(_CORE, "pods", namespace, name), "pods", namespace)
        return Pod.from_json(document)

    async def list_pods(self, namespace: str, selector: str) -> PodList:
        """Returns the pods that a selector takes.

        Args:
            namespace: of the pods.
            selector: labelSelector, empty for all.

        Raises:
            ApiError: the server refused, 400 for a selector that is none.
            ClusterUnreachable: there was no answer.
        """
        for attempt in range(_LIST_ATTEMPTS):
            try:
                items, version = await self._list(_CORE, "pods", namespace, selector)
                break
            except ApiError as error:
                if error.status != GONE or attempt == _LIST_ATTEMPTS - 1:
                    raise
        return PodList(tuple(map(Pod.from_json, items)), version)

    async def watch_pods(
        self, namespace: str, selector: str, version: str, seconds: int, name: str = ""
    ) -> AsyncIterator[WatchEvent]:
        """Yields what changes, until the server ends the watch.

        Args:
            namespace: of the pods.
            selector: labelSelector, empty for all.
            version: resource version after which it begins.
            seconds: how long the server shall watch.
            name: of the only pod to be watched, empty for all.

        Raises:
            ApiError: the server refused; 410 when it does not remember the version.
            ClusterUnreachable: there was no answer, or the connection broke.
        """
        query = {
            "labelSelector": selector,
            "fieldSelector": f"metadata.name={name}" if name else "",
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        answer = await self._transport.open(
            _request(_path(_CORE, "pods", namespace), query, seconds=seconds + _WATCH_GRACE),
            verb="watch",
            resource="pods",
            namespace=namespace,
        )
        decoder = WatchDecoder()
        try:
            async for data in answer.content.iter_any():
                for event in decoder.receive_data(data):
                    yield event
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise request_error(self._access, error) from error
        finally:
            answer.close()

    async def read_workload(self, namespace: str, reference: Reference) -> Workload:
        """Returns a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.

        Raises:
            NotFound: there is none of the name.
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        resource = reference.resource
        group = _BATCH if resource == "jobs" else _APPS
        path = _path(group, resource, namespace, reference.name)
        return Workload.from_json(resource, await self._get(path, resource, namespace))

    async def list_replica_sets(self, namespace: str, selector: str) -> list[Workload]:
        """Returns the ReplicaSets that a selector takes.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        items, _ = await self._list(_APPS, "replicasets", namespace, selector)
        return [Workload.from_json("replicasets", item) for item in items]

    async def read_node(self, name: str) -> Node:
        """Returns a node.

        Raises:
            NotFound: there is no such node.
            ApiError: the server refused; who may read pods often may not read nodes.
            ClusterUnreachable: there was no answer.
        """
        return Node.from_json(await self._get(f"{_CORE}/nodes/{quote(name, safe='')}", "nodes"))

    async def version(self) -> str:
        """Returns the server's version, such as `v1.36.2`; empty when it tells none.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        return git_version(await self._get("/version", "/version"))

    async def may(self, right: Right, namespace: str) -> bool:
        """Returns whether the user has a right, by a SelfSubjectAccessReview.

        Args:
            right: that is asked about.
            namespace: of the objects; without meaning for rights on the cluster's own objects.

        Raises:
            ApiError: the server refused to say.
            ClusterUnreachable: there was no answer.
        """
        return allowed(
            await self._create(
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", right.review(namespace)
            )
        )

    async def user(self) -> str:
        """Returns who the server takes the user for, by a SelfSubjectReview (Kubernetes 1.28).

        Raises:
            ApiError: the server refused, or is too old to know.
            ClusterUnreachable: there was no answer.
        """
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        return user_name(await self._create(path, _USER_REVIEW))

    async def add_ephemeral_container(
        self, namespace: str, name: str, patch: dict[str, object]
    ) -> Pod:
        """Adds an ephemeral container to a pod; returns the pod.

        Args:
            namespace: of the pod.
            name: of the pod.
            patch: a strategic merge patch.

        Raises:
            Forbidden: the user may not do it, or an admission rule stands against it.
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        request = Request(
            "PATCH",
            _path(_CORE, "pods", namespace, name) + "/ephemeralcontainers",
            _TIMEOUT,
            {**_JSON, "Content-Type": "application/strategic-merge-patch+json"},
            json.dumps(patch).encode(),
        )
        document = await self._transport.request(
            request, verb="patch", resource="pods/ephemeralcontainers", namespace=namespace
        )
        return Pod.from_json(document)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    async def _get(self, path: str, resource: str, namespace: str = "") -> object:
        return await self._transport.request(
            _request(path), verb="get", resource=resource, namespace=namespace
        )

    async def _create(self, path: str, document: Mapping[str, object]) -> object:
        headers = {**_JSON, "Content-Type": "application/json"}
        request = Request("POST", path, _TIMEOUT, headers, json.dumps(document).encode())
        resource = path.rpartition("/")[2]
        return await self._transport.request(request, verb="create", resource=resource)

    async def _list(
        self, group: str, resource: str, namespace: str, selector: str
    ) -> tuple[list[object], str]:
        """Returns the items of a list, page by page, and its resource version."""
        items: list[object] = []
        token = ""
        while True:
            query = {"labelSelector": selector, "limit": str(_PAGE), "continue": token}
            document = await self._transport.request(
                _request(_path(group, resource, namespace), query),
                verb="list",
                resource=resource,
                namespace=namespace,
            )
            body = as_mapping(document)
            page, metadata = body.get("items"), as_mapping(body.get("metadata"))
            items += page if isinstance(page, list) else []
            token = string_at(metadata, "continue")
            if not token:
                return items, string_at(metadata, "resourceVersion")


def _path(group: str, resource: str, namespace: str, name: str = "") -> str:
    path = f"{group}/namespaces/{quote(namespace, safe='')}/{resource}"
    return f"{path}/{quote(name, safe='')}" if name else path


def _request(
    path: str, query: Mapping[str, str] | None = None, seconds: float | None = None
) -> Request:
    """Returns a GET; parameters of the query that are empty are left out."""
    wanted = {key: value for key, value in (query or {}).items() if value}
    text = f"?{urlencode(wanted, quote_via=quote)}" if wanted else ""
    return Request("GET", path + text, _TIMEOUT if seconds is None else seconds, _JSON)
