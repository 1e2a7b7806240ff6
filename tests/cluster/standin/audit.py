"""The audit log of the API server: who asked for what, and how. One line of JSON a request."""

from __future__ import annotations

import json
from pathlib import Path

from aiohttp import web

from tests.cluster.standin.authority import asked_name, common_name


class AuditLog:
    """A file that requests are written to as they arrive, whatever is answered.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def note(self, request: web.Request) -> None:
        """Writes one request."""
        transport = request.transport
        extra = transport.get_extra_info if transport is not None else {}.get
        line = {
            "scheme": request.scheme,
            "method": request.method,
            "path": request.rel_url.raw_path,
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
            "client": common_name(extra("peercert")),
            "sni": asked_name(extra("ssl_object")),
        }
        with self.path.open("a") as log:
            log.write(json.dumps(line) + "\n")
