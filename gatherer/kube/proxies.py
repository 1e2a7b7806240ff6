"""Proxies on the way to the API server, chosen as kubectl chooses them. Pure.

kubectl has the rules of Go's net/http: `proxy-url` of the kubeconfig's cluster goes before the
environment; of the environment HTTPS_PROXY is for servers with TLS and HTTP_PROXY for those
without, NO_PROXY lists what is reached without one, and neither loopback addresses nor `localhost`
ever take a proxy of the environment. There is no ALL_PROXY.

Source: https://pkg.go.dev/golang.org/x/net/http/httpproxy
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

PROXY_URL = "proxy-url"
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Proxy:
    """A proxy and what it is told about who asks.

    Attributes:
        scheme: `http`, `https` or `socks5`; a SOCKS proxy resolves the server's name itself.
        host: name or address.
        port: 1 to 65535.
        origin: what named it, for messages: `proxy-url`, or a variable.
        username: None for nobody in particular.
        password: of the user.
    """

    scheme: str
    host: str
    port: int
    origin: str
    username: bytes | None = field(default=None, repr=False)
    password: bytes = field(default=b"", repr=False)

    @property
    def address(self) -> str:
        """Its URL without user and password, for messages and for clients that take them apart."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that prove to an HTTP proxy who asks."""
        if self.username is None:
            return {}
        pair = base64.b64encode(self.username + b":" + self.password).decode()
        return {"Proxy-Authorization": f"Basic {pair}"}

    @property
    def secret_url(self) -> str:
        """Its URL with user and password: never for messages."""
        scheme, _, rest = self.address.partition("://")
        if self.username is None:
            return f"{scheme}://{rest}"
        pair = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return f"{scheme}://{pair}@{rest}"

    def __str__(self) -> str:
        return f"{self.address} ({self.origin})"


def kubeconfig_proxy(text: str) -> Proxy:
    """Returns the proxy of a `proxy-url`.

    Raises:
        ValueError: it names none that can be used; the message repeats no part of it.
    """
    parts = _split(text) if _SCHEME.match(text) else None
    if parts is None or parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{PROXY_URL} is no URL with the scheme http, https or socks5")
    return _proxy(parts, PROXY_URL)


def environment_proxy(server: str, environment: Mapping[str, str]) -> Proxy | None:
    """Returns the proxy that the environment names for a server.

    Args:
        server: URL of the API server.
        environment: variables.

    Raises:
        ValueError: it names one that cannot be used; the message repeats no part of it.
    """
    parts = urlsplit(server)
    names = (
        ("HTTP_PROXY", "http_proxy") if parts.scheme == "http" else ("HTTPS_PROXY", "https_proxy")
    )
    origin = next((name for name in names if environment.get(name)), None)
    if origin is None:
        return None
    host = _ascii(parts.netloc.rpartition("@")[2])
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    no_proxy = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    if not _takes_proxy(host, port, no_proxy):
        return None
    if parts.scheme == "http" and environment.get("REQUEST_METHOD"):
        # A CGI program: a visitor's header "Proxy:" would have become the variable.
        raise ValueError(f"{origin} is not used where REQUEST_METHOD is set, as by CGI servers")
    text = environment[origin]
    split = _split(text if "://" in text else f"http://{text}")
    if split is None:
        raise ValueError(f"{origin} is no URL of a proxy")
    scheme = "socks5" if split.scheme == "socks5h" else split.scheme
    if scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{origin} names a proxy of another scheme than http, https and socks5")
    return _proxy(split._replace(scheme=scheme), origin)


def _split(text: str) -> SplitResult | None:
    """Takes a URL apart as strictly as Go does; None where it is none."""
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    userinfo = parts.netloc.rpartition("@")[0]
    return None if _BAD_ESCAPE.search(userinfo) or port == 0 else parts


def _proxy(parts: SplitResult, origin: str) -> Proxy:
    if not parts.hostname:
        raise ValueError(f"{origin} names no host")
    userinfo, at, _ = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    return Proxy(
        parts.scheme,
        _ascii(parts.hostname),
        parts.port or _DEFAULT_PORTS[parts.scheme],
        origin,
        unquote_to_bytes(username) if at else None,
        unquote_to_bytes(password),
    )


def _takes_proxy(host: str, port: int, no_proxy: str) -> bool:
    """Returns whether a server is reached through the environment's proxy."""
    if host == "localhost":  # in this spelling only, as in Go
        return False
    address = _address(host)
    if address is not None and address.is_loopback:
        return False
    name = host.lower()
    for rule in no_proxy.split(","):
        rule = rule.strip().lower()
        if rule == "*" or (rule and _matches(rule, name, port, address)):
            return False
    return True


def _matches(rule: str, name: str, port: int, address: _Address | None) -> bool:
    network = _network(rule)
    if network is not None:
        return address is not None and address in network
    host, rule_port = _host_and_port(rule)
    if not host or (rule_port and rule_port != str(port)):
        return False
    listed = _address(host)
    if listed is not None:
        return listed == address
    if address is not None:
        return False
    suffix = host[1:] if host.startswith("*.") else host
    if not suffix.startswith("."):
        if name == _ascii(suffix):
            return True
        suffix = f".{suffix}"
    return name.endswith(_ascii(suffix))


def _host_and_port(rule: str) -> tuple[str, str]:
    """Splits `host:port` and `[address]:port`; what is neither is a host."""
    bracketed = re.fullmatch(r"\[([^\[\]]*)\]:([^:\[\]]*)", rule)
    if bracketed:
        return bracketed[1], bracketed[2]
    if rule.count(":") == 1 and not set("[]") & set(rule):
        host, _, port = rule.partition(":")
        return host, port
    return rule, ""


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not re.fullmatch(r"[0-9a-f:.]+/[0-9]{1,3}", rule):
        return None
    host, _, bits = rule.partition("/")
    address = _address(host)
    if address is None:
        return None
    try:
        return ipaddress.ip_network(f"{address}/{bits}", strict=False)
    except ValueError:
        return None


def _address(host: str) -> _Address | None:
    """Returns an address, an IPv4 one that is mapped into IPv6 as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _ascii(name: str) -> str:
    """Returns the form of a name that DNS knows."""
    if name.isascii():
        return name
    dot = "." if name.startswith(".") else ""
    try:
        return dot + name[len(dot) :].encode("idna").decode()
    except UnicodeError:
        return name
