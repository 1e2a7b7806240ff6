"""What a request wants, from its method and path: verb, resource, name. Pure.

The rules are those of the API server's RequestInfo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True)
class Attributes:
    """A request; ``resource`` is empty when the path is none of an object."""

    verb: str
    path: str
    group: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""

    @property
    def resource_path(self) -> str:
        """The resource as rules name it, e.g. ``pods/exec``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def attributes(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    """Returns what a request wants.

    Args:
        method: of HTTP.
        path: the decoded path, without the query.
        query: ``watch`` makes a list a watch.
    """
    parts = [part for part in path.split("/") if part]
    group = ""
    if len(parts) > 2 and parts[0] == "api":
        rest = parts[2:]
    elif len(parts) > 3 and parts[0] == "apis":
        group, rest = parts[1], parts[3:]
    else:
        return Attributes("get" if method in ("GET", "HEAD") else method.lower(), path)
    namespace = ""
    if rest[0] == "namespaces":
        if len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        elif len(rest) == 2:
            namespace = rest[1]
    resource, name, subresource = (*rest[:3], "", "", "")[:3]
    verb = _VERBS.get(method, method.lower())
    if verb == "get" and not name:
        verb = "watch" if query.get("watch") in ("true", "1") else "list"
    if method == "DELETE":
        verb = "delete" if name else "deletecollection"
    return Attributes(verb, path, group, namespace, resource, subresource, name)
