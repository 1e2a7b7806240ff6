"""The values of `-p`: a pod, or TYPE/NAME with the names kubectl has for the types. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gatherer.text import quoted

POD = "pods"
_TYPES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # Plural: singular, API group, short names.
    POD: ("pod", "", ("po",)),
    "deployments": ("deployment", "apps", ("deploy",)),
    "replicasets": ("replicaset", "apps", ("rs",)),
    "statefulsets": ("statefulset", "apps", ("sts",)),
    "daemonsets": ("daemonset", "apps", ("ds",)),
    "jobs": ("job", "batch", ()),
}
_GOOD = "give POD, deploy/NAME, sts/NAME, ds/NAME, rs/NAME or job/NAME"
_NAME = re.compile(r"[A-Za-z0-9]([-.A-Za-z0-9]{0,251}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """An object that stands for pods.

    Attributes:
        resource: plural name of its type, such as `deployments`.
        name: its name.
    """

    resource: str
    name: str

    @property
    def singular(self) -> str:
        """The type for sentences, such as `deployment`."""
        return _TYPES[self.resource][0]

    def __str__(self) -> str:
        return self.name if self.resource == POD else f"{self.singular}/{self.name}"


def parse_reference(text: str) -> Reference:
    """Reads `web-1`, `deploy/web` or `statefulsets.apps/db`.

    Raises:
        ValueError: no name, or a type that stands for no pods; the text shows a good one.
    """
    kind, slash, name = text.partition("/")
    if not slash:
        # The API server knows best what a pod may be called.
        if not text:
            raise ValueError(f"'' names nothing; {_GOOD}")
        return Reference(POD, text)
    resource = _resource(kind)
    if resource is None:
        raise ValueError(f"{quoted(kind)} is no type that has pods; {_GOOD}")
    if not name:
        raise ValueError(f"{quoted(text)} names nothing; {_GOOD}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{quoted(name)} cannot be the name of a {_TYPES[resource][0]}; {_GOOD}")
    return Reference(resource, name)


def _resource(kind: str) -> str | None:
    """Returns the plural name of a type, written as kubectl takes it: TYPE[.VERSION][.GROUP]."""
    word, *rest = kind.lower().split(".", 1)
    for plural, (singular, group, short) in _TYPES.items():
        if word in (plural, singular, *short):
            return plural if not rest or rest[0] in (group, f"v1.{group}", "v1") else None
    return None
