"""Connections to the API server that never came to an answer, turned into errors."""

from __future__ import annotations

import socket
import ssl

from gatherer.errors import ClusterUnreachable
from gatherer.kube.proxies import PROXY_URL, Proxy
from gatherer.text import one_line


def connection_error(
    server: str, error: BaseException, proxy: Proxy | None = None
) -> ClusterUnreachable:
    """Returns the error for a connection that never came to an answer.

    Args:
        server: URL of the API server.
        error: what the socket, the name resolution or TLS raised, with its causes chained.
        proxy: on the way to it: what the network then says is about the proxy alone.
    """
    cause = root_cause(error)
    if proxy is not None and (not isinstance(cause, ssl.SSLError) or _is_of(error, proxy)):
        return _proxied(server, cause, proxy)
    prefix = f"no connection to the API server {server}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ClusterUnreachable(
            f"the certificate of the API server {server} is not trusted: {_distrust(cause)}",
            "check certificate-authority and tls-server-name of the cluster in the kubeconfig",
        )
    if isinstance(cause, ssl.SSLError):
        return ClusterUnreachable(
            f"TLS with the API server {server} failed: {_reason(cause)}",
            "check the server's URL and the client certificate in the kubeconfig",
        )
    if isinstance(cause, socket.gaierror):
        return ClusterUnreachable(
            f"{prefix}: its name cannot be resolved ({cause.strerror})",
            "check the server's URL in the kubeconfig, the VPN and DNS",
        )
    if isinstance(cause, ConnectionRefusedError):
        return ClusterUnreachable(
            f"{prefix}: connection refused",
            "check that the cluster runs and that the kubeconfig names its address",
        )
    if isinstance(cause, TimeoutError):
        return ClusterUnreachable(
            f"{prefix}: it did not answer in time", "check the network, the VPN and firewalls"
        )
    return ClusterUnreachable(
        f"{prefix}: {_message(cause)}", "check the server's URL in the kubeconfig and the network"
    )


def proxy_error(proxy: Proxy, problem: str) -> ClusterUnreachable:
    """Returns the error for a proxy that does not let a connection through.

    Args:
        proxy: the proxy.
        problem: what it did, without a full stop.
    """
    return ClusterUnreachable(f"the proxy {proxy} fails: {one_line(problem)}", _remedy(proxy))


def proxy_refusal(proxy: Proxy, status: int) -> ClusterUnreachable:
    """Returns the error for an HTTP proxy that answered with a failure.

    Args:
        proxy: the proxy.
        status: HTTP status code.
    """
    if status != 407:
        return proxy_error(proxy, f"it answered {status} when asked for the API server")
    refused = (
        "refuses the user and password it was given"
        if proxy.username
        else "wants a user and password"
    )
    return ClusterUnreachable(
        f"the proxy {proxy} {refused} (407)",
        f"correct {proxy.origin}: http://USER:PASSWORD@HOST:PORT, special characters as %XX",
    )


def _proxied(server: str, cause: BaseException, proxy: Proxy) -> ClusterUnreachable:
    if isinstance(cause, socket.gaierror):
        problem = f"its name cannot be resolved ({cause.strerror})"
    elif isinstance(cause, ConnectionRefusedError):
        problem = "connection refused"
    elif isinstance(cause, TimeoutError):
        problem = "it did not answer in time"
    elif isinstance(cause, ssl.SSLCertVerificationError):
        problem = f"its certificate is not trusted: {_distrust(cause)}"
    elif isinstance(cause, ssl.SSLError):
        problem = f"TLS with the proxy failed: {_reason(cause)}"
    else:
        problem = _message(cause)
    return ClusterUnreachable(
        f"no connection through the proxy {proxy} to the API server {server}: {problem}",
        _remedy(proxy),
    )


def _remedy(proxy: Proxy) -> str:
    if proxy.origin == PROXY_URL:
        return "correct proxy-url of the cluster in the kubeconfig"
    return f"correct {proxy.origin}, or name the API server's host in NO_PROXY"


def _is_of(error: BaseException, proxy: Proxy) -> bool:
    """Whether it was the proxy, not the server behind it, with which TLS failed."""
    # aiohttp's errors about a connection name what it was to lead to.
    return (getattr(error, "host", None), getattr(error, "port", None)) == (proxy.host, proxy.port)


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    return one_line(getattr(error, "verify_message", "").rstrip(".") or _reason(error))


def _message(cause: BaseException) -> str:
    if str(getattr(cause, "message", "")).startswith(("Bad status line", "Got more than")):
        return "what answers does not speak HTTP"
    return one_line(getattr(cause, "strerror", None) or str(cause) or type(cause).__name__)


def _reason(error: ssl.SSLError) -> str:
    return one_line(getattr(error, "reason", None) or str(error))


def root_cause(error: BaseException) -> BaseException:
    """Returns what the operating system or TLS said, at the end of a chain of errors.

    Args:
        error: with its causes chained, as sockets, aiohttp and websockets raise it.
    """
    seen: list[BaseException] = []
    current: BaseException | None = error
    telling = (ssl.SSLError, socket.gaierror, ConnectionRefusedError, TimeoutError)
    while current is not None and current not in seen and len(seen) < 16:
        # aiohttp's connection errors derive from OSError and hold the real one in an attribute.
        inner = getattr(current, "certificate_error", None) or getattr(current, "os_error", None)
        if isinstance(inner, BaseException):
            return root_cause(inner)
        if isinstance(current, telling):
            return current
        seen.append(current)
        current = current.__cause__ or current.__context__
    return error
