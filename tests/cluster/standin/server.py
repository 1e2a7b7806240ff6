"""The API server: TLS, authentication, authorisation and all routes."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.cluster.standin import discovery, protobuf, rbac, status
from tests.cluster.standin.audit import AuditLog
from tests.cluster.standin.authority import common_name
from tests.cluster.standin.cluster import Cluster, recorded
from tests.cluster.standin.exec_routes import ExecRoutes
from tests.cluster.standin.object_routes import ObjectRoutes
from tests.cluster.standin.plain_objects import PlainObjectRoutes
from tests.cluster.standin.pods import timestamp
from tests.cluster.standin.port_forward_routes import PortForwardRoutes
from tests.cluster.standin.proxy_routes import ProxyRoutes
from tests.cluster.standin.request_attributes import Attributes, attributes
from tests.cluster.standin.responses import error_response, json_response

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


async def _remove_server_header(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


class Server:
    """Serves one cluster on a port of the loopback.

    Args:
        cluster: to be served.
        audit: notes the requests; None for nobody.
    """

    def __init__(self, cluster: Cluster, audit: AuditLog | None = None) -> None:
        self._cluster = cluster
        self._audit = audit
        self.plain = ""
        """URL without TLS, as `kubectl proxy` gives one; nobody is authenticated there."""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Starts to listen; returns the URL.

        Args:
            port: 0 for any free one.
        """
        application = web.Application(middlewares=[self._answer], client_max_size=8 << 20)
        objects = ObjectRoutes(self._cluster)
        application.add_routes(objects.routes())
        application.add_routes(PlainObjectRoutes(self._cluster.store).routes())
        application.add_routes(ExecRoutes(self._cluster, objects.pod).routes())
        application.add_routes(PortForwardRoutes(self._cluster, objects.pod).routes())
        application.add_routes(ProxyRoutes(self._cluster, objects.find_pod).routes())
        application.add_routes(self._own_routes())
        application.on_response_prepare.append(_remove_server_header)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.5, handler_cancellation=False
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner,
            self._cluster.host,
            port,
            ssl_context=self._cluster.authority.server_context(),
        )
        await site.start()
        plain = web.TCPSite(self._runner, self._cluster.host, 0)
        await plain.start()
        if socket.has_ipv6:
            # For clients that are given an address of IPv6; a machine may have none.
            with contextlib.suppress(OSError):
                tls = self._cluster.authority.server_context()
                port = self._runner.addresses[0][1]
                await web.TCPSite(self._runner, "::1", port, ssl_context=tls).start()
        self.plain = f"http://{self._cluster.host}:{self._runner.addresses[1][1]}"
        self._cluster.port = self._runner.addresses[0][1]
        return f"https://{self._cluster.host}:{self._cluster.port}"

    async def stop(self) -> None:
        """Stops listening and ends every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._audit is not None:
            self._audit.note(request)
        try:
            user = self._authenticate(request)
            wanted = attributes(request.method, request.path, request.query)
            if not rbac.allowed(user, wanted):
                message = rbac.forbidden_message(user, wanted)
                raise status.forbidden(message, wanted.name, wanted.resource, wanted.group)
            request["user"], request["attributes"] = user, wanted
            return await handler(request)
        except status.ApiError as error:
            return error_response(request, error)
        except ConnectionError:
            # The client is gone; nobody reads this.
            return web.Response()
        except web.HTTPNotFound:
            return web.Response(status=404, text="404 page not found\n")
        except web.HTTPMethodNotAllowed:
            refused = status.ApiError(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
            return error_response(request, refused)

    def _authenticate(self, request: web.Request) -> rbac.User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            user = self._cluster.user_by_token(token.strip())
            if user is None:
                raise status.unauthorized()
            return user
        name = common_name(request.get_extra_info("peercert"))
        return self._cluster.user_by_certificate(name) if name else rbac.ANONYMOUS

    def _own_routes(self) -> list[web.RouteDef]:
        def fixed(value: dict[str, object]) -> Handler:
            async def handle(request: web.Request) -> web.StreamResponse:
                return json_response(request, value)

            return handle

        async def healthy(request: web.Request) -> web.StreamResponse:
            return web.Response(text="ok")

        return [
            *(web.get(path, fixed(recorded("version"))) for path in ("/version", "/version/")),
            *(web.get(path, healthy) for path in ("/healthz", "/livez", "/readyz")),
            web.get("/api", self._groups),
            web.get("/apis", self._groups),
            web.get("/api/v1", fixed(discovery.core_resources())),
            *(
                web.get(f"/apis/{group}/v1", fixed(discovery.group_resources(group)))
                for group in discovery.GROUPS
            ),
            web.get("/openapi/v3", fixed(discovery.openapi_index())),
            web.get("/openapi/v3/api/v1", fixed(discovery.openapi(""))),
            *(
                web.get(f"/openapi/v3/apis/{group}/v1", fixed(discovery.openapi(group)))
                for group in discovery.GROUPS
            ),
            web.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review_access),
            web.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", self._review_user),
        ]

    async def _groups(self, request: web.Request) -> web.StreamResponse:
        version = discovery.wants_aggregated(request.headers.get("Accept", ""))
        if version is not None:
            return json_response(
                request,
                discovery.aggregated(request.path, version),
                content_type=_AGGREGATED.format(version=version),
            )
        if request.path == "/apis":
            return json_response(request, discovery.api_groups())
        address = f"{self._cluster.host}:{self._cluster.port}"
        return json_response(request, discovery.api_versions(address))

    async def _review_user(self, request: web.Request) -> web.StreamResponse:
        answer = {
            "kind": "SelfSubjectReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": timestamp()},
            "status": {"userInfo": {"username": request["user"].name}},
        }
        return json_response(request, answer, 201)

    async def _review_access(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        try:
            if request.content_type == protobuf.CONTENT_TYPE:
                spec = protobuf.access_review_spec(body)
            else:
                spec = json.loads(body)["spec"]
            asked = spec["resourceAttributes"]
            wanted = Attributes(
                verb=asked["verb"],
                path="",
                group=asked.get("group", ""),
                namespace=asked.get("namespace", ""),
                resource=asked["resource"],
                subresource=asked.get("subresource", ""),
                name=asked.get("name", ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise status.bad_request("spec.resourceAttributes is missing or incomplete") from None
        answer = {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": spec,
            "status": {"allowed": rbac.allowed(request["user"], wanted)},
        }
        return json_response(request, answer, 201)
