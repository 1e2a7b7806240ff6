"""metav1.Status answers, byte for byte as the API server and the kubelet write them. Pure."""

from __future__ import annotations

import json
from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """A request that is answered with a Status.

    Attributes:
        status: the whole object.
        code: of HTTP.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }


def _details(name: str, kind: str, group: str = "") -> Object:
    return {
        **({"name": name} if name else {}),
        **({"group": group} if group else {}),
        "kind": kind,
    }


def forbidden(message: str, name: str, resource: str, group: str = "") -> ApiError:
    """403: the user may not do it."""
    details = _details(name, resource, group) if resource else {}
    return ApiError(403, "Forbidden", message, details)


def not_found(resource: str, name: str, group: str = "") -> ApiError:
    """404: no such object."""
    shown = f"{resource}.{group}" if group else resource
    details = _details(name, resource, group)
    return ApiError(404, "NotFound", f'{shown} "{name}" not found', details)


def no_such_path() -> ApiError:
    """404: no such resource or path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: the token is not known."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def already_exists(resource: str, name: str) -> ApiError:
    """409: there is an object of that name."""
    message = f'{resource} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, resource))


def invalid(kind: str, name: str, field: str, reason: str, message: str) -> ApiError:
    """422: a field of the object is wrong."""
    causes = [{"reason": reason, "message": message, "field": field}]
    details = {**_details(name, kind), "causes": causes}
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {field}: {message}', details)


def unsupported_media_type() -> ApiError:
    """415: only JSON is read."""
    return ApiError(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json",
    )


def expired(message: str) -> ApiError:
    """410: the resource version is too old."""
    return ApiError(410, "Expired", message)


def encode(value: Object, pretty: bool = False) -> bytes:
    """Returns the JSON of an answer, which ends in a newline unless it is for a person."""
    if pretty:
        return json.dumps(value, ensure_ascii=False, indent=2).encode()
    return compact(value) + b"\n"


def compact(value: Object) -> bytes:
    """Returns the JSON of an object without any white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def exec_success() -> bytes:
    """What channel 3 carries after exit code 0."""
    return compact({"metadata": {}, "status": "Success"})


def exec_exit_code(code: int) -> bytes:
    """What channel 3 carries after another exit code."""
    return compact(
        {
            "metadata": {},
            "status": "Failure",
            "message": "command terminated with non-zero exit code: command terminated with "
            f"exit code {code}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


def exec_failure(exec_id: str, runtime_message: str) -> bytes:
    """What channel 3 carries when the process did not start."""
    message = (
        "Internal error occurred: error executing command in container: failed to exec in "
        f'container: failed to start exec "{exec_id}": OCI runtime exec failed: '
        f"{runtime_message}: unknown"
    )
    return compact(
        {
            "metadata": {},
            "status": "Failure",
            "message": f"Internal error occurred: {message}",
            "reason": "InternalError",
            "details": {"causes": [{"message": message}]},
            "code": 500,
        }
    )
