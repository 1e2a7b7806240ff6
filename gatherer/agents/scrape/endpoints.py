"""Endpoints of agents and the routes to them: pods/proxy, port-forward, a URL.

Every failure is a `ScrapeError` that says what to do.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

from gatherer.agents.scrape.http import HttpExchange
from gatherer.errors import (
    Forbidden,
    GathererError,
    PortForwardError,
    ScrapeError,
)
from gatherer.kube.answers import AnswerCutShort, AnswerTooBig, NotHttp, RawAnswer
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.connection_errors import root_cause
from gatherer.kube.http_client import HttpClient, NoAnswer, Request
from gatherer.kube.pods_proxy import PodsProxy, proxy_path
from gatherer.text import one_line, printable
from gatherer.timeouts import within

UNREACHABLE = "error trying to reach service"


@dataclass(frozen=True)
class Limits:
    """Bounds of one answer.

    Attributes:
        seconds: in all.
        size: bytes of the body.
    """

    seconds: float = 10.0
    size: int = 16 << 20


class Stream(Protocol):
    """A connection to a server."""

    async def send(self, data: bytes) -> None:
        """Writes."""
        ...

    async def receive(self) -> bytes:
        """Returns the next bytes, b"" at the end."""
        ...

    async def aclose(self) -> None:
        """Ends it."""
        ...


class Endpoint(Protocol):
    """A server that can be asked."""

    @property
    def where(self) -> str:
        """Its address and the way to it, for people."""
        ...

    async def fetch(
        self, method: str, path: str, *, body: bytes = b"", accept: str = "*/*", limits: Limits
    ) -> RawAnswer:
        """Sends a request.

        Raises:
            ScrapeError: nothing usable came; never for the status of an answer.
        """
        ...


class ApiServerRoutes:
    """The two routes through one API server.

    Args:
        access: how to reach it.
    """

    def __init__(self, access: ClusterAccess) -> None:
        self.access = access
        self.proxy = PodsProxy(access)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self.proxy.aclose()


class PodEndpoint:
    """A server in a pod whose port, and the route to it, must be found first.

    pods/proxy is tried first: it needs the least rights. Port-forward reaches the loopback, and
    goes where a network policy keeps the API server out.

    Args:
        routes: to the cluster.
        namespace: of the pod.
        pod: its name.
        ports: to try.
    """

    def __init__(
        self, routes: ApiServerRoutes, namespace: str, pod: str, ports: Sequence[int]
    ) -> None:
        self._routes = routes
        self._namespace = namespace
        self._pod = pod
        self._ports = tuple(ports)
        self._order = ["pods/proxy", "port-forward"]
        self._chosen: tuple[int, str] | None = None

    @property
    def where(self) -> str:
        """The pod, and once it is known the port and the route."""
        if self._chosen is None:
            return f"{self._namespace}/{self._pod}"
        port, route = self._chosen
        return f"{self._namespace}/{self._pod}, port {port} by {route}"

    async def fetch(
        self, method: str, path: str, *, body: bytes = b"", accept: str = "*/*", limits: Limits
    ) -> RawAnswer:
        """Sends a request where it was answered last, else wherever it may be answered.

        Raises:
            ScrapeError: it is nowhere.
        """
        if self._chosen is not None:
            try:
                return await self._request(*self._chosen, method, path, body, accept, limits)
            except (_PortClosed, Forbidden):
                self._chosen = None
            except TimeoutError as error:
                raise _timed_out(limits) from error
        return await self._search(method, path, body, accept, limits)

    async def _search(
        self, method: str, path: str, body: bytes, accept: str, limits: Limits
    ) -> RawAnswer:
        forbidden: dict[str, Forbidden] = {}
        refused: RawAnswer | None = None
        for port in self._ports:
            for route in tuple(self._order):
                if route in forbidden:
                    continue
                try:
                    answer = await self._request(port, route, method, path, body, accept, limits)
                except _PortClosed:
                    continue
                except Forbidden as error:
                    forbidden[route] = error
                    continue
                except TimeoutError as error:
                    # It may also be a network policy that drops what comes by pods/proxy: next
                    # time the other route goes first.
                    self._order.reverse()
                    raise _timed_out(limits) from error
                if answer.status == 404:
                    refused = answer
                    break
                self._chosen = (port, route)
                return answer
        if len(forbidden) == 2:
            denied = forbidden["pods/proxy"]
            raise ScrapeError(denied.cause, denied.remedy) from denied
        ports = ", ".join(map(str, self._ports))
        if refused is not None:
            raise ScrapeError(
                f"it has no {printable(path, 80)} on port {ports}",
                "give its address with --agent URL",
            )
        if forbidden:
            ((route, denied),) = forbidden.items()
            reached = "its loopback is not reached" if route == "port-forward" else "nobody listens"
            raise ScrapeError(
                f"it does not answer on port {ports}, and {reached}: {denied.cause}",
                denied.remedy,
            ) from denied
        raise ScrapeError(
            f"nobody listens on port {ports}",
            "see its log for the port it listens on, and give --agent URL",
        )

    async def _request(
        self,
        port: int,
        route: str,
        method: str,
        path: str,
        body: bytes,
        accept: str,
        limits: Limits,
    ) -> RawAnswer:
        try:
            if route == "pods/proxy":
                return await self._routes.proxy.exchange(
                    method,
                    proxy_path(self._namespace, self._pod, port, path),
                    body=body,
                    accept=accept,
                    limit=limits.size,
                    seconds=limits.seconds,
                    resource="pods/proxy",
                )
            return await self._forward(port, method, path, body, accept, limits)
        except (Forbidden, TimeoutError):
            raise
        except PortForwardError as error:
            raise _PortClosed(error.cause) from error
        except GathererError as error:
            if UNREACHABLE in error.cause:
                raise _PortClosed(error.cause) from error
            raise ScrapeError(error.cause, error.remedy) from error
        except ValueError as error:
            raise _unusable(error, limits) from error

    async def _forward(
        self, port: int, method: str, path: str, body: bytes, accept: str, limits: Limits
    ) -> RawAnswer:
        from gatherer.kube.exec.port_forward import open_port_forward

        request = HttpExchange(
            method, f"localhost:{port}", path, body=body, accept=accept, limit=limits.size
        )
        async with within(limits.seconds):
            stream = await open_port_forward(self._routes.access, self._namespace, self._pod, port)
            return await exchange(stream, request)


class UrlEndpoint:
    """A server at a URL, reached directly.

    Args:
        url: `http` or `https`, with a host; user and password in it become basic authorization.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self.path = (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else "")
        self._authorization: dict[str, str] = {}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            basic = base64.b64encode(pair.encode()).decode()
            self._authorization = {"Authorization": f"Basic {basic}"}

    @property
    def where(self) -> str:
        """Scheme, host and port; never a password."""
        return self._server

    async def fetch(
        self, method: str, path: str, *, body: bytes = b"", accept: str = "*/*", limits: Limits
    ) -> RawAnswer:
        """Sends a request.

        Raises:
            ScrapeError: nothing usable came.
        """
        headers = {"Accept": accept, **self._authorization}
        if method == "POST":
            headers["Content-Type"] = "text/plain"
        request = Request(method, path, limits.seconds, headers, body, verbatim=True)
        client = HttpClient(self._server)
        try:
            return await client.exchange(request, limits.size)
        except NoAnswer as error:
            raise _no_connection(root_cause(error), limits) from error
        except TimeoutError as error:
            raise _timed_out(limits) from error
        except ValueError as error:
            raise _unusable(error, limits) from error
        finally:
            await client.aclose()


async def exchange(stream: Stream, request: HttpExchange) -> RawAnswer:
    """Sends a request over a stream, returns the answer, and ends the stream.

    Raises:
        ValueError: one of those of `HttpExchange`.
        PortForwardError: the connection was refused.
        OSError: the connection broke.
    """
    try:
        await stream.send(request.data_to_send())
        while True:
            answer = request.receive_data(await stream.receive())
            if answer is not None:
                return answer
    finally:
        await stream.aclose()


class _PortClosed(Exception):
    """A port is closed, by one of the routes."""


def _no_connection(cause: BaseException, limits: Limits) -> ScrapeError:
    if isinstance(cause, TimeoutError):
        return _timed_out(limits)
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
        return ScrapeError(
            f"TLS failed: {printable(reason, 120)}",
            "give an http URL, or one whose certificate this machine trusts",
        )
    if isinstance(cause, OSError):
        return ScrapeError(
            f"no connection: {printable(cause.strerror or str(cause), 120)}",
            "check the URL given with --agent",
        )
    return _unusable(AnswerCutShort("the connection ended without an answer"), limits)


def _timed_out(limits: Limits) -> ScrapeError:
    return ScrapeError(
        f"no answer within {limits.seconds:g} s",
        "see whether the agent is short of CPU: `kubectl top pod`",
    )


def _unusable(error: ValueError, limits: Limits) -> ScrapeError:
    if isinstance(error, AnswerTooBig):
        return ScrapeError(
            f"the answer is larger than {limits.size >> 20} MiB",
            "reduce what the agent exposes, or leave it out with --agent",
        )
    if isinstance(error, AnswerCutShort):
        return ScrapeError(str(error), "see whether the agent restarts: `kubectl get pod`")
    if isinstance(error, NotHttp):
        return ScrapeError(
            f"what answers does not speak HTTP: {printable(one_line(str(error)), 80)}",
            "check the port",
        )
    return ScrapeError(printable(str(error), 200), "check port and path of the agent")
