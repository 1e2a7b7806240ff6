"""Proxies that note what they are asked for, and lead to the stand-in whatever the name is."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import struct
import threading
from dataclasses import dataclass

USER, PASSWORD = "me@corp", "p:w/d"
QUOTED = "me%40corp:p%3Aw%2Fd"


@dataclass(frozen=True)
class Asked:
    """One connection to a proxy.

    Attributes:
        kind: `CONNECT`, `forward` (a request as it is, to a server without TLS), `socks5`, or
            `garbage`.
        target: host and port, of a request that is forwarded with the scheme.
        credentials: user and password, empty for none.
    """

    kind: str
    target: str
    credentials: str


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is none of its business."""


class RecordingProxy:
    """An HTTP and SOCKS5 proxy on one port of the loopback; a context manager.

    Args:
        upstream: where connections for a server with TLS lead to.
        plain: where those for one without TLS lead to.
        password: whether it wants USER and PASSWORD.
        tls: what it answers with where it is an `https://` proxy.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        plain: tuple[str, int],
        *,
        password: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: list[Asked] = []
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection = self.request
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                try:
                    proxy._serve(connection, upstream, plain, password)
                except (OSError, struct.error):
                    pass
                finally:
                    connection.close()

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    def __enter__(self) -> RecordingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def taken(self) -> list[Asked]:
        """Returns what it was asked for since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def _serve(
        self,
        connection: socket.socket,
        upstream: tuple[str, int],
        plain: tuple[str, int],
        password: bool,
    ) -> None:
        first = connection.recv(1)
        if first == b"\5":
            self._socks(connection, upstream, plain, password)
        elif first:
            self._http(connection, first, upstream, plain, password)

    def _socks(
        self,
        connection: socket.socket,
        upstream: tuple[str, int],
        plain: tuple[str, int],
        password: bool,
    ) -> None:
        methods = _exactly(connection, _exactly(connection, 1)[0])
        credentials = ""
        if 2 in methods:
            connection.sendall(b"\5\2")
            _exactly(connection, 1)
            user = _exactly(connection, _exactly(connection, 1)[0])
            secret = _exactly(connection, _exactly(connection, 1)[0])
            credentials = f"{user.decode()}:{secret.decode()}"
            good = not password or credentials == f"{USER}:{PASSWORD}"
            connection.sendall(b"\1\0" if good else b"\1\1")
            if not good:
                self.asked.append(Asked("socks5", "", credentials))
                return
        elif password:
            connection.sendall(b"\5\xff")
            self.asked.append(Asked("socks5", "", ""))
            return
        else:
            connection.sendall(b"\5\0")
        kind = _exactly(connection, 4)[3]
        if kind == 3:
            host = _exactly(connection, _exactly(connection, 1)[0]).decode()
        elif kind == 4:
            host = f"[{socket.inet_ntop(socket.AF_INET6, _exactly(connection, 16))}]"
        else:
            host = socket.inet_ntoa(_exactly(connection, 4))
        (port,) = struct.unpack("!H", _exactly(connection, 2))
        self.asked.append(Asked("socks5", f"{host}:{port}", credentials))
        with socket.create_connection(plain if port == plain[1] else upstream) as server:
            connection.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            _join(connection, server)

    def _http(
        self,
        connection: socket.socket,
        head: bytes,
        upstream: tuple[str, int],
        plain: tuple[str, int],
        password: bool,
    ) -> None:
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                self.asked.append(Asked("garbage", "", ""))
                return
            head += data
        line, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        method, target, *_ = line.split(" ")
        headers = dict(each.split(": ", 1) for each in lines)
        scheme, _, pair = headers.pop("Proxy-Authorization", "").partition(" ")
        credentials = base64.b64decode(pair).decode() if scheme == "Basic" else ""
        kind = "CONNECT" if method == "CONNECT" else "forward"
        scheme, slashes, rest = target.partition("://")
        # Names are the same in capitals.
        target_host = (scheme + slashes + rest.partition("/")[0]).lower()
        self.asked.append(Asked(kind, target_host, credentials))
        if password and credentials != f"{USER}:{PASSWORD}":
            connection.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
            )
            return
        if method == "CONNECT":
            with socket.create_connection(upstream) as server:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                _join(connection, server)
            return
        with socket.create_connection(plain) as server:
            path = "/" + target.partition("://")[2].partition("/")[2]
            headers["Connection"] = "close"
            sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            server.sendall(f"{method} {path} HTTP/1.1\r\n{sent}\r\n".encode("latin-1"))
            while data := server.recv(1 << 16):
                connection.sendall(data)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise OSError("the client is gone")
        data += more
    return data


def _join(one: socket.socket, other: socket.socket) -> None:
    """Passes bytes on both ways until one side ends."""

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    back = threading.Thread(target=pass_on, args=(other, one), daemon=True)
    back.start()
    pass_on(one, other)
    back.join()
