"""Failures told by the API server, turned into errors that say what to do. Pure.

Two kinds come in: an HTTP answer that is no success, and the Status of an exec that could not run.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from gatherer.errors import (
    ApiError,
    ExecError,
    Forbidden,
    NotFound,
    ServerError,
    Unauthorized,
)
from gatherer.kube.objects.models import Status
from gatherer.kube.objects.review import grant
from gatherer.text import one_line

_MAX_TEXT = 4800  # bytes of an answer that is no Status
_FORBIDDEN = re.compile(
    r'(?:User "(?P<user>[^"]*)" )?cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
)
_EVERYWHERE = "at the cluster scope"
# Subresources that a websocket client needs both `get` and `create` for.
_CONNECTING = ("pods/exec", "pods/portforward")
# Of runtimes about an exec: containerd, CRI-O and Docker over runc, crun or runsc.
_NOT_RUN = (
    *("oci runtime exec failed", "oci runtime error", "exec failed", "starting container process"),
    *("unable to start container process", 'exec: "'),
)
_ENDED_CONTAINER = (
    *("container not found", "not running", "stopped container", "container has stopped"),
    *("has been stopped", "process already finished", "no running task", "task not found"),
    *("in exited state", "container_exited", "no such container", "ttrpc: closed"),
)
_NAMESPACE = re.compile(r'in the namespace "([^"]+)"')


class AnswerTooBig(ValueError):
    """An answer is larger than what is taken."""


class AnswerCutShort(ValueError):
    """An answer ended before its end."""


class NotHttp(ValueError):
    """The other side does not speak HTTP/1.1."""


@dataclass(frozen=True)
class RawAnswer:
    """An answer that the API server passed on.

    Attributes:
        status: HTTP status code.
        content_type: as it was sent, empty when there was none.
        body: all of it.
    """

    status: int
    content_type: str
    body: bytes

    @property
    def is_status(self) -> bool:
        """Whether it is a failure of the API server's own: a metav1.Status."""
        if self.status < 400 or "json" not in self.content_type:
            return False
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return False
        return isinstance(document, dict) and document.get("kind") == "Status"


def parse_failure(status: int, content_type: str, body: bytes) -> Status:
    """Reads the body of a failed request, which is a Status or plain text.

    Args:
        status: HTTP status code.
        content_type: of the answer.
        body: of the answer.
    """
    if "json" in content_type:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and document.get("kind") == "Status":
            return Status.from_json(document)
    text = body[:_MAX_TEXT].decode("utf-8", "replace")
    if "html" in content_type:  # a login page or a proxy's own error page
        title = re.search(r"<title>([^<]*)", text, re.IGNORECASE)
        text = f"a web page {title[1].strip()!r}" if title else "a web page"
    return Status(success=False, message=text, code=status)


def answer_error(
    status: int,
    content_type: str,
    body: bytes,
    *,
    context: str,
    namespace: str = "",
    verb: str = "",
    resource: str = "",
) -> ApiError:
    """Returns the error that an HTTP answer means.

    Args:
        status: HTTP status code.
        content_type: of the answer.
        body: of the answer.
        context: kubeconfig context, for the remedy.
        namespace: of what was asked for, empty for what is in none, or where it is not known.
        verb: what the request needed, for a server that does not say it.
        resource: such as `pods/exec`, likewise.
    """
    message = one_line(parse_failure(status, content_type, body).message)
    if status == 401:
        return Unauthorized(
            f"the API server refused the credentials{_of_context(context)}: "
            f"{message or 'Unauthorized'}",
            "log in again or renew the token in the kubeconfig: `kubectl auth whoami` tells "
            "whether it is accepted",
            status,
        )
    if status == 403:
        return _forbidden(message, verb, resource, namespace)
    if status == 404:
        where = f" in namespace {namespace!r}{_of_context(context)}" if namespace else ""
        if not namespace and context:
            where = f" in context {context!r}"
        listed = f" -n {namespace}" if namespace else ""
        return NotFound(
            (message or "the API server answered 404 Not Found") + where,
            "check the name, --namespace and --context; "
            f"`kubectl get {_resource(resource)}{listed}` lists the {_resource(resource)}",
            status,
        )
    if status in (408, 425, 429):
        return ServerError(
            f"the API server is busy ({status}): {message or 'no details'}", "try again", status
        )
    if status >= 500:
        return _server_error(status, message)
    return ApiError(
        f"the API server refused the request ({status}): {message or 'no details'}",
        _bad_request_remedy(message),
        status,
    )


def _forbidden(message: str, verb: str, resource: str, namespace: str) -> Forbidden:
    told = _FORBIDDEN.search(message)
    if told is not None:
        verb, resource = told["verb"], told["resource"]
    elif not message:
        # What a kubelet or a proxy answers that knows none of the subprotocols offered.
        return Forbidden(
            "the API server answered 403 Forbidden without a reason",
            "look for a proxy between here and the API server that does not pass websockets on",
            403,
            verb,
            resource,
        )
    else:
        # Since Kubernetes 1.35 exec over websockets also needs `create`; the answer to one who
        # only has `get` breaks off after "is forbidden: ".
        verb = "create" if resource in _CONNECTING else verb
        if verb and message.endswith("is forbidden:"):
            message = f'{message} the verb {verb} on "{resource}" is missing'
    found = _NAMESPACE.search(message)
    everywhere = _EVERYWHERE in message
    verbs = "get,create" if resource in _CONNECTING else verb
    if verbs in ("list", "watch") and resource == "pods" and not everywhere:
        verbs = "list,watch"  # who looks for pods follows them
    remedy = "ask for the right to do it"
    if verbs and resource:
        group = told["group"] if told is not None else None
        user = (told["user"] if told is not None else None) or ""
        namespace = "" if everywhere else found[1] if found else namespace
        if everywhere or namespace:
            remedy = "bind a role with it: " + grant(
                verbs, f"{resource}.{group}" if group else resource, user, namespace
            )
    return Forbidden(message, remedy, 403, verb, resource)


def _server_error(status: int, message: str) -> ServerError:
    missing = re.match(r'container not found \("(?P<name>[^"]*)"\)', message)
    if missing is not None:
        return ServerError(
            f"container {missing['name']!r} is not running: {message}",
            "see `kubectl describe pod`, and wait until the container runs",
            status,
        )
    remedy = "try again; if it stays, look at the API server's and the kubelet's logs"
    if "dial tcp" in message or "error dialing backend" in message:
        remedy = "the API server cannot reach the kubelet: see `kubectl get nodes`"
    return ServerError(
        f"the API server failed ({status}): {message or 'no details'}", remedy, status
    )


def _bad_request_remedy(message: str) -> str:
    if "container name must be specified" in message:
        return "name one with -c"
    if "is not valid for pod" in message:
        return "`kubectl get pod -o jsonpath={.spec.containers[*].name}` lists the containers"
    if "does not have a host assigned" in message:
        return "the pod is not scheduled yet: see its events with `kubectl describe pod`"
    if "pgrade request required" in message:
        return "look for a proxy between here and the API server that does not pass websockets on"
    return "check the request against the server's version"


def exec_error(status: Status, command: str) -> ExecError:
    """Returns the error for a process that could not be started in the container.

    Args:
        status: of channel 3.
        command: the program that was to run.
    """
    message = status.message
    # The runtime's own message comes last: `… failed to exec in container: … : exec: "x": <why>`.
    found = re.search(
        r"(?:OCI runtime exec failed: |exec failed: )(?!.*exec failed: )(.*)", message
    )
    reason = one_line(found[1] if found else message) or "no reason given"
    if is_missing_program(status):
        remedy = "the container has no such program"
    elif "permission denied" in message:
        remedy = "it is not executable for the container's user"
    elif "container not found" in message or "not running" in message:
        remedy = "the container has ended: see `kubectl describe pod`"
    else:
        remedy = "see the events of the pod and the log of the kubelet"
    return ExecError(f"{command!r} could not be run in the container: {reason}", remedy)


def is_missing_program(status: Status) -> bool:
    """Whether an exec failed because its program does not exist, as any runtime says it."""
    message = status.message.lower()
    return ("executable file" in message and "not found" in message) or "no such file" in message


def is_not_executable(status: Status) -> bool:
    """Whether an exec failed because its program may not be executed."""
    message = status.message.lower()
    return "permission denied" in message or "exec format error" in message


def is_refused_program(status: Status) -> bool:
    """Whether an exec failed because its program could not be run, for whatever reason.

    It is missing, not executable, for another machine, has no loader, is forbidden by a profile:
    another program of the same container may run all the same. A container that has ended, and a
    node that fails, are something else.
    """
    message = status.message.lower()
    if any(part in message for part in _ENDED_CONTAINER):
        return False
    return (
        is_missing_program(status)
        or is_not_executable(status)
        or any(part in message for part in _NOT_RUN)
    )


def _resource(path: str) -> str:
    """Returns the resource of a path such as `pods/exec`."""
    return path.partition("/")[0] or "pods"


def _of_context(context: str) -> str:
    return f" of context {context!r}" if context else ""
