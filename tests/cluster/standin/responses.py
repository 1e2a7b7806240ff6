"""Answers of the API server and of the kubelet behind it."""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from tests.cluster.standin import status

# The API server indents for programs that people use by hand.
_PEOPLE = ("curl", "Wget", "Mozilla/5.0")


def json_response(
    request: web.Request, value: dict[str, Any], code: int = 200, content_type: str = ""
) -> web.Response:
    """Returns an answer of the API server."""
    pretty = request.query.get("pretty", "") in ("1", "true") or request.headers.get(
        "User-Agent", ""
    ).startswith(_PEOPLE)
    return web.Response(
        status=code,
        body=status.encode(value, pretty),
        headers={
            "Audit-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, private",
            "Content-Type": content_type or "application/json",
        },
    )


def error_response(request: web.Request, error: status.ApiError) -> web.Response:
    """Returns the answer to a request that failed."""
    response = json_response(request, error.status, error.code)
    if error.code == 403:
        response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def kubelet_error(code: int, message: str) -> web.Response:
    """Returns an error the API server only passes on: plain text."""
    return web.Response(
        status=code,
        body=message.encode(),
        headers={"Content-Type": "text/plain; charset=utf-8"},
    )
