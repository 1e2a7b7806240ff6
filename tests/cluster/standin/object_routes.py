"""Routes of pods, nodes, namespaces and workloads: get, list, watch, create, delete, log."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from aiohttp import web

from tests.cluster.standin import ephemeral, pods, protobuf, status, table, workloads
from tests.cluster.standin.cluster import Cluster
from tests.cluster.standin.exec_request import choose_container
from tests.cluster.standin.node_parts import START
from tests.cluster.standin.responses import json_response
from tests.cluster.standin.selectors import Selector, field_selector, label_selector
from tests.cluster.standin.store import Event, ExpiredError

Object = dict[str, Any]

_KINDS = {
    "pods": "Pod",
    "nodes": "Node",
    "namespaces": "Namespace",
    **{resource: kind.kind for resource, kind in workloads.KINDS.items()},
}
_DEFAULT_WATCH_SECONDS = 1800


class ObjectRoutes:
    """The routes, over one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._background: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Returns what the server routes here."""
        pods_path = "/api/v1/namespaces/{namespace}/pods"
        return [
            web.get("/api/v1/{resource:pods|nodes|namespaces}", self.list_or_watch),
            web.get("/api/v1/namespaces/{namespace}/{resource:pods}", self.list_or_watch),
            web.get("/api/v1/{resource:nodes|namespaces}/{name}", self.get),
            web.get("/api/v1/namespaces/{namespace}/{resource:pods}/{name}", self.get),
            web.get(pods_path + "/{name}/log", self.log),
            web.post("/api/v1/namespaces", self.create_namespace),
            web.get(pods_path + "/{name}/ephemeralcontainers", self.get_ephemeral),
            web.patch(pods_path + "/{name}/ephemeralcontainers", self.patch_ephemeral),
            web.post(pods_path, self.create),
            web.delete(pods_path + "/{name}", self.delete),
            web.post(pods_path + "/{name}/eviction", self.evict),
            web.put("/api/v1/{resource:nodes}/{name}/status", self.replace_node_status),
            web.post("/standin/namespaces/{namespace}/pods/{name}/pressure", self.press),
            web.post("/standin/parts/{part:kubelet|containerd}", self.change_part),
            *self._workload_routes(),
        ]

    def _workload_routes(self) -> list[web.RouteDef]:
        found = []
        for resource, kind in workloads.KINDS.items():
            root, one = f"/apis/{kind.api_version}", f"{{resource:{resource}}}"
            within = f"{root}/namespaces/{{namespace}}/{one}"
            found += [
                web.get(f"{root}/{one}", self.list_or_watch),
                web.get(within, self.list_or_watch),
                web.get(within + "/{name}", self.get),
                web.post(within, self.create_workload),
                web.put(within + "/{name}/status", self.replace_status),
                web.delete(within + "/{name}", self.delete_workload),
            ]
        return found

    def pod(self, request: web.Request) -> Object:
        """Returns the pod a path names.

        Raises:
            ApiError: there is none.
        """
        return self._object(request, "pods")

    def find_pod(self, namespace: str, name: str) -> Object:
        """Returns a pod.

        Raises:
            ApiError: there is none.
        """
        return self._find("pods", namespace, name)

    def _object(self, request: web.Request, resource: str) -> Object:
        namespace = request.match_info.get("namespace", "")
        return self._find(resource, namespace, request.match_info["name"])

    def _find(self, resource: str, namespace: str, name: str) -> Object:
        value = self._cluster.store.get(resource, namespace, name)
        if value is None:
            kind = workloads.KINDS.get(resource)
            raise status.not_found(resource, name, kind.group if kind else "")
        return self._counted(resource, value)

    def _counted(self, resource: str, value: Object) -> Object:
        if resource not in workloads.KINDS:
            return value
        owned = self._cluster.store.list("pods", value["metadata"]["namespace"])
        return workloads.with_status(resource, value, owned)

    async def get(self, request: web.Request) -> web.StreamResponse:
        """GET of one object."""
        resource = request.match_info["resource"]
        value = self._object(request, resource)
        if table.wants_table(request.headers.get("Accept", "")):
            version = int(value["metadata"]["resourceVersion"])
            include = request.query.get("includeObject", "Metadata")
            return json_response(request, table.table(resource, [value], version, include))
        return json_response(request, value)

    async def list_or_watch(self, request: web.Request) -> web.StreamResponse:
        """GET of a collection; ``watch=true`` follows its changes."""
        if request.query.get("watch") in ("true", "1"):
            return await self._watch(request)
        resource = request.match_info["resource"]
        selected = _selector(request)
        store = self._cluster.store
        found = [
            value
            for value in store.list(resource, request.match_info.get("namespace"))
            if selected(value)
        ]
        found = [self._counted(resource, value) for value in found]
        if table.wants_table(request.headers.get("Accept", "")):
            include = request.query.get("includeObject", "Metadata")
            return json_response(request, table.table(resource, found, store.version, include))
        kind = f"{_KINDS[resource]}List"
        metadata = {"resourceVersion": str(store.version)}
        found, more = _page(request, found, store.version)
        metadata |= more
        # Items of a list carry neither kind nor apiVersion.
        items = [
            {key: part for key, part in value.items() if key not in ("kind", "apiVersion")}
            for value in found
        ]
        return json_response(
            request,
            {
                "kind": kind,
                "apiVersion": _api_version(resource),
                "metadata": metadata,
                "items": items,
            },
        )

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        namespace = request.match_info.get("namespace")
        selected = _selector(request)
        store = self._cluster.store
        wanted = request.query.get("resourceVersion", "")
        if not wanted.isdigit() and wanted:
            raise status.bad_request(f'Invalid value: "{wanted}": resourceVersion')
        as_table = table.wants_table(request.headers.get("Accept", ""))
        include = request.query.get("includeObject", "Metadata")
        initial: list[Event] = []
        since = int(wanted or 0)
        if not since and "sendInitialEvents" not in request.query and not as_table:
            return await _refused_watch(request)
        # KEP-3157: the client wants the list as events, and a bookmark at its end.
        streams_list = request.query.get("sendInitialEvents") == "true"
        if since == 0 or streams_list:
            since = store.version
            initial = [
                Event("ADDED", resource, since, value) for value in store.list(resource, namespace)
            ]
        try:
            watch = store.watch(since)
        except ExpiredError as error:
            raise status.expired(str(error)) from None
        seconds = float(request.query.get("timeoutSeconds", _DEFAULT_WATCH_SECONDS))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        first = True

        async def send(event: Event) -> None:
            nonlocal first
            if event.resource != resource or not selected(event.object):
                return
            if namespace not in (None, event.object["metadata"].get("namespace", "")):
                return
            value = event.object
            if as_table:
                value = self._counted(resource, value)
                value = table.table(resource, [value], event.version, include, first)
                first = False
            line = status.compact({"type": event.kind, "object": value}) + b"\n"
            await response.write(line)

        with watch:
            await response.prepare(request)
            try:
                async with asyncio.timeout(seconds):
                    for event in initial:
                        await send(event)
                    if streams_list and not as_table:
                        await response.write(_bookmark(resource, since))
                    while True:
                        await send(await watch.next())
            except (TimeoutError, ConnectionError):
                pass
        return response

    async def create_namespace(self, request: web.Request) -> web.StreamResponse:
        """POST of a namespace."""
        name = (await _body(request)).get("metadata", {}).get("name", "")
        if self._cluster.store.get("namespaces", "", name) is not None:
            raise status.already_exists("namespaces", name)
        return json_response(request, self._cluster.add_namespace(name), 201)

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST of a pod."""
        namespace = request.match_info["namespace"]
        if self._cluster.store.get("namespaces", "", namespace) is None:
            raise status.not_found("namespaces", namespace)
        sent = await _body(request)
        if sent.get("kind") != "Pod":
            raise status.bad_request(f'expected a Pod, got "{sent.get("kind", "")}"')
        given = sent.get("metadata", {}).get("namespace", namespace)
        if given != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        try:
            pod = pods.admit(sent, namespace)
        except pods.InvalidFieldError as error:
            name = sent.get("metadata", {}).get("name", "")
            raise status.invalid("Pod", name, error.field, error.reason, error.message) from None
        name = pod["metadata"]["name"]
        if self._cluster.store.get("pods", namespace, name) is not None:
            raise status.already_exists("pods", name)
        if request.query.get("dryRun") == "All":
            return json_response(request, pod, 201)
        stored = self._cluster.store.put("pods", pod)
        await self._cluster.kubelet.add(self._cluster.store.get("pods", namespace, name) or stored)
        return json_response(request, stored, 201)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE of a pod: it is gone when its containers are."""
        pod = self.pod(request)
        metadata = pod["metadata"]
        options = await _body(request) if request.can_read_body else {}
        grace = options.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        if grace is None:
            grace = pod["spec"]["terminationGracePeriodSeconds"]
        if "deletionTimestamp" not in metadata:
            # The moment at which the grace period is over (registry/rest/delete.go).
            metadata["deletionTimestamp"] = pods.timestamp(float(grace))
            metadata["deletionGracePeriodSeconds"] = int(grace)
            pod = self._cluster.store.put("pods", pod)
            removal = self._cluster.kubelet.remove(
                metadata["namespace"], metadata["name"], float(grace)
            )
            task = asyncio.create_task(removal)
            self._background.add(task)
            task.add_done_callback(self._background.discard)
        return json_response(request, pod)

    async def evict(self, request: web.Request) -> web.StreamResponse:
        """POST of pods/eviction, as kubectl drain does it: a deletion that says why."""
        pod = self.pod(request)
        condition = {
            "lastProbeTime": None,
            "lastTransitionTime": pods.timestamp(),
            "message": "Eviction API: evicting",
            "reason": "EvictionByEvictionAPI",
            "status": "True",
            "type": "DisruptionTarget",
        }
        metadata = pod["metadata"]
        worker = self._cluster.kubelet.worker(metadata["namespace"], metadata["name"])
        if worker is not None:
            worker.disrupt(condition)
        await self.delete(request)
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return json_response(request, {**success, "code": 201}, 201)

    async def press(self, request: web.Request) -> web.StreamResponse:
        """POST of a shortage on the node: its kubelet evicts the pod. No part of the real API."""
        pod = self.pod(request)
        metadata = pod["metadata"]
        message = str((await _body(request))["message"])
        await self._cluster.kubelet.evict(metadata["namespace"], metadata["name"], message)
        return json_response(request, self.pod(request))

    async def change_part(self, request: web.Request) -> web.StreamResponse:
        """POST of what happens to the kubelet or to containerd. No part of the real API."""
        wanted = await _body(request)
        parts, part = self._cluster.kubelet.parts, request.match_info["part"]
        if wanted["how"] == START:
            parts.start(part, wanted["boot_seconds"])
        else:
            parts.end(part, wanted["how"], wanted["kills_execs"])
        return json_response(request, {})

    async def replace_node_status(self, request: web.Request) -> web.StreamResponse:
        """PUT of nodes/status, as the node's kubelet and the node controller do it.

        A node whose Ready is Unknown is one that nobody reaches.
        """
        node = self._object(request, "nodes")
        node["status"] = (await _body(request))["status"]
        ready = [each["status"] for each in node["status"]["conditions"] if each["type"] == "Ready"]
        lost = self._cluster.kubelet.lost
        if ready == ["Unknown"]:
            lost.set()
        else:
            lost.clear()
        return json_response(request, self._cluster.store.put("nodes", node))

    async def create_workload(self, request: web.Request) -> web.StreamResponse:
        """POST of a workload; its pods are for the client to make."""
        namespace, resource = request.match_info["namespace"], request.match_info["resource"]
        sent = await _body(request)
        kind = workloads.KINDS[resource]
        if sent.get("kind") != kind.kind:
            raise status.bad_request(f'expected a {kind.kind}, got "{sent.get("kind", "")}"')
        name = sent.get("metadata", {}).get("name", "")
        try:
            value = workloads.admit(resource, sent, namespace)
        except pods.InvalidFieldError as error:
            raise status.invalid(kind.kind, name, error.field, error.reason, error.message) from (
                None
            )
        if self._cluster.store.get(resource, namespace, name) is not None:
            raise status.already_exists(f"{resource}.{kind.group}", name)
        stored = self._cluster.store.put(resource, value)
        return json_response(request, self._counted(resource, stored), 201)

    async def replace_status(self, request: web.Request) -> web.StreamResponse:
        """PUT of a workload's status, as its controller does it."""
        resource = request.match_info["resource"]
        value = self._object(request, resource)
        value["status"] = (await _body(request)).get("status", {})
        return json_response(request, self._cluster.store.put(resource, value))

    async def delete_workload(self, request: web.Request) -> web.StreamResponse:
        """DELETE of a workload; its pods are for the client to delete."""
        resource = request.match_info["resource"]
        value = self._object(request, resource)
        metadata = value["metadata"]
        self._cluster.store.remove(resource, metadata["namespace"], metadata["name"])
        return json_response(request, value)

    async def get_ephemeral(self, request: web.Request) -> web.StreamResponse:
        """GET of pods/ephemeralcontainers: the pod."""
        return json_response(request, self.pod(request))

    async def patch_ephemeral(self, request: web.Request) -> web.StreamResponse:
        """PATCH of pods/ephemeralcontainers: adds containers, which start at once."""
        pod = self.pod(request)
        metadata = pod["metadata"]
        try:
            changed = ephemeral.patched(pod, await _body(request))
        except pods.InvalidFieldError as error:
            name = metadata["name"]
            raise status.invalid("Pod", name, error.field, error.reason, error.message) from None
        if request.query.get("dryRun") == "All":
            return json_response(request, changed)
        stored = self._cluster.store.put("pods", changed)
        worker = self._cluster.kubelet.worker(metadata["namespace"], metadata["name"])
        if worker is not None and stored["spec"].get("ephemeralContainers"):
            worker.add_ephemeral(stored)
        return json_response(request, stored)

    async def log(self, request: web.Request) -> web.StreamResponse:
        """GET of a container's log."""
        pod = self.pod(request)
        container = choose_container(pod, request.query.get("container", ""))
        metadata = pod["metadata"]
        worker = self._cluster.kubelet.worker(metadata["namespace"], metadata["name"])
        logs = worker.logs.get(container, []) if worker else []
        previous = request.query.get("previous") == "true"
        if len(logs) <= previous:
            kind = "previous terminated container" if previous else "container"
            raise status.bad_request(f'{kind} "{container}" in pod "{metadata["name"]}" not found')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        tail = request.query.get("tailLines")
        entries = logs[-2 if previous else -1].read(
            None if tail is None else int(tail),
            request.query.get("timestamps") == "true",
            request.query.get("follow") == "true",
        )
        try:
            async for entry in entries:
                await response.write(entry)
        except ConnectionError:
            pass
        return response


def _bookmark(resource: str, version: int) -> bytes:
    metadata = {
        "resourceVersion": str(version),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }
    end = {
        "kind": _KINDS[resource],
        "apiVersion": _api_version(resource),
        "metadata": metadata,
    }
    return status.compact({"type": "BOOKMARK", "object": end}) + b"\n"


def _api_version(resource: str) -> str:
    kind = workloads.KINDS.get(resource)
    return kind.api_version if kind else "v1"


def _page(
    request: web.Request, found: list[Object], version: int
) -> tuple[list[Object], dict[str, str]]:
    """Returns the part of a list that ``limit`` and ``continue`` ask for, and where it goes on.

    Raises:
        ApiError: the token is none, or of a list that is forgotten (any change forgets it here).
    """
    limit = int(request.query.get("limit") or 0)
    start = 0
    token = request.query.get("continue")
    if token:
        try:
            then, start = json.loads(base64.urlsafe_b64decode(token))
        except ValueError:
            raise status.bad_request(f"continue key is not valid: {token}") from None
        if then != version:
            raise status.expired("The provided continue parameter is too old")
    end = start + limit if limit else len(found)
    if end >= len(found):
        return found[start:], {}
    more = base64.urlsafe_b64encode(json.dumps([version, end]).encode()).decode()
    return found[start:end], {"continue": more}


def _selector(request: web.Request) -> Selector:
    try:
        labels = label_selector(request.query.get("labelSelector", ""))
        fields = field_selector(request.query.get("fieldSelector", ""))
    except ValueError as error:
        raise status.bad_request(str(error)) from None
    return lambda value: labels(value) and fields(value)


async def _body(request: web.Request) -> Object:
    if request.content_type == protobuf.CONTENT_TYPE:
        raise status.unsupported_media_type()
    try:
        value = json.loads(await request.read())
    except ValueError as error:
        raise status.bad_request(f"error decoding body: {error}") from None
    if not isinstance(value, dict):
        raise status.bad_request("the body must be a JSON object")
    return value


async def _refused_watch(request: web.Request) -> web.StreamResponse:
    """Answers a watch from any version as a server whose etcd is older than 3.4.25.

    It takes it for a wish for the list as events (KEP-3157), whose end that etcd cannot tell.
    """
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    told = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "a watch stream was requested by the client but the required storage feature "
        "RequestWatchProgress is disabled",
        "reason": "InternalError",
        "code": 500,
    }
    await response.write(status.compact({"type": "ERROR", "object": told}) + b"\n")
    return response
