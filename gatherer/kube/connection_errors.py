"""Connections to the API server that never came to an answer, turned into errors."""

from __future__ import annotations

import socket
import ssl

from gatherer.errors import ClusterUnreachable
from gatherer.kube.answers import one_line


def connection_error(server: str, error: BaseException) -> ClusterUnreachable:
    """Returns the error for a connection that never came to an answer.

    Args:
        server: URL of the API server.
        error: what the socket, the name resolution or TLS raised, with its causes chained.
    """
    cause = _root_cause(error)
    prefix = f"no connection to the API server {server}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ClusterUnreachable(
            f"the certificate of the API server {server} is not trusted: "
            f"{getattr(cause, 'verify_message', '').rstrip('.') or _reason(cause)}",
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
    words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return ClusterUnreachable(
        f"{prefix}: {one_line(words)}", "check the server's URL in the kubeconfig and the network"
    )


def _reason(error: ssl.SSLError) -> str:
    return one_line(getattr(error, "reason", None) or str(error))


def _root_cause(error: BaseException) -> BaseException:
    """Follows the chain to what the operating system or TLS said."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    telling = (ssl.SSLError, socket.gaierror, ConnectionRefusedError, TimeoutError)
    while current is not None and current not in seen and len(seen) < 16:
        # aiohttp's connection errors derive from OSError and hold the real one in an attribute.
        inner = getattr(current, "certificate_error", None) or getattr(current, "os_error", None)
        if isinstance(inner, BaseException):
            return _root_cause(inner)
        if isinstance(current, telling):
            return current
        seen.append(current)
        current = current.__cause__ or current.__context__
    return error
