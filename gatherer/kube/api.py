"""Requests to the Kubernetes API; together with `auth.credentials` the only user of `kubernetes`.

Answers are taken as bytes (`*_without_preload_content`) and read by `gatherer.kube.objects`: the
package's own models reject objects that lack a field its schema calls required.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from kubernetes.aio.client import (
    ApiClient,
    AppsV1Api,
    AuthenticationV1Api,
    AuthorizationV1Api,
    BatchV1Api,
    Configuration,
    CoreV1Api,
    V1SelfSubjectAccessReview,
    V1SelfSubjectReview,
    VersionApi,
)
from kubernetes.aio.client.rest import RESTClientObject

from gatherer.errors import ApiError
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.http_session import connector, failure, proxy_options, session_options
from gatherer.kube.objects.models import Pod
from gatherer.kube.objects.node import Node
from gatherer.kube.objects.references import Reference
from gatherer.kube.objects.review import Right, allowed, git_version, user_name
from gatherer.kube.objects.workloads import Workload
from gatherer.kube.transport import Transport
from gatherer.kube.watch.watch_events import GONE, PodList, WatchDecoder, WatchEvent

_TIMEOUT = 20.0  # seconds, for one request
_WATCH_GRACE = 30.0  # seconds that a watch may last longer than it was asked for
_PAGE = 500  # objects in one answer of a list
_LIST_ATTEMPTS = 3  # a list that takes longer than the server remembers starts again


class _Requests(RESTClientObject):
    """What sends the package's requests, with connections of ours.

    Args:
        configuration: of the package.
        access: to the API server.
    """

    def __init__(self, configuration: Configuration, access: ClusterAccess) -> None:
        super().__init__(configuration)
        self._access = access

    def _create_connector(self) -> aiohttp.TCPConnector:
        # With the TLS that exec uses too: with the certificate an exec plugin may renew.
        return connector(self._access, self.maxsize)


class KubernetesApi:
    """One API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._transport = Transport(access)
        configuration = Configuration(
            host=access.server,
            tls_server_name=access.tls_server_name,
            client_session_kwargs=session_options(access),
            **proxy_options(access),
        )
        self._client = ApiClient(configuration)
        self._client.rest_client = _Requests(configuration, access)
        self._core = CoreV1Api(self._client)
        self._apps = AppsV1Api(self._client)
        self._batch = BatchV1Api(self._client)

    async def read_pod(self, namespace: str, name: str) -> Pod:
        """Returns a pod.

        Raises:
            NotFound: there is no such pod.
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        document = await self._transport.request(
            lambda headers: self._core.read_namespaced_pod_without_preload_content(
                name, namespace, _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="get",
            resource="pods",
            namespace=namespace,
        )
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
                items, version = await self._list(
                    self._core.list_namespaced_pod_without_preload_content,
                    namespace,
                    selector,
                    "pods",
                )
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
        answer = await self._transport.open(
            lambda headers: self._core.list_namespaced_pod_without_preload_content(
                namespace,
                label_selector=selector or None,
                field_selector=f"metadata.name={name}" if name else None,
                watch=True,
                resource_version=version,
                allow_watch_bookmarks=True,
                timeout_seconds=seconds,
                _headers=headers,
                _request_timeout=seconds + _WATCH_GRACE,
            ),
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
            raise failure(self._access, error) from error
        finally:
            answer.close()

    async def read_workload(self, namespace: str, reference: Reference) -> Workload:
        """Returns a Deployment, ReplicaSet, StatefulSet, DaemonSet or Job.

        Raises:
            NotFound: there is none of the name.
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        read = {
            "deployments": self._apps.read_namespaced_deployment_without_preload_content,
            "replicasets": self._apps.read_namespaced_replica_set_without_preload_content,
            "statefulsets": self._apps.read_namespaced_stateful_set_without_preload_content,
            "daemonsets": self._apps.read_namespaced_daemon_set_without_preload_content,
            "jobs": self._batch.read_namespaced_job_without_preload_content,
        }[reference.resource]
        document = await self._transport.request(
            lambda headers: read(
                reference.name, namespace, _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="get",
            resource=reference.resource,
            namespace=namespace,
        )
        return Workload.from_json(reference.resource, document)

    async def list_replica_sets(self, namespace: str, selector: str) -> list[Workload]:
        """Returns the ReplicaSets that a selector takes.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        items, _ = await self._list(
            self._apps.list_namespaced_replica_set_without_preload_content,
            namespace,
            selector,
            "replicasets",
        )
        return [Workload.from_json("replicasets", item) for item in items]

    async def read_node(self, name: str) -> Node:
        """Returns a node.

        Raises:
            NotFound: there is no such node.
            ApiError: the server refused; who may read pods often may not read nodes.
            ClusterUnreachable: there was no answer.
        """
        document = await self._transport.request(
            lambda headers: self._core.read_node_without_preload_content(
                name, _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="get",
            resource="nodes",
        )
        return Node.from_json(document)

    async def version(self) -> str:
        """Returns the server's version, such as `v1.36.2`; empty when it tells none.

        Raises:
            ApiError: the server refused.
            ClusterUnreachable: there was no answer.
        """
        client = VersionApi(self._client)
        document = await self._transport.request(
            lambda headers: client.get_code_without_preload_content(
                _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="get",
            resource="/version",
        )
        return git_version(document)

    async def may(self, right: Right, namespace: str) -> bool:
        """Returns whether the user has a right, by a SelfSubjectAccessReview.

        Args:
            right: that is asked about.
            namespace: of the objects; without meaning for rights on the cluster's own objects.

        Raises:
            ApiError: the server refused to say.
            ClusterUnreachable: there was no answer.
        """
        client = AuthorizationV1Api(self._client)
        review = V1SelfSubjectAccessReview.model_validate(right.review(namespace))
        document = await self._transport.request(
            lambda headers: client.create_self_subject_access_review_without_preload_content(
                review, _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="create",
            resource="selfsubjectaccessreviews",
        )
        return allowed(document)

    async def user(self) -> str:
        """Returns who the server takes the user for, by a SelfSubjectReview (Kubernetes 1.28).

        Raises:
            ApiError: the server refused, or is too old to know.
            ClusterUnreachable: there was no answer.
        """
        client = AuthenticationV1Api(self._client)
        document = await self._transport.request(
            lambda headers: client.create_self_subject_review_without_preload_content(
                V1SelfSubjectReview(), _headers=headers, _request_timeout=_TIMEOUT
            ),
            verb="create",
            resource="selfsubjectreviews",
        )
        return user_name(document)

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
        document = await self._transport.request(
            lambda headers: (
                self._core.patch_namespaced_pod_ephemeralcontainers_without_preload_content(
                    name,
                    namespace,
                    patch,
                    _content_type="application/strategic-merge-patch+json",
                    _headers=headers,
                    _request_timeout=_TIMEOUT,
                )
            ),
            verb="patch",
            resource="pods/ephemeralcontainers",
            namespace=namespace,
        )
        return Pod.from_json(document)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def _list(
        self,
        call: Callable[..., Awaitable[aiohttp.ClientResponse]],
        namespace: str,
        selector: str,
        resource: str,
    ) -> tuple[list[object], str]:
        """Returns the items of a list, page by page, and its resource version."""
        items: list[object] = []
        token: str | None = None
        while True:
            document = await self._page(call, namespace, selector, token, resource)
            body = document if isinstance(document, dict) else {}
            page, metadata = body.get("items"), body.get("metadata")
            items += page if isinstance(page, list) else []
            metadata = metadata if isinstance(metadata, dict) else {}
            token = metadata.get("continue") or None
            if token is None:
                return items, str(metadata.get("resourceVersion", ""))

    async def _page(
        self,
        call: Callable[..., Awaitable[aiohttp.ClientResponse]],
        namespace: str,
        selector: str,
        token: str | None,
        resource: str,
    ) -> object:
        return await self._transport.request(
            lambda headers: call(
                namespace,
                label_selector=selector or None,
                limit=_PAGE,
                _continue=token,
                _headers=headers,
                _request_timeout=_TIMEOUT,
            ),
            verb="list",
            resource=resource,
            namespace=namespace,
        )
