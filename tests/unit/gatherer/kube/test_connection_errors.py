from __future__ import annotations

import socket
import ssl

import pytest

from gatherer.kube.connection_errors import connection_error
from gatherer.kube.proxies import Proxy

SERVER = "https://10.0.0.1:6443"


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


class Wrapped(OSError):
    """What aiohttp raises: an OSError that holds the real one."""

    def __init__(self, inner: OSError) -> None:
        super().__init__(inner.errno, f"Cannot connect to host x ssl:default [{inner}]")
        self.os_error = inner


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate in certificate chain"
    return error


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (ConnectionRefusedError(111, "refused"), "connection refused", "that the cluster runs"),
        (Wrapped(ConnectionRefusedError(111, "refused")), "connection refused", "cluster runs"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved", "DNS"),
        (Wrapped(socket.gaierror(-2, "Name or service not known")), "cannot be resolved", "VPN"),
        (TimeoutError(), "did not answer in time", "firewalls"),
        (untrusted(), "self-signed certificate in certificate chain", "certificate-authority"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS with the API server", "server's URL"),
        (OSError(113, "No route to host"), "No route to host", "the network"),
        (chained(RuntimeError("outer"), TimeoutError()), "did not answer in time", "firewalls"),
        (ValueError("an answer\nof two lines"), "an answer of two lines", "server's URL"),
        (EOFError(), "EOFError", "server's URL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_failure_names_server_cause_and_remedy(
    error: BaseException, cause: str, remedy: str
) -> None:
    told = connection_error(SERVER, error)
    assert SERVER in told.cause
    assert cause in told.cause
    assert remedy in told.remedy
    assert str(told).isprintable()
    assert told.exit_code == 3


class WrappedTls(Wrapped):
    """What aiohttp raises where TLS fails: it names what the connection was to lead to."""

    def __init__(self, inner: ssl.SSLError, host: str) -> None:
        super().__init__(inner)
        self.host, self.port = host, 3129


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "TLS with the proxy failed: "),
        (untrusted(), "its certificate is not trusted: self-signed certificate"),
    ],
)
def test_a_proxy_with_which_tls_fails_is_named(inner: ssl.SSLError, words: str) -> None:
    proxy = Proxy("https", "proxy.example", 3129, "HTTPS_PROXY", b"me", b"s3cret")
    told = connection_error(SERVER, WrappedTls(inner, "proxy.example"), proxy)
    assert words in told.cause
    assert "the proxy https://proxy.example:3129 (HTTPS_PROXY)" in told.cause
    assert "s3cret" not in str(told)
    assert told.remedy == "correct HTTPS_PROXY, or name the API server's host in NO_PROXY"
    beyond = connection_error(SERVER, WrappedTls(inner, "10.0.0.1"), proxy)
    assert "API server" in beyond.cause
    assert "the proxy" not in beyond.cause


@pytest.mark.parametrize(
    "message", ["Bad status line:\n\n b'\\xff'", "Got more than 8190 bytes when reading: b'aaaa"]
)
def test_what_does_not_speak_http_is_told(message: str) -> None:
    error = RuntimeError(message)
    error.message = message  # type: ignore[attr-defined]  # as aiohttp's errors have it
    told = connection_error(SERVER, error, Proxy("http", "p", 1, "proxy-url"))
    assert told.cause.endswith(": what answers does not speak HTTP")


def test_a_chain_that_runs_in_a_circle_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert "a" in connection_error(SERVER, first).cause
